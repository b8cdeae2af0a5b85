package shm

import (
	"fmt"
	"syscall"
)

// areaIndex finds and makes named areas: a recordList of name, size and offset.
// The words' order is the order of the areas in memory, so that publishing also
// takes the memory: each area begins where the one before it ends. Who loses the
// race for a word goes on behind the winner with the same record, or finds that
// the winner made the area it wanted.
//
// All that is read is checked against the running end, so that other workers
// can make a lookup fail, and nothing else.
type areaIndex struct {
	recordList
	data section
}

func (x *areaIndex) init(m memory, h *segmentHeader) {
	x.lay(m, h.section[sectionWords], h.section[sectionRecords], stateOffset, "area record")
	x.data = h.section[sectionData]
}

// find is ShmemInitStruct: see Worker.Area.
func (x *areaIndex) find(name string, size int) (data []byte, found bool, err error) {
	if n := len(name); n == 0 || n > MaxAreaName || !printable(name) {
		return nil, false, fmt.Errorf("area name %q has to have 1 to %d bytes, none of them NUL", name, MaxAreaName)
	}
	if size <= 0 {
		return nil, false, fmt.Errorf("area %q cannot have %d bytes, 1 is the least", name, size)
	}
	var r areaRecord
	end := x.data.offset
	for i := uint32(0); i < x.words.count; {
		published := x.word(i).Load()
		if published == 0 {
			if published, err = x.publish(i, name, uint64(size), end); err != nil {
				return nil, false, err
			}
			if published == 0 {
				return x.slice(end, size), false, nil
			}
		}
		if err := x.read(published, end, &r); err != nil {
			return nil, false, fmt.Errorf("cannot look up area %q: %w", name, err)
		}
		if sameName(&r.name, name) {
			if r.size != uint64(size) {
				return nil, false, fmt.Errorf("cannot use area %q with %d bytes: %w, %d bytes", name, size, ErrAreaSize, r.size)
			}
			return x.slice(end, size), true, nil
		}
		end = min(end+roundUp(r.size), x.data.offset+x.data.length)
		i++
	}
	return nil, false, fmt.Errorf("cannot make area %q: the segment has %d areas, which is the most: %w", name, x.words.count, syscall.ENOSPC)
}

// publish tries to make word i the new area. It returns 0 if it did, and what
// somebody else has published there before if not.
func (x *areaIndex) publish(i uint32, name string, size, offset uint64) (uint64, error) {
	if room := x.data.offset + x.data.length - offset; size > room {
		return 0, fmt.Errorf("cannot make area %q: it has %d bytes, the segment has %d left: %w", name, size, room, syscall.ENOMEM)
	}
	r := areaRecord{size: size, offset: offset}
	copy(r.name[:MaxAreaName], name)
	published, err := x.put(i, r.words())
	if err != nil {
		return 0, fmt.Errorf("cannot make area %q: %w", name, err)
	}
	return published, nil
}

// read copies the record that word names and checks it; end is where its area
// has to begin.
func (x *areaIndex) read(word, end uint64, r *areaRecord) error {
	if err := x.get(word, r.words()); err != nil {
		return err
	}
	switch limit := x.data.offset + x.data.length; {
	case r.offset != end:
		return damaged("area record %d has the offset %d, expected is %d", word-1, r.offset, end)
	case r.size == 0 || r.size > limit-end:
		return damaged("area record %d has %d bytes at %d of %d", word-1, r.size, end, limit)
	case r.name[0] == 0 || r.name[MaxAreaName] != 0:
		return damaged("area record %d has no name", word-1)
	}
	return nil
}

// slice is the memory of an area, whose bounds were checked.
func (x *areaIndex) slice(offset uint64, size int) []byte {
	end := offset + uint64(size)
	return x.mem[offset:end:end]
}

// sameName compares without allocating.
func sameName(have *[MaxAreaName + 1]byte, name string) bool {
	return have[len(name)] == 0 && string(have[:len(name)]) == name
}

func roundUp(size uint64) uint64 { return (size + areaAlign - 1) &^ (areaAlign - 1) }
