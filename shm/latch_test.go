package shm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testLatch is a latch with its eventfd, whose word is local until moved.
func testLatch(t testing.TB) (l *Latch, dead chan struct{}) {
	t.Helper()
	fd, err := NewLatchEvent()
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBell(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.file.Close() })
	dead = make(chan struct{})
	return newLatch(b, dead), dead
}

// untilWaiting returns when the owner sleeps, or is about to.
func untilWaiting(l *Latch) {
	for l.word.Load().Load()&latchWaiting == 0 {
		runtime.Gosched()
	}
}

// TestLatchSetBefore holds BGW-154: a latch that was set before the wait makes
// it return at once.
func TestLatchSetBefore(t *testing.T) {
	l, _ := testLatch(t)
	if err := l.Set(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays set
		if e, err := l.Wait(t.Context(), -1); e != LatchSet || err != nil {
			t.Errorf("BGW-154: got %v, %v", e, err)
		}
	}
	l.Reset()
	if e, err := l.Wait(t.Context(), 0); e != Timeout || err != nil {
		t.Errorf("after reset: got %v, %v", e, err)
	}
}

// TestLatchSetTwice holds BGW-155: a set latch that is set again sends no
// wake-up, and neither does one whose owner does not sleep.
func TestLatchSetTwice(t *testing.T) {
	called := newCalls(t)
	var word atomic.Uint32
	l := newOtherBell(called.fd)
	l.where = func() *atomic.Uint32 { return &word }
	word.Store(latchOwned | latchWaiting)
	for range 3 {
		if err := l.set(); err != nil {
			t.Fatal(err)
		}
	}
	if n := called.number(); n != 1 {
		t.Errorf("BGW-155: rung %d times for three sets", n)
	}
	word.Store(latchOwned)
	l.set()
	if n := called.number(); n != 0 {
		t.Errorf("rung %d times for an owner that is awake", n)
	}
	word.Store(latchOwned | latchWaiting | latchTapped)
	l.set()
	if n := called.number(); n != 0 {
		t.Errorf("rung %d times, though a tap does", n)
	}
}

// TestLatchTimeout holds BGW-156: nothing happens, so that the wait ends with
// Timeout, and not before its time.
func TestLatchTimeout(t *testing.T) {
	l, _ := testLatch(t)
	const timeout = 30 * time.Millisecond
	begin := time.Now()
	e, err := l.Wait(t.Context(), timeout)
	if e != Timeout || err != nil {
		t.Errorf("BGW-156: got %v, %v", e, err)
	}
	if d := time.Since(begin); d < timeout {
		t.Errorf("BGW-156: timeout of %v after %v", timeout, d)
	}
	if w := l.word.Load().Load(); w != l.mine {
		t.Errorf("the word is %d after a wait", w)
	}
}

