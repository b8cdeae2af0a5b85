package shm

import "testing"

// sleepersModel is a process whose reader waits for something else, a goroutine
// that waits for things made by another process, and who makes them. The reader
// does not look at the list if the number says that it is alone there.
//
//	waiter  0 join, and be counted; 1 raise the flag and look; 2 asleep until
//	        poked; 3 take what is there; 4 leave, and be counted no more
//	reader  0 asleep until there is a tap, take it; 1 read the number; 2 poke
//	maker   0 make a thing; 1 take the flag; 2 tap
type sleepersModel struct {
	waiter, reader, maker int
	number                int
	flag, tapped, poked   bool
	made, seen, wants     int
	bug                   int
}

// Mistakes that the model has to find.
const (
	countedLate  = 1 + iota // the waiter is counted only once its flag is up
	lookAtThings            // the reader looks for things, and not whether the flag was taken
)

func (m sleepersModel) next() (all []sleepersModel) {
	for _, step := range []func() (sleepersModel, bool){m.waiterStep, m.readerStep, m.makerStep} {
		if s, ok := step(); ok {
			all = append(all, s)
		}
	}
	return all
}

func (m sleepersModel) waiterStep() (sleepersModel, bool) {
	w := m
	switch m.waiter {
	case 0:
		w.waiter = 1
		if m.bug != countedLate {
			w.number++
		}
	case 1:
		w.flag, w.waiter = true, 2
		if m.made > m.seen {
			w.waiter = 3
		} else if m.bug == countedLate && m.number == 1 {
			w.waiter = 5
		}
	case 2:
		if !m.poked {
			return m, false
		}
		w.poked, w.waiter = false, 1
	case 3:
		w.seen, w.flag, w.waiter = m.made, false, 4
	case 4:
		w.number, w.waiter = 1, 0
	case 5:
		w.number, w.waiter = 2, 2
	}
	return w, true
}

func (m sleepersModel) readerStep() (sleepersModel, bool) {
	r := m
	switch m.reader {
	case 0:
		if !m.tapped {
			return m, false
		}
		r.tapped, r.reader = false, 1
	case 1:
		if r.reader = 2; m.number == 1 {
			r.reader = 0
		}
	case 2:
		there := !m.flag
		if m.bug == lookAtThings {
			there = m.made > m.seen
		}
		r.poked, r.reader = m.poked || m.number == 2 && there, 0
	}
	return r, true
}

func (m sleepersModel) makerStep() (sleepersModel, bool) {
	k := m
	switch m.maker {
	case 0:
		if m.wants == 0 {
			return m, false
		}
		k.wants--
		k.made++
		k.maker = 1
	case 1:
		k.flag = false
		if k.maker = 0; m.flag {
			k.maker = 2
		}
	case 2:
		k.tapped, k.maker = true, 0
	}
	return k, true
}

// TestSleepersModel: a reader that does not look at a list of one loses no
// wake-up of who comes into it at that moment.
func TestSleepersModel(t *testing.T) {
	for bug := range lookAtThings + 1 {
		n, lost := explore(sleepersModel{number: 1, wants: 4, bug: bug}, sleepersModel.next,
			func(m sleepersModel) bool { return m.made > m.seen })
		if lost != (bug != noBug) || n < 50 {
			t.Errorf("mistake %d: %d states, lost wake-up: %v", bug, n, lost)
		}
	}
}
