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

// latchModel is a latch with its owner, two who set it and know that a tap is
// enough, one who rings (the supervisor), and the owner's goroutine that takes
// rings, the watch. Each step is one atomic operation, or one under the lock.
//
//	owner   0 reset; 1 look for work; 2 end an interrupt that was noticed; 3 raise
//	        the flag and look at the latch; 4 enter the poller, which forgets what
//	        it was told before; 5 look again; 6 asleep; 7 look; 8 take a ring and
//	        look; 9 interrupted, lower the flag; 10 the latch was set, the same
//	setter  0 make work; 1 set the latch and look at it; 2 tap
//	ringer  0 make work; 1 ring
//	watch   0 asleep; 1 take a ring; 2 mark; 3 interrupt
type latchModel struct {
	owner, watch, ringer int
	setter               [2]int
	wants                [3]int // how much work the setters and the ringer have still to make
	made, seen           int
	set, waiting         bool
	bell                 bool
	tapped, rung         bool // what the poller has for the owner, and for the watch
	interrupted, noticed bool
	bug                  int
}

// Mistakes that the model has to find.
const (
	noBug        = iota
	sleepBlindly // the owner does not look at the latch again once it is in the poller
	flagTooSoon  // the setter looks for the flag before it sets the latch
	lookAndReset // the owner resets after it has looked, and then waits
	unwatched    // nobody takes rings but the owner, when one wakes it
	silentWatch  // who takes rings marks the latch, and does not interrupt
)

func (m latchModel) next() (all []latchModel) {
	for _, step := range []func() (latchModel, bool){m.ownerStep, m.ringerStep, m.watchStep} {
		if s, ok := step(); ok {
			all = append(all, s)
		}
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
		o.owner = 3
		if m.noticed {
			o.noticed, o.interrupted = false, false
		}
	case 3:
		o.waiting, o.owner = true, 4
		if m.set {
			o.owner = 10
		}
	case 4:
		o.tapped, o.owner = false, 5
		if o.interrupted {
			o.owner = 9
		}
	case 5:
		o.owner = 6
		if m.set && m.bug != sleepBlindly {
			o.owner = 10
		}
	case 6:
		switch {
		case m.interrupted:
			o.owner = 9
		case m.tapped:
			o.tapped, o.owner = false, 7
		default:
			return m, false
		}
	case 7:
		o.owner = 8
		if m.set {
			o.owner = 10
		}
	case 8:
		if m.watch == 2 {
			return m, false // it has the lock
		}
		o.set, o.bell = m.set || m.bell, false
		if o.owner = 6; o.set {
			o.owner = 10
		}
	case 9:
		o.noticed, o.waiting, o.owner = true, false, 2
	case 10:
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
		s.tapped, s.setter[i] = true, 0
	case 3:
		s.set, s.setter[i] = true, 0
	case 4:
		s.set, s.setter[i] = true, 2
	}
	return s, true
}

func (m latchModel) ringerStep() (latchModel, bool) {
	r := m
	switch {
	case m.ringer == 1:
		r.bell, r.rung, r.tapped, r.ringer = true, true, true, 0
	case m.wants[2] == 0:
		return m, false
	default:
		r.wants[2]--
		r.made++
		r.ringer = 1
	}
	return r, true
}

func (m latchModel) watchStep() (latchModel, bool) {
	w := m
	switch m.watch {
	case 0:
		if !m.rung || m.bug == unwatched {
			return m, false
		}
		w.rung, w.watch = false, 1
	case 1:
		w.bell, w.watch = false, 0
		if m.bell {
			w.watch = 2
		}
	case 2:
		w.set, w.watch = true, 3
		if m.bug == silentWatch {
			w.watch = 0
		}
	case 3:
		w.interrupted, w.watch = true, 0
	}
	return w, true
}

// TestLatchModel goes through all interleavings of the latch: no wake-up is
// lost, and the model knows one that is.
func TestLatchModel(t *testing.T) {
	check := func(bug int) (int, bool) {
		return explore(latchModel{wants: [3]int{1, 1, 2}, bug: bug}, latchModel.next, func(m latchModel) bool { return m.made > m.seen })
	}
	if n, lost := check(noBug); lost || n < 5000 {
		t.Errorf("%d states, lost wake-up: %v", n, lost)
	}
	for bug := sleepBlindly; bug <= silentWatch; bug++ {
		if _, lost := check(bug); !lost {
			t.Errorf("the model does not see mistake %d", bug)
		}
	}
}
