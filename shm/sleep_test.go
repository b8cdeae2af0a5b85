package shm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestQueueSteadyState holds the counts: a message that fits costs no
// allocation, and nobody is rung who does not sleep.
func TestQueueSteadyState(t *testing.T) {
	s, r := testQueue(t, 64<<10)
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
	if n := s.party.latch.rings(t) + r.party.latch.rings(t); n != 0 {
		t.Errorf("%d rings, though nobody slept", n)
	}
}

// TestQueueRings: one ring for one sleep, of who sleeps and of who was told
// that it would block.
func TestQueueRings(t *testing.T) {
	s, r := testQueue(t, 1024)
	if _, err := r.TryReceive(); err != ErrWouldBlock {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.TrySend(Flush, message(8)); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.party.latch.rings(t); n != 1 {
		t.Errorf("%d rings", n)
	}
	for range 3 {
		if _, err := r.TryReceive(); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.party.latch.rings(t); n != 0 {
		t.Errorf("the sender is rung %d times", n)
	}
}

// TestQueuesNoLostWakeup: two queues, one message to and fro, and bursts into
// rings that are too small, without patrols and with hardly any spins.
func TestQueuesNoLostWakeup(t *testing.T) {
	for _, spins := range []int{0, 20} {
		a, b := testParties(t)
		a.spins, b.spins = spins, spins
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

// TestManyWaiters: hundreds of goroutines of one process wait for a message
// each, and one for the latch. They cost no thread, each is woken by its own
// message, and the latch's waiter by a set.
func TestManyWaiters(t *testing.T) {
	const queues = 500
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
			if e == LatchSet && b.latch.sleepers.nobody() { // not before the others are done
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

// TestRingIsNotStolen: a look at the latch takes the ring that was meant for a
// queue's waiter, who has to be woken all the same.
func TestRingIsNotStolen(t *testing.T) {
	a, b := testParties(t)
	s, r := testQueueOf(t, a, b, make([]byte, 128))
	stop := make(chan struct{})
	var thief sync.WaitGroup
	thief.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.latch.IsSet()
				b.latch.Reset()
			}
		}
	})
	r.party.spins = 0
	for range 1000 {
		received := make(chan error, 1)
		go func() { _, err := r.Receive(t.Context()); received <- err }()
		untilFlag(r.Queue, queueReceiverWaits)
		if err := s.Send(t.Context(), Flush, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-received; err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	thief.Wait()
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

// TestPartyWord: an ended process is known by its slot, generation and start
// number, over the wrap of the low bits; one that the table does not know yet
// is not taken for ended.
func TestPartyWord(t *testing.T) {
	table, slots := tables(t)
	self := func(generation, start uint64) uint64 {
		return partyWord(&BackgroundWorker{Handle: Handle{Slot: 7, Generation: generation}, Start: start})
	}
	if partySlot(self(1, 1)) != 7 || partySlot(0) != 1<<32-1 {
		t.Error("the slot is not what it was")
	}
	if slots.dead(self(5, 1)) || slots.stopped(Handle{Slot: 7, Generation: 5}) {
		t.Error("a slot that was never used has no dead process")
	}
	const epoch = 9 << 32
	for _, c := range []struct {
		generation, start uint64
		state             State
		status            Status
		dead, stopped     bool // of generation epoch + 5, start 3
	}{
		{epoch + 4, 9, StateRunning, StatusStarted, false, false},
		{epoch + 5, 2, StateRestarting, StatusStopped, false, true},
		{epoch + 5, 3, StateStarting, StatusNotYetStarted, false, false},
		{epoch + 5, 3, StateStarting, StatusStopped, false, false},
		{epoch + 5, 3, StateRunning, StatusStarted, false, false},
		{epoch + 5, 3, StateStopping, StatusStarted, false, false},
		{epoch + 5, 3, StateRestarting, StatusStopped, true, true},
		{epoch + 5, 3, StateHeld, StatusStopped, true, true},
		{epoch + 5, 3, StateEnded, StatusStopped, true, true},
		{epoch + 5, 4, StateRunning, StatusStarted, true, false},
		{epoch + 6, 1, StateRunning, StatusStarted, true, true},
		{epoch + 5 + 1<<23, 1, StateRunning, StatusStarted, false, true}, // too far to tell
	} {
		table.Set(7, Entry{Generation: c.generation, Start: c.start, State: c.state, Status: c.status})
		name := fmt.Sprintf("generation %d, start %d, %v", c.generation-epoch, c.start, c.state)
		if got := slots.dead(self(epoch+5, 3)); got != c.dead {
			t.Errorf("%s: dead is %v", name, got)
		}
		if got := slots.stopped(Handle{Slot: 7, Generation: epoch + 5}); got != c.stopped {
			t.Errorf("%s: stopped is %v", name, got)
		}
	}
	table.Set(7, Entry{Generation: 1 << 24, Start: 1 << 24, State: StateRunning})
	if !slots.dead(self(1<<24-1, 1)) || !slots.dead(self(1<<24, 1<<24-1)) {
		t.Error("the wrap of the low bits hides an end")
	}
	if slots.dead(self(1<<24, 0)) {
		t.Error("a start number that is not known counts")
	}
}

// TestQueuePeerDies: a peer that ends without a word is noticed on a patrol,
// after what it sent.
func TestQueuePeerDies(t *testing.T) {
	a, b := testParties(t)
	b.latch.sleepers.every = time.Millisecond
	s, r := testQueueOf(t, a, b, make([]byte, 256))
	if err := s.TrySend(Flush, message(9)); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		var got []string
		for {
			m, err := r.Receive(t.Context())
			if err != nil {
				done <- strings.Join(append(got, err.Error()), ", ")
				return
			}
			got = append(got, fmt.Sprint(len(m)))
		}
	}()
	untilFlag(r.Queue, queueReceiverWaits)
	b.gone.Store(true)
	if got := <-done; got != "9, "+ErrDetached.Error() {
		t.Errorf("got %s", got)
	}
}
