package shm

import "testing"

// explore goes through all interleavings from start on: next are the states
// after one step of anybody. It returns how many states there are, and whether
// one from which nothing goes on is lost.
func explore[S comparable](start S, next func(S) []S, lost func(S) bool) (states int, found bool) {
	seen := map[S]bool{}
	todo := []S{start}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[s] {
			continue
		}
		seen[s] = true
		after := next(s)
		found = found || len(after) == 0 && lost(s)
		todo = append(todo, after...)
	}
	return len(seen), found
}

// latchModel is a latch with its owner and two who set it: each step is one
// atomic operation.
//
//	owner   0 reset; 1 look for work; 2 raise the flag and look at the latch;
//	        3 asleep; 4 rung, set the latch; 5 lower the flag, and arm again
//	        6 the latch was set, lower the flag
//	setter  0 make work; 1 set the latch and look at it; 2 ring
type latchModel struct {
	owner        int
	setter       [2]int
	wants        [2]int // how much work each setter has still to make
	made, seen   int
	set, waiting bool
	bell         bool
	bug          int
}

// Mistakes that the model has to find.
const (
	noBug        = iota
	sleepBlindly // the owner does not look at the latch after it raised the flag
	flagTooSoon  // the setter looks for the flag before it sets the latch
	lookAndReset // the owner resets after it has looked, and then waits
)

func (m latchModel) next() (all []latchModel) {
	if o, ok := m.ownerStep(); ok {
		all = append(all, o)
	}
	for i := range m.setter {
		if s, ok := m.setterStep(i); ok {
			all = append(all, s)
		}
	}
	return all
}

func (m latchModel) ownerStep() (latchModel, bool) {
	o := m
	// Both loops, reset, look, wait and look, wait, reset, are the same circle.
	afterWait, afterLook, afterReset := 0, 2, 1
	if m.bug == lookAndReset {
		afterWait, afterLook, afterReset = 1, 0, 2
	}
	switch m.owner {
	case 0:
		o.set, o.owner = false, afterReset
	case 1:
		o.seen, o.owner = m.made, afterLook
	case 2:
		o.waiting = true
		if o.owner = 3; m.set && m.bug != sleepBlindly {
			o.owner = 6
		}
	case 3:
		if !m.bell {
			return m, false
		}
		o.bell, o.owner = false, 4
	case 4:
		o.set, o.owner = true, 5
	case 5:
		o.waiting, o.owner = false, 2
		if m.bug == sleepBlindly {
			o.owner = afterWait
		}
	case 6:
		o.waiting, o.owner = false, afterWait
	}
	return o, true
}

func (m latchModel) setterStep(i int) (latchModel, bool) {
	s := m
	switch m.setter[i] {
	case 0:
		if m.wants[i] == 0 {
			return m, false
		}
		s.wants[i]--
		s.made++
		s.setter[i] = 1
	case 1:
		s.set, s.setter[i] = true, 0
		if m.waiting && !m.set {
			s.setter[i] = 2
		}
		if m.bug == flagTooSoon {
			s.set, s.setter[i] = m.set, 3
			if m.waiting && !m.set {
				s.setter[i] = 4
			}
		}
	case 2:
		s.bell, s.setter[i] = true, 0
	case 3:
		s.set, s.setter[i] = true, 0
	case 4:
		s.set, s.setter[i] = true, 2
	}
	return s, true
}

// TestLatchModel goes through all interleavings of the latch: no wake-up is
// lost, and the model knows one that is.
func TestLatchModel(t *testing.T) {
	check := func(bug int) (int, bool) {
		return explore(latchModel{wants: [2]int{2, 2}, bug: bug}, latchModel.next, func(m latchModel) bool { return m.made > m.seen })
	}
	if n, lost := check(noBug); lost || n < 200 {
		t.Errorf("%d states, lost wake-up: %v", n, lost)
	}
	for _, bug := range []int{sleepBlindly, flagTooSoon, lookAndReset} {
		if _, lost := check(bug); !lost {
			t.Errorf("the model does not see mistake %d", bug)
		}
	}
}
