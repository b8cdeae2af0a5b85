package shm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
)

// recordList is a list in a segment that only grows, of records of 64 bytes. A
// worker writes a record of its own, and one compare-and-swap of the first empty
// word publishes it. There is no lock that a worker could die with: one that dies
// between the two costs a record and nobody's time.
type recordList struct {
	mem     memory
	words   section
	records section
	taken   uint64 // where the u32 lies that counts the records taken
	what    string // they are, for messages

	mu    sync.Mutex
	spare uint32 // 1 + a record that was taken and not published, or 0
}

func (x *recordList) lay(m memory, words, records section, taken uint64, what string) {
	x.mem, x.words, x.records, x.taken, x.what = m, words, records, taken, what
}

func (x *recordList) word(i uint32) *atomic.Uint64 {
	return x.mem.word64(x.words.offset + uint64(i)*8)
}

// put tries to make word i a new record. It returns 0 if it did, and what
// somebody else has published there before if not.
func (x *recordList) put(i uint32, record *[8]uint64) (published uint64, err error) {
	number, err := x.take()
	if err != nil {
		return 0, err
	}
	at := x.records.offset + uint64(number)*64
	for n, w := range record {
		x.mem.word64(at + uint64(n)*8).Store(w)
	}
	if x.word(i).CompareAndSwap(0, uint64(number)+1) {
		return 0, nil
	}
	x.mu.Lock()
	x.spare = number + 1 // for the next one; a second is lost
	x.mu.Unlock()
	return x.word(i).Load(), nil
}

// take returns the number of a record that is this process's to write.
func (x *recordList) take() (uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.spare; n != 0 {
		x.spare = 0
		return n - 1, nil
	}
	taken := x.mem.word32(x.taken)
	for {
		n := taken.Load()
		if n >= x.records.count {
			return 0, fmt.Errorf("all %d %ss of the segment are used up: %w", x.records.count, x.what, syscall.ENOSPC)
		}
		if taken.CompareAndSwap(n, n+1) {
			return n, nil
		}
	}
}

// get copies the record that a word names.
func (x *recordList) get(word uint64, record *[8]uint64) error {
	if word == 0 || word > uint64(x.records.count) {
		return damaged("%s %d of %d", x.what, word, x.records.count)
	}
	at := x.records.offset + (word-1)*64
	for i := range record {
		record[i] = x.mem.word64(at + uint64(i)*8).Load()
	}
	return nil
}
