package shm

import "testing"

// lockModel is a lock with three processes, each of which takes it once, alone
// or shared, and releases it. Each step is one atomic operation.
//
//	0 look at the holder, and claim; 1 take a waiter's place; 2 look again; 3 asleep
//	4 alone: look at the shares; 5 asleep until there are none
//	6 holds it; 7 alone: wake who waits, place by place; 8 ended
//	10 shared: take a share; 11 look at the holder once more
//	12 shared: give it up; 13 ring the holder; 14 wake who waits, and 0 again or 8
type lockModel struct {
	step   [lockModels]int
	at     [lockModels]int  // place that is woken next
	again  [lockModels]bool // the share was given up because of a holder
	holder int              // 1 + process
	share  [lockModels]bool
	place  [lockModels]bool
	rung   [lockModels]bool
	shared [lockModels]bool // takes it shared
	bug    int
}

const lockModels = 3

// Mistakes that the model has to find.
const (
	soundLock      = iota
	shareBlindly   // who has a share does not look at the holder again
	sleepAfterLook // who waits takes no place before it looks again
	leaveSilently  // who gives a share up does not ring the holder
)

// broken reports whether one holds it alone and another holds it, too.
func (m lockModel) broken() bool {
	alone, all := 0, 0
	for i := range m.step {
		if m.step[i] == 6 {
			if all++; !m.shared[i] {
				alone++
			}
		}
	}
	return alone > 0 && all > 1
}

func (m lockModel) next() (all []lockModel) {
	if m.broken() {
		return nil
	}
	for i := range m.step {
		n, f := m, (*lockModel).stepAlone
		if m.shared[i] {
			f = (*lockModel).stepShared
		}
		if n.stepWaiting(i) || f(&n, i) {
			all = append(all, n)
		}
	}
	return all
}

// lost is the end of a state from which nothing goes on.
func (m lockModel) lost() bool {
	for _, s := range m.step {
		if s != 8 {
			return true
		}
	}
	return m.broken()
}

// stepWaiting does what waiters of both kinds do.
func (m *lockModel) stepWaiting(i int) bool {
	switch m.step[i] {
	case 1:
		m.place[i], m.step[i] = true, 2
		if m.bug == sleepAfterLook {
			m.step[i] = 3
		}
	case 2:
		if m.step[i] = 3; m.holder == 0 {
			m.step[i] = 0
		}
	case 3:
		if !m.rung[i] {
			return false
		}
		m.rung[i], m.step[i] = false, 1
	default:
		return false
	}
	return true
}

func (m *lockModel) stepAlone(i int) bool {
	switch m.step[i] {
	case 0:
		if m.step[i] = 1; m.holder == 0 { // the compare and swap has looked, too
			m.holder, m.step[i] = i+1, 4
		}
	case 4:
		if m.step[i] = 6; m.share != [lockModels]bool{} {
			m.step[i] = 5
		}
	case 5:
		if !m.rung[i] {
			return false
		}
		m.rung[i], m.step[i] = false, 4
	case 6:
		m.holder, m.step[i], m.at[i] = 0, 7, 0
	case 7:
		if m.wakeNext(i) {
			m.step[i] = 8
		}
	default:
		return false
	}
	return true
}

func (m *lockModel) stepShared(i int) bool {
	switch m.step[i] {
	case 0:
		if m.step[i] = 10; m.holder != 0 {
			m.step[i] = 1
		}
	case 10:
		m.share[i], m.step[i] = true, 11
	case 11:
		if m.step[i] = 6; m.holder != 0 && m.bug != shareBlindly {
			m.step[i], m.again[i] = 12, true
		}
	case 6:
		m.step[i], m.again[i] = 12, false
	case 12:
		m.share[i], m.step[i] = false, 13
	case 13:
		if m.holder != 0 && m.bug != leaveSilently {
			m.rung[m.holder-1] = true
		}
		m.step[i], m.at[i] = 14, 0
	case 14:
		if !m.wakeNext(i) {
			break
		}
		if m.step[i] = 8; m.again[i] {
			m.step[i] = 1
		}
	default:
		return false
	}
	return true
}

// wakeNext wakes who waits at one place, and says whether that was the last.
func (m *lockModel) wakeNext(i int) bool {
	if at := m.at[i]; m.place[at] {
		m.place[at], m.rung[at] = false, true
	}
	m.at[i]++
	return m.at[i] == lockModels
}

// TestLockModel goes through all interleavings of three processes of each kind:
// one who holds the lock alone is alone, and nobody waits for ever; and the
// model knows ways to get that wrong.
func TestLockModel(t *testing.T) {
	check := func(sharers, bug int) (int, bool) {
		m := lockModel{bug: bug}
		for i := range sharers {
			m.shared[i] = true
		}
		return explore(m, lockModel.next, lockModel.lost)
	}
	for sharers := range lockModels + 1 {
		if n, wrong := check(sharers, soundLock); wrong || n < 100 {
			t.Errorf("%d share: %d states, wrong: %v", sharers, n, wrong)
		}
	}
	for bug, sharers := range map[int]int{shareBlindly: 1, sleepAfterLook: 0, leaveSilently: 1} {
		if _, wrong := check(sharers, bug); !wrong {
			t.Errorf("the model does not see mistake %d", bug)
		}
	}
}
