package shm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
)

// trancheTable is the names of locks in a segment: a list that only grows, in
// the way of areaIndex, without the memory.
type trancheTable struct {
	mem   memory
	words section
	names section

	mu    sync.Mutex
	spare uint32 // 1 + a record that was taken and not published, or 0
}

func (x *trancheTable) init(m memory, h *segmentHeader) {
	x.mem = m
	x.words, x.names = h.section[sectionTrancheWords], h.section[sectionTrancheNames]
}

// Tranche returns the number of the lock tranche of that name in the segment, 1
// to MaxTranches, and registers the name if nobody has (LWLockNewTrancheId,
// LWLockRegisterTranche): the same name has the same number in all processes.
// name has 1 to MaxTrancheName bytes without NUL. ENOSPC (wrapped) if all
// numbers are taken. Nothing is ever freed; a tranche is for what somebody who
// looks at the segment is told, and means nothing to the locks.
func (w *Worker) Tranche(name string) (tranche uint32, err error) {
	a := w.inside()
	if a == nil {
		err = ErrNotAttached
	} else {
		tranche, err = a.tranches.find(name)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot use tranche %q: %w", name, err)
	}
	return tranche, nil
}

// SetTranche says of which tranche the lock is; 0 takes that back. It may be
// called at any time.
func (l *Lock) SetTranche(tranche uint32) { l.tranche.Store(tranche) }

// Tranche is what SetTranche said, in whatever process.
func (l *Lock) Tranche() uint32 { return l.tranche.Load() }

// TrancheName is the name of a tranche; false if nobody has registered it.
func (w *Worker) TrancheName(tranche uint32) (name string, ok bool) {
	a := w.inside()
	if a == nil || tranche == 0 || tranche > a.tranches.words.count {
		return "", false
	}
	name, err := a.tranches.name(a.tranches.word(tranche - 1).Load())
	return name, err == nil
}

func (x *trancheTable) find(name string) (tranche uint32, err error) {
	if n := len(name); n == 0 || n > MaxTrancheName || !printable(name) {
		return 0, fmt.Errorf("its name has to have 1 to %d bytes, none of them NUL", MaxTrancheName)
	}
	if x.words.count == 0 {
		return 0, errors.New("this segment was made without tranches")
	}
	for i := range x.words.count {
		published := x.word(i).Load()
		if published == 0 {
			if published, err = x.publish(i, name); err != nil {
				return 0, err
			}
			if published == 0 {
				return i + 1, nil
			}
		}
		have, err := x.name(published)
		if err != nil {
			return 0, err
		}
		if have == name {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("the segment has %d, which is the most: %w", x.words.count, syscall.ENOSPC)
}

func (x *trancheTable) word(i uint32) *atomic.Uint64 {
	return x.mem.word64(x.words.offset + uint64(i)*8)
}

// publish tries to make word i the new name. It returns 0 if it did, and what
// somebody else has published there before if not.
func (x *trancheTable) publish(i uint32, name string) (uint64, error) {
	number, err := x.take()
	if err != nil {
		return 0, err
	}
	var r trancheName
	copy(r.name[:MaxTrancheName], name)
	for n, w := range r.words() {
		x.mem.word64(x.names.offset + uint64(number)*64 + uint64(n)*8).Store(w)
	}
	if x.word(i).CompareAndSwap(0, uint64(number)+1) {
		return 0, nil
	}
	x.mu.Lock()
	x.spare = number + 1
	x.mu.Unlock()
	return x.word(i).Load(), nil
}

// take returns the number of a record that is this process's to write.
func (x *trancheTable) take() (uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.spare; n != 0 {
		x.spare = 0
		return n - 1, nil
	}
	next := x.mem.word32(stateOffset + 4)
	for {
		n := next.Load()
		if n >= x.names.count {
			return 0, fmt.Errorf("all %d records of the segment are used up: %w", x.names.count, syscall.ENOSPC)
		}
		if next.CompareAndSwap(n, n+1) {
			return n, nil
		}
	}
}

// name is the name that a word names.
func (x *trancheTable) name(word uint64) (string, error) {
	if word == 0 || word > uint64(x.names.count) {
		return "", damaged("tranche name %d of %d", word, x.names.count)
	}
	var r trancheName
	at := x.names.offset + (word-1)*64
	words := r.words()
	for i := range words {
		words[i] = x.mem.word64(at + uint64(i)*8).Load()
	}
	if r.name[0] == 0 || r.name[MaxTrancheName] != 0 {
		return "", damaged("tranche name %d is none", word-1)
	}
	return cString(r.name[:]), nil
}
