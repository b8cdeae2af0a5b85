package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/policy"
	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// maxSharedObjects bounds the answer to one look at shared memory.
const maxSharedObjects = 32 << 10

// SharedMemory implements dbusapi.Backend. One call at a time looks; the others
// wait for it.
func (b backend) SharedMemory(ctx context.Context, c dbusapi.Caller, segment string) ([]dbusapi.SharedObject, error) {
	if err := b.allow(c, policy.Inspect); err != nil {
		return nil, err
	}
	select {
	case b.d.looking <- struct{}{}:
		defer func() { <-b.d.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	files, err := b.d.segments.files(segment)
	if err != nil {
		return nil, err
	}
	l := newLook(b.d.supervisor.List())
	for _, f := range files {
		if ctx.Err() == nil {
			l.segment(f)
		}
		f.Close()
	}
	l.dynamics(ctx, b.d.dynamics, segment)
	return l.objects, ctx.Err()
}

// files are the newest memory of the segment of that name, or with "" of all
// that there are, in the order of their names: descriptors of the caller's.
func (s *segments) files(name string) ([]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.current))
	if name != "" {
		if _, ok := s.shapes[name]; !ok && s.current[name].memory == nil {
			return nil, dbusapi.Errorf(dbusapi.ErrorInvalidArgs, "segment: there is no segment %q", name)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n != name })
	}
	var files []*os.File
	for _, n := range names {
		fd, err := unix.FcntlInt(uintptr(s.current[n].memory.Fd()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("cannot look into segment %q: %w", n, err)
		}
		files = append(files, os.NewFile(uintptr(fd), n))
	}
	return files, nil
}

// look turns reports about memory into objects of the bus.
type look struct {
	workers []supervise.Info
	bySlot  map[uint32]supervise.Info // those with a process
	objects []dbusapi.SharedObject
}

func newLook(workers []supervise.Info) *look {
	l := &look{workers: workers, bySlot: map[uint32]supervise.Info{}}
	for _, w := range workers {
		if w.Pid != 0 {
			l.bySlot[w.Handle.Slot] = w
		}
	}
	return l
}

// add appends an object, and reports whether there is room for more.
func (l *look) add(o dbusapi.SharedObject) bool {
	if len(l.objects) >= maxSharedObjects {
		return false
	}
	l.objects = append(l.objects, o)
	return true
}

func (l *look) segment(f *os.File) {
	r, err := shm.Inspect(int(f.Fd()))
	if err != nil {
		// A worker has overwritten the header: that is what there is to see.
		l.add(dbusapi.SharedObject{Kind: dbusapi.SharedSegment, Segment: f.Name(), Workers: l.attached(f.Name()), Damage: err.Error()})
		return
	}
	at := len(l.objects)
	if !l.add(dbusapi.SharedObject{
		Kind: dbusapi.SharedSegment, Segment: f.Name(), Size: r.Size, Free: r.Free, Incarnation: r.Incarnation,
		Workers: l.attached(f.Name()), Damage: r.Damage, Cut: r.Cut,
	}) {
		return
	}
	for i := range r.Areas {
		a := &r.Areas[i]
		if !l.add(dbusapi.SharedObject{Kind: dbusapi.SharedArea, Segment: f.Name(), Area: a.Name, Offset: a.Offset, Size: a.Size}) ||
			!l.contents(f.Name(), a.Name, &a.Contents) {
			l.objects[at].Cut = true
			return
		}
	}
}

