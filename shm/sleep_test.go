package shm

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestQueueSteadyState holds the counts: a message that fits costs no
// allocation, and nobody is rung who does not sleep.
func TestQueueSteadyState(t *testing.T) {
	s, r := testQueue(t, 64<<10)
	receivers, _ := callsTo(t, s.party, r.party)
	senders, _ := callsTo(t, r.party, s.party)
	b := message(100)
	ctx := t.Context()
	if n := testing.AllocsPerRun(2000, func() {
		if s.Send(ctx, Flush, b[:8], b[8:]) != nil || s.TrySend(NoFlush, b) != nil || s.Flush() != nil {
			t.Fatal("cannot send")
		}
		for range 2 {
			if _, err := r.Receive(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for two messages", n)
	}
	if n := senders.number() + receivers.number(); n != 0 {
		t.Errorf("%d rings, though nobody slept", n)
	}
}

// TestQueueRings: one ring for one sleep, of who sleeps and of who was told
// that it would block.
func TestQueueRings(t *testing.T) {
	s, r := testQueue(t, 1024)
	receivers, _ := callsTo(t, s.party, r.party)
	senders, _ := callsTo(t, r.party, s.party)
	if _, err := r.TryReceive(); err != ErrWouldBlock {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.TrySend(Flush, message(8)); err != nil {
			t.Fatal(err)
		}
	}
	if n := receivers.number(); n != 1 {
		t.Errorf("%d rings", n)
	}
	for range 3 {
		if _, err := r.TryReceive(); err != nil {
			t.Fatal(err)
		}
	}
	if n := senders.number(); n != 0 {
		t.Errorf("the sender is rung %d times", n)
	}
}

// TestQueuesNoLostWakeup: two queues, one message to and fro, and bursts into
// rings that are too small, without patrols and with hardly any spins; also
// between two that ring and do not tap.
func TestQueuesNoLostWakeup(t *testing.T) {
	for _, spins := range []int{0, 20, -1} {
		a, b := testParties(t)
		a.spins, b.spins = max(spins, 0), max(spins, 0)
		if spins < 0 {
			a.bells[2], b.bells[1] = ringer(b.latch), ringer(a.latch)
		}
		s1, r1 := testQueueOf(t, a, b, make([]byte, 96))
		s2, r2 := testQueueOf(t, b, a, make([]byte, 96))
		const rounds = 3000
		var echo sync.WaitGroup
		echo.Go(func() {
			for {
				m, err := r1.Receive(t.Context())
				if err != nil {
					s2.Detach()
					return
				}
				if err := s2.Send(t.Context(), Flush, m); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for i := range rounds {
			want := message(i % 90)
			if err := s1.Send(t.Context(), Flush, want); err != nil {
				t.Fatal(err)
			}
			if got, err := r2.Receive(t.Context()); err != nil || string(got) != string(want) {
				t.Fatalf("round %d: %d bytes, %v", i, len(got), err)
			}
		}
		s1.Detach()
		echo.Wait()
		if _, err := r2.Receive(t.Context()); err != ErrDetached {
			t.Errorf("at the end: %v", err)
		}
	}
}

// TestManyWaiters: a thousand goroutines of one process wait for a message
// each, and one for the latch. They cost no thread, each is woken by its own
// message, and the latch's waiter by a set.
func TestManyWaiters(t *testing.T) {
	const queues = 1000
	a, b := testParties(t)
	var senders []*Sender
	var all sync.WaitGroup
	threads := threadCount(t)
	got := make(chan int, queues)
	for i := range queues {
		s, r := testQueueOf(t, a, b, make([]byte, 128))
		senders = append(senders, s)
		all.Go(func() {
			for range 3 {
				if _, err := r.Receive(t.Context()); err != nil {
					t.Error(err)
				}
				got <- i
			}
		})
	}
	latched := make(chan Event, 1)
	all.Go(func() {
		for {
			e, err := b.latch.Wait(t.Context(), -1)
			if err != nil {
				t.Error(err)
			}
			b.latch.Reset()
			if e == LatchSet && b.latch.sleepers.number.Load() == 0 { // not before the others are done
				latched <- e
				return
			}
		}
	})
	for _, s := range senders {
		untilFlag(s.Queue, queueReceiverWaits)
	}
	if n := threadCount(t) - threads; n > 20 {
		t.Errorf("%d threads for %d waiters", n, queues)
	}
	for range 3 {
		for i, s := range senders {
			if err := s.Send(t.Context(), Flush, nil); err != nil {
				t.Fatal(err)
			}
			if from := <-got; from != i {
				t.Fatalf("the message for %d woke %d", i, from)
			}
		}
	}
	for !b.latch.sleepersAre(1, 0) {
		runtime.Gosched()
	}
	for done := false; !done; {
		b.latch.Set()
		select {
		case e := <-latched:
			done = true
			if e != LatchSet {
				t.Errorf("the latch's waiter got %v", e)
			}
		default:
			runtime.Gosched()
		}
	}
	all.Wait()
}

// sleepersAre reports whether so many, or so many, wait.
func (l *Latch) sleepersAre(n, or int) bool {
	l.sleepers.mu.Lock()
	defer l.sleepers.mu.Unlock()
	return len(l.sleepers.list) == n || len(l.sleepers.list) == or
}

func threadCount(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestReaderLeaves: whoever reads the eventfd ends for a reason of its own, and
// another one goes on in its place.
func TestReaderLeaves(t *testing.T) {
	a, b := testParties(t)
	s, r := testQueueOf(t, a, b, make([]byte, 128))
	for round := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() {
			_, err := b.latch.Wait(ctx, -1)
			waited <- err
		}()
		received := make(chan error, 1)
		go func() { _, err := r.Receive(t.Context()); received <- err }()
		if round%2 == 0 {
			untilFlag(r.Queue, queueReceiverWaits)
		}
		cancel()
		if err := <-waited; err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		b.latch.Reset()
		if err := s.Send(t.Context(), Flush, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-received; err != nil {
			t.Fatal(err)
		}
	}
}

// TestPatrolBesideLatch: the reader waits for the latch, without an end; one who
// waits for a queue comes later, and its peer's silent death is noticed.
func TestPatrolBesideLatch(t *testing.T) {
	a, b := testParties(t)
	b.latch.sleepers.every = time.Millisecond
	_, r := testQueueOf(t, a, b, make([]byte, 128))
	ctx, cancel := context.WithCancel(t.Context())
	var latch sync.WaitGroup
	latch.Go(func() { b.latch.Wait(ctx, -1) })
	untilWaiting(b.latch)
	received := make(chan error, 1)
	go func() { _, err := r.Receive(t.Context()); received <- err }()
	untilFlag(r.Queue, queueReceiverWaits)
	b.gone.Store(true)
	if err := <-received; err != ErrDetached {
		t.Errorf("got %v", err)
	}
	cancel()
	latch.Wait()
}

// TestLatchClosedForAll: the end of the latch ends all waits.
func TestLatchClosedForAll(t *testing.T) {
	a, b := testParties(t)
	var all sync.WaitGroup
	for range 10 {
		_, r := testQueueOf(t, a, b, make([]byte, 128))
		all.Go(func() {
			if _, err := r.Receive(t.Context()); err != ErrClosed {
				t.Errorf("got %v", err)
			}
		})
		untilFlag(r.Queue, queueReceiverWaits)
	}
	b.latch.bell.file.Close()
	all.Wait()
}
