package libpgbgw

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
)

// steps goes on with one more step of the victim's protocol until it is not
// reached any more; round returns whether the victim was killed there.
func steps(t *testing.T, least int, round func(kill []string) (killed bool)) {
	t.Helper()
	for k := 1; k < 3000 && !t.Failed(); k++ {
		if !round([]string{fmt.Sprintf("PGBGW_TEST_KILL=%d", k)}) {
			if k < least {
				t.Errorf("only %d steps were there to be killed at", k)
			}
			return
		}
	}
	if !t.Failed() {
		t.Error("it never got to its end")
	}
}

// TestQueueKilledEverywhere kills a sender and a receiver in C with SIGKILL at
// every step of the protocol: the other end, in C and in Go, gets what was
// published, in order and whole, and never hangs.
func TestQueueKilledEverywhere(t *testing.T) {
	const size, count = 512, "5"
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