// dynamics adds the dynamic segments of a segment, or with "" of all, in the
// order of their segments and names, and what lies in them.
func (l *look) dynamics(ctx context.Context, all *dynamics, segment string) {
	list := all.list()
	slices.SortFunc(list, func(a, b dynamicInfo) int {
		return cmp.Or(cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Handle, b.Handle))
	})
	for _, d := range list {
		if ctx.Err() != nil || segment != "" && d.Segment != segment {
			continue
		}
		o := dbusapi.SharedObject{Kind: dbusapi.SharedDynamic, Segment: d.Segment, Area: d.Name, Key: uint64(d.Handle), Size: d.Size, Pinned: d.Pinned}
		for _, run := range d.Mapped {
			if w, ok := l.bySlot[run.Handle.Slot]; ok && w.Handle == run.Handle && w.Start == run.Start {
				o.Workers = append(o.Workers, workerText(w))
			}
		}
		slices.Sort(o.Workers)
		var c shm.Contents
		err := all.inspect(d.Handle, func(fd int, size uint64) {
			var err error
			if c, o.Cut, err = shm.InspectMemory(fd, size); err != nil {
				o.Damage = err.Error()
			}
		})
		// One that is gone meanwhile is left out.
		if err == nil && (!l.add(o) || !l.contents(d.Segment, cmp.Or(d.Name, fmt.Sprint("dynamic ", d.Handle)), &c)) {
			return
		}
	}
}

// contents adds what lies in an area, in its order there.
func (l *look) contents(segment, area string, c *shm.Contents) bool {
	var found []dbusapi.SharedObject
	object := func(kind string, offset uint64) *dbusapi.SharedObject {
		found = append(found, dbusapi.SharedObject{Kind: kind, Segment: segment, Area: area, Offset: offset})
		return &found[len(found)-1]
	}
	for _, q := range c.Queues {
		o := object(dbusapi.SharedQueue, q.Offset)
		o.Ring, o.Written, o.Read = q.Ring, q.Written, q.Read
		o.Sender, o.Receiver = l.party(q.Sender), l.party(q.Receiver)
		o.SenderWaits, o.ReceiverWaits, o.Detached = q.SenderWaits, q.ReceiverWaits, q.Detached
	}
	for _, k := range c.Locks {
		o := object(dbusapi.SharedLock, k.Offset)
		o.Places, o.Tranche, o.Holder = uint32(k.Places), k.Tranche, l.party(k.Holder)
		o.Shares, o.Waiting = l.parties(k.Shares), l.parties(k.Waiting)
	}
	for _, v := range c.Conditions {
		o := object(dbusapi.SharedCondition, v.Offset)
		o.Places, o.Waiting = uint32(v.Places), l.parties(v.Waiting)
	}
	for _, b := range c.Barriers {
		o := object(dbusapi.SharedBarrier, b.Offset)
		o.Phase, o.Participants, o.Arrived, o.Static = b.Phase, uint32(b.Participants), uint32(b.Arrived), b.Static
		o.Waiting = l.parties(b.Waiting)
	}
	for _, t := range c.TOCs {
		o := object(dbusapi.SharedTOC, t.Offset)
		o.Key, o.Size, o.Free, o.Entries = t.Key, t.Size, t.Free, uint32(t.Entries)
	}
	slices.SortStableFunc(found, func(a, b dbusapi.SharedObject) int {
		return int(min(max(int64(a.Offset)-int64(b.Offset), -1), 1))
	})
	for _, o := range found {
		if !l.add(o) {
			return false
		}
	}
	return true
}

// attached are the workers that are attached to a segment.
func (l *look) attached(segment string) []string {
	var names []string
	for _, w := range l.workers {
		if w.Attached && w.Worker != nil && w.Worker.Segment == segment {
			names = append(names, workerText(w))
		}
	}
	return names
}

// party is the worker that memory names, or that there is none.
func (l *look) party(p *shm.Party) string {
	if p == nil {
		return ""
	}
	if w, ok := l.bySlot[p.Slot]; ok && p.Is(shm.Handle(w.Handle), w.Start) {
		return workerText(w)
	}
	return fmt.Sprintf("slot %d, gone", p.Slot)
}

func (l *look) parties(list []shm.Party) []string {
	var names []string
	for i := range list {
		names = append(names, l.party(&list[i]))
	}
	return names
}

// workerText is a worker's label and handle, as in "cron (3.17)".
func workerText(w supervise.Info) string {
	label := ""
	if w.Worker != nil {
		if label = w.Worker.Label; label == "" {
			label = w.Worker.Name
		}
	}
	return fmt.Sprintf("%s (%v)", label, w.Handle)
}
