package shm

import (
	"fmt"
	"sync"
	"syscall"
)

// areaIndex finds and makes named areas. It has no lock that a worker could die
// with. A worker writes a record of its own (name, size, offset), and one
// compare-and-swap of the first empty word publishes it. The words' order is
// the order of the areas in memory, so that publishing also takes the memory:
// each area begins where the one before it ends. Who loses the race for a word
// goes on behind the winner with the same record, or finds that the winner made
// the area it wanted. A worker that dies between taking a record and publishing
// it costs 64 bytes and nobody's time.
//
// All that is read is checked against the running end, so that other workers
// can make a lookup fail, and nothing else.
type areaIndex struct {
	mem     memory
	words   section
	records section
	data    section

	mu    sync.Mutex
	spare uint32 // 1 + a record that was taken and not published, or 0
}

func (x *areaIndex) init(m memory, h *segmentHeader) {
	x.mem = m
	x.words, x.records, x.data = h.section[sectionWords], h.section[sectionRecords], h.section[sectionData]
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
		word := x.mem.word64(x.words.offset + uint64(i)*8)
		published := word.Load()
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
	number, err := x.take()
	if err != nil {
		return 0, fmt.Errorf("cannot make area %q: %w", name, err)
	}
	r := areaRecord{size: size, offset: offset}
	copy(r.name[:MaxAreaName], name)
	at := x.records.offset + uint64(number)*64
	for i, w := range r.words() {
		x.mem.word64(at + uint64(i)*8).Store(w)
	}
	word := x.mem.word64(x.words.offset + uint64(i)*8)
	if word.CompareAndSwap(0, uint64(number)+1) {
		return 0, nil
	}
	x.giveBack(number)
	return word.Load(), nil
}

// take returns the number of a record that is this process's to write.
func (x *areaIndex) take() (uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.spare; n != 0 {
		x.spare = 0
		return n - 1, nil
	}
	next := x.mem.word32(stateOffset)
	for {
		n := next.Load()
		if n >= x.records.count {
			return 0, fmt.Errorf("all %d records of the segment are used up: %w", x.records.count, syscall.ENOSPC)
		}
		if next.CompareAndSwap(n, n+1) {
			return n, nil
		}
	}
}

// giveBack keeps a record that was not published for the next area. A second
// one is lost.
func (x *areaIndex) giveBack(number uint32) {
	x.mu.Lock()
	x.spare = number + 1
	x.mu.Unlock()
}

// read copies the record that word names and checks it; end is where its area
// has to begin.
func (x *areaIndex) read(word, end uint64, r *areaRecord) error {
	if word == 0 || word > uint64(x.records.count) {
		return damaged("area record %d of %d", word, x.records.count)
	}
	at := x.records.offset + (word-1)*64
	words := r.words()
	for i := range words {
		words[i] = x.mem.word64(at + uint64(i)*8).Load()
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
