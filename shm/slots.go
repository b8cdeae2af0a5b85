package shm

import (
	"fmt"
	"iter"
	"runtime"
	"time"
)

// Slots is a worker's view of the slot table. Its methods may be called
// concurrently, make no system call, and work on after the supervisor's death.
type Slots struct {
	mem   memory
	count uint32
}

// openSlots maps the table behind fd, which is checked and not kept.
func openSlots(fd int) (*Slots, error) {
	size, err := sealedSize(fd)
	if err != nil {
		return nil, err
	}
	var h slotsHeader
	if err := readHeader(fd, h.bytes()); err != nil {
		return nil, err
	}
	if err := h.check(size); err != nil {
		return nil, err
	}
	m, err := mapMemory(fd, headerRoom+uint64(h.count)*slotEntrySize, false)
	if err != nil {
		return nil, err
	}
	return &Slots{mem: m, count: h.count}, nil
}

// Max is max_worker_processes now. A slot above it may be in use still, after a
// reload that lowered it.
func (s *Slots) Max() int { return int(min(s.mem.word32(stateOffset+4).Load(), s.count)) }

// Used is one more than the highest slot that was ever used.
func (s *Slots) Used() uint32 { return min(s.mem.word32(stateOffset).Load(), s.count) }

// Entry returns a consistent copy of a slot. A slot that was never used has
// StateFree. The error says that there is no such slot, or that the supervisor
// died while it wrote this entry.
func (s *Slots) Entry(slot uint32) (Entry, error) {
	var e Entry
	if slot >= s.count {
		return e, fmt.Errorf("slot %d does not exist, the table has %d", slot, s.count)
	}
	if slot >= s.Used() {
		return e, nil // reading a hole would allocate it
	}
	var w slotEntry
	if !s.copyEntry(slot, &w) {
		return e, fmt.Errorf("slot %d was left half written", slot)
	}
	e.decode(&w)
	return e, nil
}

// All ranges over the slots that are or were used. An entry that was left half
// written is passed over.
func (s *Slots) All() iter.Seq2[uint32, Entry] {
	return func(yield func(uint32, Entry) bool) {
		for slot := range s.Used() {
			e, err := s.Entry(slot)
			if err != nil || e.State == StateFree {
				continue
			}
			if !yield(slot, e) {
				return
			}
		}
	}
}

// Writing takes less than a microsecond, but the writer may lose its CPU in the
// middle. A reader yields so many times, then sleeps so many times, which is
// half a second at least, until it takes the writer for dead.
const (
	yields = 1000
	naps   = 500
	nap    = time.Millisecond
)

func (s *Slots) copyEntry(slot uint32, w *slotEntry) bool {
	at := slotOffset(slot)
	for try := range yields + naps {
		if s.tryCopy(at, w.words()) {
			return true
		}
		if try < yields {
			runtime.Gosched()
			continue
		}
		time.Sleep(nap)
	}
	return false
}

func slotOffset(slot uint32) uint64 { return uint64(headerRoom) + uint64(slot)*slotEntrySize }

// tryCopy copies the entry at offset at; false if it was being written.
func (s *Slots) tryCopy(at uint64, words *[slotEntrySize / 8]uint64) bool {
	version := s.mem.word64(at)
	words[0] = version.Load()
	if words[0]&1 != 0 {
		return false
	}
	for i := 1; i < entryWords; i++ {
		words[i] = s.mem.word64(at + uint64(i)*8).Load()
	}
	return version.Load() == words[0]
}
