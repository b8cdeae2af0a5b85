package dbusapi

import (
	"context"

	"github.com/godbus/dbus/v5"
)

// SharedObject is a segment, an area in it, or what was found in an area: what ListSharedMemory has a dictionary for.
// It is what workers wrote, seen without stopping them: nothing of it can be relied on. Which fields count depends on
// Kind; all but Kind and Segment are left out of the dictionary where they are 0, false or empty.
type SharedObject struct {
	Kind    string // one of the Shared constants
	Segment string // name of the segment
	Area    string // name of the area that it lies in, or is; of a dynamic segment, if it has one
	Offset  uint64 // bytes: of an area from the start of the segment, of the others from that of the area
	Size    uint64 // bytes: segment, area, table of contents, dynamic segment
	Free    uint64 // bytes: segment, table of contents

	Incarnation uint64   // segment: another one after a renewal
	Workers     []string // segment: who is attached; dynamic segment: who has mapped it
	Damage      string   // segment: why there is more than is shown
	Cut         bool     // segment: there is more than was looked at

	Ring          uint64 // queue: bytes; Written - Read of them are filled
	Written       uint64 // queue: bytes since it was made
	Read          uint64
	Sender        string // queue: a worker, as in Workers
	Receiver      string
	SenderWaits   bool
	ReceiverWaits bool
	Detached      bool

	Places  uint32   // lock, condition variable: for how many waiters
	Tranche string   // lock: its name, if it has one
	Holder  string   // lock: who holds it alone, or has claimed it
	Shares  []string // lock: who shares it
	Waiting []string // lock, condition variable, barrier: who waits

	Phase        uint32 // barrier
	Participants uint32
	Arrived      uint32
	Static       bool

	Key     uint64 // table of contents: its users' magic number; dynamic segment: its handle
	Entries uint32
	Pinned  bool // dynamic segment: it stays without users
}

// The kinds of shared objects.
const (
	SharedSegment   = "segment"
	SharedArea      = "area"
	SharedQueue     = "queue"
	SharedLock      = "lock"
	SharedCondition = "condition"
	SharedBarrier   = "barrier"
	SharedTOC       = "toc"
	SharedDynamic   = "dynamic"
)

var sharedFields = []wireField[SharedObject]{
	{"Kind", func(o *SharedObject) any { return &o.Kind }},
	{"Segment", func(o *SharedObject) any { return &o.Segment }},
	{"Area", func(o *SharedObject) any { return &o.Area }},
	{"Offset", func(o *SharedObject) any { return &o.Offset }},
	{"Size", func(o *SharedObject) any { return &o.Size }},
	{"Free", func(o *SharedObject) any { return &o.Free }},
	{"Incarnation", func(o *SharedObject) any { return &o.Incarnation }},
	{"Workers", func(o *SharedObject) any { return &o.Workers }},
	{"Damage", func(o *SharedObject) any { return &o.Damage }},
	{"Cut", func(o *SharedObject) any { return &o.Cut }},
	{"Ring", func(o *SharedObject) any { return &o.Ring }},
	{"Written", func(o *SharedObject) any { return &o.Written }},
	{"Read", func(o *SharedObject) any { return &o.Read }},
	{"Sender", func(o *SharedObject) any { return &o.Sender }},
	{"Receiver", func(o *SharedObject) any { return &o.Receiver }},
	{"SenderWaits", func(o *SharedObject) any { return &o.SenderWaits }},
	{"ReceiverWaits", func(o *SharedObject) any { return &o.ReceiverWaits }},
	{"Detached", func(o *SharedObject) any { return &o.Detached }},
	{"Places", func(o *SharedObject) any { return &o.Places }},
	{"Tranche", func(o *SharedObject) any { return &o.Tranche }},
	{"Holder", func(o *SharedObject) any { return &o.Holder }},
	{"Shares", func(o *SharedObject) any { return &o.Shares }},
	{"Waiting", func(o *SharedObject) any { return &o.Waiting }},
	{"Phase", func(o *SharedObject) any { return &o.Phase }},
	{"Participants", func(o *SharedObject) any { return &o.Participants }},
	{"Arrived", func(o *SharedObject) any { return &o.Arrived }},
	{"Static", func(o *SharedObject) any { return &o.Static }},
	{"Key", func(o *SharedObject) any { return &o.Key }},
	{"Entries", func(o *SharedObject) any { return &o.Entries }},
	{"Pinned", func(o *SharedObject) any { return &o.Pinned }},
}

// dictionary is o on the bus.
func (o *SharedObject) dictionary() map[string]dbus.Variant {
	out := make(map[string]dbus.Variant, 8)
	for i, f := range sharedFields {
		if p := f.ref(o); i < 2 || !isZero(p) {
			out[f.name] = dbus.MakeVariant(toWire(p))
		}
	}
	return out
}

func isZero(p any) bool {
	switch p := p.(type) {
	case *string:
		return *p == ""
	case *[]string:
		return len(*p) == 0
	case *bool:
		return !*p
	case *uint32:
		return *p == 0
	case *uint64:
		return *p == 0
	}
	return false
}

func (r *request) listSharedMemory() ([]any, error) {
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	objects, err := r.server.backend.SharedMemory(r, r.caller, r.args[0].(string))
	if err != nil {
		return nil, err
	}
	rows := make([]map[string]dbus.Variant, len(objects))
	for i := range objects {
		rows[i] = objects[i].dictionary()
	}
	return []any{rows}, nil
}

// SharedMemory returns what lies in the segment of that name, or with "" in all of them: each segment, its areas and
// what is in them in their order, then dynamic segments. ErrorInvalidArgs where there is no such segment.
func (c *Client) SharedMemory(ctx context.Context, segment string) ([]SharedObject, error) {
	var rows []map[string]dbus.Variant
	if err := c.manager(ctx, "ListSharedMemory", segment, uint64(0)).Store(&rows); err != nil {
		return nil, fromBus(err)
	}
	out := make([]SharedObject, len(rows))
	for i, row := range rows {
		var err error
		if out[i], err = readProperties(sharedFields, row); err != nil {
			return nil, err
		}
	}
	return out, nil
}
