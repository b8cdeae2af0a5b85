package shm

import (
	"errors"
	"fmt"
	"syscall"
)

// trancheTable is the names of locks in a segment.
type trancheTable struct{ recordList }

func (x *trancheTable) init(m memory, h *segmentHeader) {
	x.lay(m, h.section[sectionTrancheWords], h.section[sectionTrancheNames], stateOffset+4, "tranche name")
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
			var r trancheName
			copy(r.name[:MaxTrancheName], name)
			if published, err = x.put(i, r.words()); err != nil {
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

// name is the name that a word names.
func (x *trancheTable) name(word uint64) (string, error) {
	var r trancheName
	if err := x.get(word, r.words()); err != nil {
		return "", err
	}
	if r.name[0] == 0 || r.name[MaxTrancheName] != 0 {
		return "", damaged("tranche name %d is none", word-1)
	}
	return cString(r.name[:]), nil
}