func TestLatchWakes(t *testing.T) {
	l, _ := testLatch(t)
	for name, set := range map[string]func() error{
		"Set":                      l.Set,
		"wake":                     l.bell.wake,
		"ring without the segment": l.bell.ring,
		"Set where no tap is known": func() error {
			l.word.Load().And(^uint32(latchTapped))
			return l.Set()
		},
	} {
		var waiter sync.WaitGroup
		waiter.Go(func() {
			if e, err := l.Wait(t.Context(), -1); e != LatchSet || err != nil {
				t.Errorf("%s: got %v, %v", name, e, err)
			}
		})
		untilWaiting(l)
		if err := set(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		waiter.Wait()
		if !l.IsSet() {
			t.Errorf("%s: not set afterwards", name)
		}
		l.rung() // a ring may be taken after the wait, and sets it again
		l.Reset()
	}
}

// TestLatchRungBefore: what the supervisor rang while nobody waited counts.
func TestLatchRungBefore(t *testing.T) {
	l, _ := testLatch(t)
	l.bell.ring()
	if e, err := l.Wait(t.Context(), 0); e != LatchSet || err != nil {
		t.Errorf("a look: got %v, %v", e, err)
	}
	l.Reset()
	l.bell.ring()
	if !l.IsSet() {
		t.Error("IsSet does not see it")
	}
	l.Reset()
	if l.IsSet() {
		t.Error("it is set after a reset")
	}
}

func TestLatchEnds(t *testing.T) {
	l, dead := testLatch(t)
	ctx, cancel := context.WithCancel(t.Context())
	var waiter sync.WaitGroup
	waiter.Go(func() {
		if e, err := l.Wait(ctx, time.Hour); e != 0 || err != context.Canceled {
			t.Errorf("cancelled: got %v, %v", e, err)
		}
	})
	untilWaiting(l)
	if e, err := l.Wait(t.Context(), 0); e != 0 || err == nil {
		t.Errorf("second waiter: got %v, %v", e, err)
	}
	cancel()
	waiter.Wait()

	waiter.Go(func() {
		if e, err := l.Wait(t.Context(), -1); e != SupervisorDied || err != nil {
			t.Errorf("supervisor died: got %v, %v", e, err)
		}
	})
	untilWaiting(l)
	close(dead)
	l.interrupt()
	waiter.Wait()
	if e, err := l.Wait(t.Context(), -1); e != SupervisorDied || err != nil {
		t.Errorf("afterwards: got %v, %v", e, err)
	}
	l.Set()
	if e, err := l.Wait(t.Context(), -1); e != LatchSet || err != nil {
		t.Errorf("set afterwards: got %v, %v", e, err)
	}
}

func TestLatchClosed(t *testing.T) {
	l, _ := testLatch(t)
	var waiter sync.WaitGroup
	waiter.Go(func() {
		if _, err := l.Wait(t.Context(), -1); !errors.Is(err, ErrClosed) {
			t.Errorf("closed while waiting: got %v", err)
		}
	})
	untilWaiting(l)
	l.bell.file.Close()
	waiter.Wait()
	if _, err := l.Wait(t.Context(), -1); !errors.Is(err, ErrClosed) {
		t.Errorf("closed before: got %v", err)
	}
	if err := l.bell.ring(); !errors.Is(err, ErrClosed) {
		t.Errorf("ring: got %v", err)
	}
}

// TestLatchMoves: a waiter that is asleep as its process attaches is woken
// through the new place, and a set latch stays set.
func TestLatchMoves(t *testing.T) {
	l, _ := testLatch(t)
	var shared atomic.Uint32
	shared.Store(latchWaiting) // left by a process before
	var waiter sync.WaitGroup
	waiter.Go(func() {
		if e, err := l.Wait(t.Context(), -1); e != LatchSet || err != nil {
			t.Errorf("got %v, %v", e, err)
		}
	})
	untilWaiting(l)
	l.moveTo(&shared)
	other := &bell{file: l.bell.file, raw: l.bell.raw, add1: l.bell.add1, add0: l.bell.add0, where: func() *atomic.Uint32 { return &shared }}
	if err := other.set(); err != nil {
		t.Fatal(err)
	}
	waiter.Wait()
	l.moveTo(&l.local)
	if w := shared.Load(); w != 0 {
		t.Errorf("the old place has %d", w)
	}
	if !l.IsSet() {
		t.Error("a set latch is not set after a move")
	}
	l.Reset()
	// Nobody owns the old place: who sets it rings.
	for range 2 {
		other.set()
	}
	if !l.IsSet() {
		t.Error("the set of a place without an owner is lost")
	}
}

// TestLatchNoLostWakeup sends one message after the other through a counter and
// two latches: none may get stuck.
func TestLatchNoLostWakeup(t *testing.T) {
	a, _ := testLatch(t)
	b, _ := testLatch(t)
	const rounds = 5000
	var sent, seen atomic.Int64
	var both sync.WaitGroup
	both.Go(func() {
		for seen.Load() < rounds {
			a.Reset()
			if n := sent.Load(); n > seen.Load() {
				seen.Store(n)
				b.Set()
				continue
			}
			if _, err := a.Wait(t.Context(), -1); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := int64(1); i <= rounds; i++ {
		sent.Store(i)
		a.Set()
		for {
			b.Reset()
			if seen.Load() >= i {
				break
			}
			if _, err := b.Wait(t.Context(), -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	both.Wait()
}

// TestLatchMovesWithoutLoss sets and waits while the latch goes to and fro
// between its places: each set is seen.
func TestLatchMovesWithoutLoss(t *testing.T) {
	l, _ := testLatch(t)
	var shared atomic.Uint32
	var sent, seen atomic.Int64
	const rounds = 2000
	var others sync.WaitGroup
	others.Go(func() {
		for i := 0; seen.Load() < rounds; i++ {
			l.moveTo([]*atomic.Uint32{&shared, &l.local}[i%2])
			runtime.Gosched()
		}
	})
	others.Go(func() {
		for i := int64(1); i <= rounds; i++ {
			sent.Store(i)
			l.Set()
			for seen.Load() < i {
				runtime.Gosched()
			}
		}
	})
	for seen.Load() < rounds {
		l.Reset()
		if n := sent.Load(); n > seen.Load() {
			seen.Store(n)
			continue
		}
		if e, err := l.Wait(t.Context(), -1); e != LatchSet || err != nil {
			t.Fatalf("got %v, %v", e, err)
		}
	}
	others.Wait()
}

func TestLatchAllocations(t *testing.T) {
	l, _ := testLatch(t)
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		l.Set()
		l.Wait(ctx, -1)
		l.Reset()
	}); n != 0 {
		t.Errorf("set, wait, reset: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		l.bell.ring()
		l.Wait(ctx, -1)
		l.Reset()
	}); n != 0 {
		t.Errorf("ring, wait, reset: %v allocations", n)
	}
}

func TestEventWords(t *testing.T) {
	if LatchSet.String() != "latch set" || SupervisorDied.String() != "supervisor died" || Timeout.String() != "timeout" || Event(9).String() != "event 9" {
		t.Error("words differ")
	}
}
