package shm

import "sync/atomic"

// attachment is a segment as a worker has it: mapped, with its own copy of the
// header, which was checked. It is never unmapped while the process lives:
// slices from Area stay memory, whatever is detached or closed, so that a late
// access cannot be a fault.
type attachment struct {
	mem      memory
	header   segmentHeader
	areas    areaIndex
	tranches trancheTable
	inside   atomic.Bool // the supervisor counts this process as attached
}

// attach maps and checks the segment behind fd, which is not kept.
func attach(fd int) (*attachment, error) {
	size, err := sealedSize(fd)
	if err != nil {
		return nil, err
	}
	a := new(attachment)
	if err := readHeader(fd, a.header.bytes()); err != nil {
		return nil, err
	}
	if err := a.header.check(size); err != nil {
		return nil, err
	}
	if a.mem, err = mapMemory(fd, size, true); err != nil {
		return nil, err
	}
	a.areas.init(a.mem, &a.header)
	a.tranches.init(a.mem, &a.header)
	return a, nil
}

// latch returns where the word of a slot's latch lies, and whether it has one.
func (a *attachment) latch(slot uint32) (offset uint64, ok bool) {
	s := a.header.section[sectionLatches]
	return s.offset + uint64(slot)*uint64(s.stride), slot < s.count
}

// latchWord finds the word of a slot's latch, as long as this process is
// attached: nil otherwise, or if the slot has none.
func (a *attachment) latchWord(slot uint32) func() *atomic.Uint32 {
	offset, ok := a.latch(slot)
	if !ok {
		return nil
	}
	word := a.mem.word32(offset)
	return func() *atomic.Uint32 {
		if a.inside.Load() {
			return word
		}
		return nil
	}
}
