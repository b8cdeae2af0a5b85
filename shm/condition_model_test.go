package shm

import "testing"

// conditionModel is a condition variable with two who wait for an item each, as
// Condition.Wait does, and one who makes two items and signals each. Each step
// is one atomic operation.
//
//	waiter    0 look; 1 take a ticket; 2 store it; 3 look; 4 look at the place;
//	          5 asleep; 6 take a ticket after a wake-up; 7 store it;
//	          8 cancel; 9 signal, if it was woken; 10 has its item
//	maker     0 make an item; 9 signal
//	signal    0, 1 look at a place; 2 take the lower ticket away; 3 ring;
//	          4, 5 broadcast
type conditionModel struct {
	waiter      [2]int
	mine        [2]int // ticket that was taken
	ticket      [2]int // that stands in the place
	rung        [2]bool
	next        int
	maker       int
	wants       int
	made, taken int
	signal      [3]signalModel // of the waiters and the maker
	keep        bool           // mistake: a signal to one who cancels is lost
	late        bool           // mistake: to look is before to store the ticket
}

type signalModel struct {
	step, tries int
	seen        [2]int
	whom        int
}

func (m conditionModel) steps() (all []conditionModel) {
	for i := range m.waiter {
		if w, ok := m.waiterStep(i); ok {
			all = append(all, w)
		}
	}
	switch {
	case m.maker == 9:
		k := m
		if k.signalStep(2) {
			k.maker = 0
		}
		all = append(all, k)
	case m.wants > 0:
		k := m
		k.wants--
		k.made++
		k.maker, k.signal[2] = 9, signalModel{}
		all = append(all, k)
	}
	return all
}

// look takes an item if there is one.
func (m *conditionModel) look(i, found, not int) {
	m.waiter[i] = not
	if m.made > m.taken {
		m.taken++
		m.waiter[i] = found
	}
}

func (m conditionModel) waiterStep(i int) (conditionModel, bool) {
	w := m
	switch m.waiter[i] {
	case 0:
		w.look(i, 10, 1)
	case 1, 6:
		w.mine[i] = m.next
		w.next++
		w.waiter[i]++
		if m.late {
			w.look(i, 10, m.waiter[i]+1)
		}
	case 2, 7:
		w.ticket[i], w.waiter[i] = m.mine[i], 3
		if m.late {
			w.waiter[i] = 4
		}
	case 3:
		w.look(i, 8, 4)
	case 4:
		if w.waiter[i] = 5; m.ticket[i] != m.mine[i] {
			w.waiter[i] = 6
		}
	case 5:
		if !m.rung[i] {
			return m, false
		}
		w.rung[i], w.waiter[i] = false, 4
	case 8:
		if w.waiter[i] = 10; m.ticket[i] == m.mine[i] {
			w.ticket[i] = 0
		} else if !m.keep {
			w.waiter[i], w.signal[i] = 9, signalModel{}
		}
	case 9:
		if w.signalStep(i) {
			w.waiter[i] = 10
		}
	case 10:
		return m, false
	}
	return w, true
}

// signalStep does one step of a signal, and says whether it was the last.
func (m *conditionModel) signalStep(of int) (done bool) {
	s := &m.signal[of]
	switch s.step {
	case 0, 1:
		s.seen[s.step] = m.ticket[s.step]
		s.step++
	case 2:
		a, b := s.seen[0], s.seen[1]
		if a == 0 && b == 0 {
			return true
		}
		if s.whom = 0; a == 0 || b != 0 && b < a {
			s.whom = 1
		}
		switch {
		case m.ticket[s.whom] == s.seen[s.whom]:
			m.ticket[s.whom] = 0
			s.step = 3
		case s.tries == 1:
			s.step = 4
		default:
			*s = signalModel{tries: s.tries + 1}
		}
	case 3:
		m.rung[s.whom] = true
		return true
	case 4, 5: // a ring and the ticket together: the order is that of step 2 and 3
		if i := s.step - 4; m.ticket[i] != 0 {
			m.ticket[i], m.rung[i] = 0, true
		}
		s.step++
		return s.step == 6
	}
	return false
}

// TestConditionModel goes through all interleavings: whoever waits while there
// is an item is woken; and the model knows two ways to get that wrong.
func TestConditionModel(t *testing.T) {
	check := func(m conditionModel) (int, bool) {
		m.next, m.wants = 1, 2
		return explore(m, conditionModel.steps, func(m conditionModel) bool { return m.made > m.taken })
	}
	if n, lost := check(conditionModel{}); lost || n < 1000 {
		t.Errorf("%d states, lost wake-up: %v", n, lost)
	}
	if _, lost := check(conditionModel{keep: true}); !lost {
		t.Error("the model does not see a signal that is lost in a cancel")
	}
	if _, lost := check(conditionModel{late: true}); !lost {
		t.Error("the model does not see a look that is too early")
	}
}
