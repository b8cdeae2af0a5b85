package shm

import (
	"encoding/binary"
	"fmt"
)

// Report is what lies in a segment at one moment, as far as can be told without
// stopping anybody: what its workers write meanwhile may be seen in part. None
// of it can be relied on, since each of them can write what it likes. Offsets
// and sizes are in bytes.
type Report struct {
	Name        string
	Size        uint64
	Incarnation uint64
	Room        uint64 // for areas
	Free        uint64 // of Room
	Areas       []AreaReport
	Tranches    []string // the name of number n is at n - 1
	Damage      string   // what is wrong with what is not shown; "" if all is
	Cut         bool     // there is more than is looked at: see Inspect
}

// AreaReport is a named area and what was found in it.
type AreaReport struct {
	Name   string
	Offset uint64 // from the start of the segment
	Size   uint64
	Contents
}

// Contents are the things of this package that lie in some memory, in their
// order.
type Contents struct {
	Queues     []QueueReport
	Locks      []LockReport
	Conditions []ConditionReport
	Barriers   []BarrierReport
	TOCs       []TOCReport
}

// Party is a process as shared memory names it.
type Party struct {
	Slot       uint32
	Generation uint32 // the low 24 bits
	Start      uint32 // start number, the low 24 bits; 0: not known
}

// Is reports whether a process of this handle and start number is the party.
func (p Party) Is(h Handle, start uint64) bool {
	return p.Slot == h.Slot && uint64(p.Generation) == h.Generation&serialMask &&
		(p.Start == 0 || uint64(p.Start) == start&serialMask)
}

// QueueReport is a queue. Of Ring bytes Written - Read are filled.
type QueueReport struct {
	Offset        uint64 // from the start of the area, as everywhere here
	Ring          uint64
	Written, Read uint64 // since the queue was made
	Sender        *Party // nil: nobody has attached
	Receiver      *Party
	Detached      bool
	SenderWaits   bool
	ReceiverWaits bool
}

// LockReport is a lock.
type LockReport struct {
	Offset  uint64
	Places  int
	Tranche string // "" if it has none
	Holder  *Party // who holds it alone, or has claimed it; nil: nobody
	Shares  []Party
	Waiting []Party
}

// ConditionReport is a condition variable.
type ConditionReport struct {
	Offset  uint64
	Places  int
	Waiting []Party
}

// BarrierReport is a barrier.
type BarrierReport struct {
	Offset       uint64
	Phase        uint32
	Participants int
	Arrived      int
	Static       bool
	Waiting      []Party
}

// TOCReport is a table of contents.
type TOCReport struct {
	Offset  uint64
	Key     uint64 // the users' magic number
	Size    uint64
	Free    uint64
	Entries int
}

// Limits of one report. What is beyond them is not looked at.
const (
	inspectBytes   = 256 << 20 // of areas
	inspectObjects = 16 << 10  // or what begins like one, and parties at them
)

// Inspect reads the segment behind fd, which need not be writable. It maps
// nothing, takes no lock and changes nothing, and bears anything that workers
// have written. It looks for what begins as a queue, a lock and so on does, in
// areas of up to 256 MiB together, in pieces between which it rests. ErrDamaged
// (wrapped) if the header is not that of a segment; whatever is wrong behind it is
// told in Damage.
func Inspect(fd int) (Report, error) {
	size, err := sealedSize(fd)
	var h segmentHeader
	if err == nil {
		err = readHeader(fd, h.bytes())
	}
	if err == nil {
		err = h.check(size)
	}
	if err != nil {
		return Report{}, fmt.Errorf("cannot inspect segment: %w", err)
	}
	i := inspector{fd: fd, bytes: inspectBytes, objects: inspectObjects}
	r := Report{Name: cString(h.name[:]), Size: size, Incarnation: h.incarnation, Room: h.section[sectionData].length}
	if err := i.segment(&r, &h); err != nil {
		return Report{}, fmt.Errorf("cannot inspect segment %q: %w", r.Name, err)
	}
	r.Cut = i.cut
	return r, nil
}

// InspectMemory reads the first size bytes behind fd, of a dynamic segment, as
// Inspect does those of an area. cut says that there is more than is looked at.
func InspectMemory(fd int, size uint64) (c Contents, cut bool, err error) {
	i := inspector{fd: fd, bytes: inspectBytes, objects: inspectObjects}
	if err := i.scan(&c, 0, size); err != nil {
		return Contents{}, false, fmt.Errorf("cannot inspect memory: %w", err)
	}
	return c, i.cut, nil
}

// inspector is one look at a segment.
type inspector struct {
	fd       int
	tranches []string
	buf      []byte // of scan
	bytes    uint64 // still to be looked at, at the most
	objects  int
	cut      bool
}

// section reads the entries of a section, which was checked, at most 8 MiB.
func (i *inspector) section(s section) ([]byte, error) {
	b := make([]byte, uint64(s.stride)*uint64(s.count))
	n, err := readAt(i.fd, b, s.offset)
	return b[:n], err
}

func (i *inspector) segment(r *Report, h *segmentHeader) error {
	if err := i.readTranches(h); err != nil {
		return err
	}
	r.Tranches = i.tranches
	words, err := i.section(h.section[sectionWords])
	if err != nil {
		return err
	}
	records, err := i.section(h.section[sectionRecords])
	if err != nil {
		return err
	}
	data := h.section[sectionData]
	end, limit := data.offset, data.offset+data.length
	for ; len(words) >= 8; words = words[8:] {
		word := binary.LittleEndian.Uint64(words)
		if word == 0 {
			break
		}
		a, err := inspectArea(records, word, end, limit)
		if err != nil {
			r.Damage = err.Error()
			break
		}
		if err := i.scan(&a.Contents, a.Offset, a.Size); err != nil {
			return err
		}
		r.Areas = append(r.Areas, a)
		end = min(end+roundUp(a.Size), limit)
	}
	r.Free = limit - end
	return nil
}

// inspectArea reads an area's record as areaIndex.read does.
func inspectArea(records []byte, word, end, limit uint64) (AreaReport, error) {
	if word > uint64(len(records)/64) {
		return AreaReport{}, damaged("area record %d of %d", word, len(records)/64)
	}
	b := records[(word-1)*64:]
	name, size, offset := b[:MaxAreaName+1], binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint64(b[56:])
	switch {
	case offset != end || size == 0 || size > limit-end:
		return AreaReport{}, damaged("area record %d has %d bytes at %d, of %d to %d", word-1, size, offset, end, limit)
	case name[0] == 0 || name[MaxAreaName] != 0:
		return AreaReport{}, damaged("area record %d has no name", word-1)
	}
	return AreaReport{Name: cString(name), Offset: offset, Size: size}, nil
}

func (i *inspector) readTranches(h *segmentHeader) error {
	words, err := i.section(h.section[sectionTrancheWords])
	if err != nil {
		return err
	}
	names, err := i.section(h.section[sectionTrancheNames])
	if err != nil {
		return err
	}
	for ; len(words) >= 8; words = words[8:] {
		word := binary.LittleEndian.Uint64(words)
		if word == 0 || word > uint64(len(names)/64) {
			return nil
		}
		i.tranches = append(i.tranches, cString(names[(word-1)*64:word*64]))
	}
	return nil
}
