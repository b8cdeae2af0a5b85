package libpgbgw

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
)

// steps goes on with one more step of the victim's protocol, until ten victims
// in a row have come to their end before it: how many steps there are depends on
// who was faster. round returns whether the victim was killed.
func steps(t *testing.T, least int, round func(kill []string) (killed bool)) {
	t.Helper()
	killed, missed := 0, 0
	for k := 1; missed < 10 && !t.Failed(); k++ {
		if round([]string{fmt.Sprintf("PGBGW_TEST_KILL=%d", k)}) {
			killed++
			missed = 0
		} else {
			missed++
		}
	}
	if t.Logf("killed at %d steps", killed); killed < least && !t.Failed() {
		t.Errorf("only %d steps were there to be killed at", killed)
	}
}

// TestQueueKilledEverywhere kills a sender and a receiver in C with SIGKILL at
// every step of the protocol: the other end, in C and in Go, gets what was
// published, in order and whole, and never hangs.
func TestQueueKilledEverywhere(t *testing.T) {
	const size, count = 128, "5" // most messages are larger than the ring
	other := map[string]string{"sender": "receiver", "receiver": "sender"}
	for _, role := range []string{"sender", "receiver"} {
		t.Run(role+" Go", func(t *testing.T) {
			h := newHost(t)
			g := h.open(5)
			n := 0
			steps(t, 20, func(kill []string) bool {
				n++
				area := fmt.Sprintf("q%d", n)
				makeQueue(t, g, area, size)
				w := h.start(3, kill, built.role, role, area, fmt.Sprint(size), count, "plain")
				var err error
				if role == "sender" {
					_, err = receiver(g, area, size, 100, 3)
				} else {
					_, err = sender(g, area, size, 5, 3)
				}
				if err != nil {
					t.Errorf("killed at step %d: %v", n, err)
				}
				return w.killed()
			})
		})
		t.Run(role+" C", func(t *testing.T) {
			h := newHost(t)
			g := h.open(5)
			n := 0
			steps(t, 20, func(kill []string) bool {
				n++
				area := fmt.Sprintf("q%d", n)
				makeQueue(t, g, area, size)
				w := h.start(3, kill, built.role, role, area, fmt.Sprint(size), count, "nowait", "6")
				o := h.start(6, nil, built.role, other[role], area, fmt.Sprint(size), count, "plain", "3")
				o.succeed()
				return w.killed()
			})
		})
	}
}

// TestLockKilledEverywhere kills who takes a lock, at every step of it: the
// others go on, and one of them is told if what it protects is half changed
// (BGW-160).
func TestLockKilledEverywhere(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	size := shm.LockSize(2)
	data, _, err := g.Area("lock", size)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	steps(t, 20, func(kill []string) bool {
		l, err := g.CreateLock(data)
		if err != nil {
			t.Fatal(err)
		}
		victim := h.start(3, kill, built.role, "locker", "lock", fmt.Sprint(size), "3", "1")
		other := h.start(6, nil, built.role, "locker", "lock", fmt.Sprint(size), "3", "1")
		mine, err := locker(g, size, 3)
		if err != nil {
			t.Errorf("BGW-160: %v: %v", kill, err)
		}
		killed := victim.killed()
		if out := other.succeed(); mine || strings.Contains(out, "1") {
			told++
		}
		died, err := l.Acquire(t.Context()) // the victim may have been the last
		if err != nil || !l.Release() {
			t.Errorf("BGW-160: %v: the lock cannot be had: %v", kill, err)
		}
		if died {
			told++
			pair, _, _ := g.Area("pair", 24)
			copy(pair[8:], pair[:8])
		}
		return killed
	})
	if told == 0 {
		t.Error("BGW-160: nobody was ever told of a death")
	}
}

// TestAreaKilledEverywhere kills who makes areas: others make theirs, of the
// same name too (BGW-133).
func TestAreaKilledEverywhere(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	n := 0
	steps(t, 10, func(kill []string) bool {
		n++
		area := fmt.Sprintf("a%d", n)
		w := h.start(3, kill, built.role, "make", "toc", area, "256")
		killed := w.killed()
		if _, _, err := g.Area(area, 256); err != nil {
			t.Errorf("%v: %v", kill, err)
		}
		return killed
	})
}

// TestConditionKilledEverywhere kills who waits for a condition variable: its
// death costs nobody a wake-up (BGW-157).
func TestConditionKilledEverywhere(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	n := 0
	steps(t, 10, func(kill []string) bool {
		n++
		cv := fmt.Sprintf("cv%d", n)
		h.start(7, nil, built.role, "make", "condition", cv, "48").succeed() // one place
		tokens := word(t, g, "tokens")
		victim := h.start(3, kill, built.role, "consumer", cv, "48", "2")
		other := h.start(6, nil, built.role, "consumer", cv, "48", "2")
		h.start(7, nil, built.role, "producer", cv, "48", "4").succeed()
		killed := victim.killed()
		other.succeed()
		tokens.Store(0)
		return killed
	})
}

// TestPatrol: who waits for one who is killed finds out by itself, from C to C.
func TestPatrol(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	h.silent = true
	for _, role := range []string{"sender", "receiver"} {
		makeQueue(t, g, role, 256)
		victim := h.start(3, []string{"PGBGW_TEST_KILL=60"}, built.role, role, role, "256", "100", "plain", "6")
		other := map[string]string{"sender": "receiver", "receiver": "sender"}[role]
		h.start(6, nil, built.role, other, role, "256", "1000", "plain", "3").succeed()
		if !victim.killed() {
			t.Errorf("the %s was not killed", role)
		}
	}
}
