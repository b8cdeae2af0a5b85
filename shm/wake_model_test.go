package shm

import "testing"

// wakeModel is the wait and the wake algorithm as two lists of steps, each one
// atomic operation on the shared words:
//
//	waiter  0 raise the flag; 1 look: there is more, or sleep; 2 asleep; 3 take the flag down
//	waker   0 count; 1 look at the flag; 2 take it down; 3 ring
type wakeModel struct {
	waiter, waker int
	count, seen   int
	flag, rung    bool
	wants         int // what the waker has still to count
}

// next are the states after one step of either.
func (m wakeModel) next(skipFlagCheck bool) []wakeModel {
	var all []wakeModel
	w := m
	switch m.waiter {
	case 0:
		w.flag, w.waiter = true, 1
		if skipFlagCheck {
			w.waiter = 2 // an algorithm that does not look again
		}
		all = append(all, w)
	case 1:
		if w.waiter = 2; m.count > m.seen {
			w.waiter = 3
		}
		all = append(all, w)
	case 2:
		if m.rung {
			w.rung, w.waiter = false, 3
			all = append(all, w)
		}
	case 3:
		w.flag, w.seen, w.waiter = false, m.count, 0
		all = append(all, w)
	}
	k := m
	switch {
	case m.waker == 0 && m.wants > 0:
		k.wants--
		k.count++
		k.waker = 1
		all = append(all, k)
	case m.waker == 1:
		if k.waker = 0; m.flag {
			k.waker = 2
		}
		all = append(all, k)
	case m.waker == 2:
		k.flag = false
		if k.waker = 0; m.flag {
			k.waker = 3
		}
		all = append(all, k)
	case m.waker == 3:
		k.rung, k.waker = true, 0
		all = append(all, k)
	}
	return all
}

// stuck reports whether some order of the steps ends with a waiter asleep that
// has something to see.
func stuck(skipFlagCheck bool) (states int, found bool) {
	seen := map[wakeModel]bool{}
	todo := []wakeModel{{wants: 3}}
	for len(todo) > 0 {
		m := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[m] {
			continue
		}
		seen[m] = true
		next := m.next(skipFlagCheck)
		if len(next) == 0 && m.count > m.seen {
			found = true
		}
		todo = append(todo, next...)
	}
	return len(seen), found
}

// TestWakeModel goes through all interleavings of the algorithm: none loses a
// wake-up; and one does if the waiter does not look again, so that the model
// can tell.
func TestWakeModel(t *testing.T) {
	if n, lost := stuck(false); lost || n < 100 {
		t.Errorf("%d states, lost wake-up: %v", n, lost)
	}
	if _, lost := stuck(true); !lost {
		t.Error("the model does not see a lost wake-up")
	}
}
