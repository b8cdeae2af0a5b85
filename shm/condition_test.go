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

// conditions are n processes with one condition variable.
func conditions(t testing.TB, n, places int) (all []*Condition, dead *atomic.Uint64) {
	t.Helper()
	parties, dead := testPeers(t, n)
	data := make([]byte, ConditionSize(places))
	for i, p := range parties {
		open := p.openCondition
		if i == 0 {
			open = p.createCondition
		}
		c, err := open(data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all, dead
}

// waiting is how many wait, in all processes.
func (c *Condition) waitingNow() (n int) {
	for _, p := range c.places {
		if p.ticket.Load() != 0 {
			n++
		}
	}
	return n
}

func untilQueued(c *Condition, n int) {
	for c.waitingNow() != n {
		runtime.Gosched()
	}
}

// TestConditionSignal holds BGW-157: of three sleepers in two processes a
// signal wakes one, the one that waits longest, and a broadcast all.
func TestConditionSignal(t *testing.T) {
	c, _ := conditions(t, 3, 4)
	woken := make(chan int, 3)
	for i, of := range []int{0, 1, 1} {
		go func() {
			s := c[of].PrepareToSleep()
			err := s.Sleep(t.Context())
			s.Cancel()
			if err != nil {
				t.Error(err)
			}
			woken <- i
		}()
		untilQueued(c[0], i+1)
	}
	c[2].Signal()
	if i := <-woken; i != 0 {
		t.Errorf("BGW-157: sleeper %d is woken, 0 waited longest", i)
	}
	untilQueued(c[2], 2)
	select {
	case i := <-woken:
		t.Errorf("BGW-157: sleeper %d is woken, too", i)
	default:
	}
	c[2].Broadcast()
	if a, b := <-woken, <-woken; a+b != 3 {
		t.Errorf("BGW-157: a broadcast wakes %d and %d", a, b)
	}
	untilQueued(c[2], 0)
}

// TestConditionPrepare: a signal between PrepareToSleep and Sleep, or between
// two Sleeps, is not lost; Cancel tells of one; and without a waiter a signal
// is nothing.
func TestConditionPrepare(t *testing.T) {
	c, _ := conditions(t, 2, 2)
	called, _ := callsTo(t, c[0].party, c[1].party)
	c[0].Signal()
	c[0].Broadcast()
	s := c[1].PrepareToSleep()
	for range 3 {
		c[0].Signal()
		if err := s.Sleep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.Cancel() {
		t.Error("Cancel tells of a signal that was taken")
	}
	s = c[1].PrepareToSleep()
	c[0].Signal()
	if !s.Cancel() || s.Cancel() {
		t.Error("Cancel tells of no signal")
	}
	if n := called.number(); n != 4 {
		t.Errorf("%d calls for 4 signals to one who waits", n)
	}
}

// TestConditionTimedSleep: a timeout is told, and the waiter still waits.
func TestConditionTimedSleep(t *testing.T) {
	c, _ := conditions(t, 2, 1)
	s := c[1].PrepareToSleep()
	defer s.Cancel()
	for _, timeout := range []time.Duration{-1, 0, time.Millisecond} {
		if late, err := s.TimedSleep(t.Context(), timeout); !late || err != nil {
			t.Errorf("after %v: %v, %v", timeout, late, err)
		}
	}
	c[0].Signal()
	if late, err := s.TimedSleep(t.Context(), time.Hour); late || err != nil {
		t.Errorf("signalled: %v, %v", late, err)
	}
	crowd := c[0].PrepareToSleep()
	if late, err := crowd.TimedSleep(t.Context(), 0); !late || err != nil {
		t.Errorf("without a place: %v, %v", late, err)
	}
	if late, err := crowd.TimedSleep(t.Context(), time.Hour); late || err != nil {
		t.Errorf("without a place it looks every millisecond: %v, %v", late, err)
	}
}

// TestConditionWaiterDies: a signal passes over those who have ended, and their
// places are taken again.
func TestConditionWaiterDies(t *testing.T) {
	c, dead := conditions(t, 3, 2)
	c[0].PrepareToSleep()
	dead.Store(c[0].party.word)
	s := c[1].PrepareToSleep()
	c[2].Signal()
	if err := s.Sleep(t.Context()); err != nil {
		t.Fatal(err)
	}
	c[0].PrepareToSleep() // a place of the dead one that holds a ticket
	s.Cancel()
	a, b := c[1].PrepareToSleep(), c[2].PrepareToSleep()
	if a.place == nil || b.place == nil {
		t.Fatal("the place of one who has ended is not free")
	}
	c[1].Broadcast()
	if !a.Cancel() || !b.Cancel() {
		t.Error("a broadcast does not reach all")
	}
}

// TestConditionTakenOver: two take over the place of one who has ended, and the
// slower one leaves the other's ticket alone, so that a signal finds it.
func TestConditionTakenOver(t *testing.T) {
	c, dead := conditions(t, 3, 1)
	c[0].PrepareToSleep()
	dead.Store(c[0].party.word)
	isDead := c[1].party.dead
	var fast *ConditionSleep
	c[1].party.dead = func(word uint64) bool {
		if fast == nil {
			fast = c[2].PrepareToSleep() // between the slower one's look and its next step
		}
		return isDead(word)
	}
	if slow := c[1].PrepareToSleep(); slow.place != nil || fast.place == nil {
		t.Fatal("the place was not taken by the faster one alone")
	}
	if (*conditionWait)(fast).look() {
		t.Error("the ticket of one who waits was taken away, and nobody woke it")
	}
	c[0].Signal()
	if !fast.Cancel() {
		t.Error("a signal does not find who has taken over a place")
	}
}

// TestConditionEnds: what else ends a sleep; a signal that comes too late goes
// to somebody else.
func TestConditionEnds(t *testing.T) {
	c, _ := conditions(t, 2, 2)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		failed <- c[0].Wait(ctx, func() bool {
			if ctx.Err() != nil {
				return false
			}
			cancel()
			c[0].Signal() // it comes as the waiter gives up
			return false
		})
	}()
	other := c[1].PrepareToSleep()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
	if c[1].waitingNow() > 1 {
		t.Error("who gave up still waits")
	}
	other.Cancel()

	go func() { failed <- c[0].Wait(t.Context(), func() bool { return false }) }()
	untilQueued(c[0], 1)
	c[0].party.endAll()
	if err := <-failed; !errors.Is(err, ErrNotAttached) {
		t.Errorf("after a detach: %v", err)
	}
	if s := c[0].PrepareToSleep(); s.place != nil || c[0].waitingNow() != 0 {
		t.Error("it waits after a detach")
	}
	if _, err := c[0].party.openCondition(c[0].mem); err != nil {
		t.Error(err)
	}

	parties, _ := testPeers(t, 1)
	d, err := parties[0].createCondition(make([]byte, MinConditionSize))
	if err != nil {
		t.Fatal(err)
	}
	go func() { failed <- d.Wait(t.Context(), func() bool { return false }) }()
	untilQueued(d, 1)
	close(parties[0].dead)
	parties[0].latch.interrupt()
	if err := <-failed; !errors.Is(err, ErrSupervisorDied) {
		t.Errorf("after the supervisor's death: %v", err)
	}
}

// TestConditionNoLostWakeup: producers and consumers in three processes, with
// fewer places than waiters and as few as can be, and no patrol: each item is
// signalled once, and all are taken.
func TestConditionNoLostWakeup(t *testing.T) {
	for _, places := range []int{1, 2, 16} {
		c, _ := conditions(t, 3, places)
		const users, items = 3, 300
		var made, taken atomic.Int64
		var all sync.WaitGroup
		take := func() bool {
			for {
				n := taken.Load()
				if n >= made.Load() {
					return false
				}
				if taken.CompareAndSwap(n, n+1) {
					return true
				}
			}
		}
		for _, c := range c {
			for range users {
				all.Go(func() {
					for range items {
						if err := c.Wait(t.Context(), take); err != nil {
							t.Error(err)
						}
					}
				})
				all.Go(func() {
					for range items {
						made.Add(1)
						c.Signal()
					}
				})
			}
		}
		all.Wait()
		if n := taken.Load(); n != 3*users*items || c[0].waitingNow() != 0 {
			t.Errorf("%d taken, %d wait", n, c[0].waitingNow())
		}
	}
}

func TestConditionMemory(t *testing.T) {
	p := newTestParty(t, 1)
	data := make([]byte, 200)
	for _, bad := range [][]byte{nil, data[:MinConditionSize-1], data[4:]} {
		if _, err := p.createCondition(bad); err == nil {
			t.Errorf("a condition variable in %d bytes at no good place", len(bad))
		}
	}
	if _, err := p.openCondition(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := p.createCondition(data); err != nil {
		t.Fatal(err)
	}
	if _, err := p.openCondition(data[:100]); !errors.Is(err, ErrDamaged) {
		t.Errorf("another size: %v", err)
	}
	memory(data).word32(12).Store(1)
	if _, err := p.openCondition(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("another feature: %v", err)
	}
}

// FuzzCondition uses a condition variable and a barrier in hostile memory
// without waiting: never a fault, never without an end.
func FuzzCondition(f *testing.F) {
	f.Add([]byte{40, 0, 255, 3, 48, 1, 7, 1, 16, 0, 255, 2, 16, 0, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newFuzzParty(t, 1)
		data := make([]byte, BarrierSize(3))
		b, err := p.createBarrier(data, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s := b.condition.PrepareToSleep()
		for ; len(script) >= 4; script = script[4:] {
			data[(int(script[0])|int(script[1])<<8)%len(data)] = script[2]
			p.gone.Store(script[3]&16 != 0)
			switch script[3] & 7 {
			case 0:
				b.condition.Signal()
			case 1:
				b.condition.Broadcast()
			case 2:
				s.Cancel()
				s = b.condition.PrepareToSleep()
			case 3:
				s.TimedSleep(ctx, 0)
			case 4:
				b.Attach()
			case 5:
				b.ArriveAndWait(ctx)
			case 6:
				b.ArriveAndDetach()
			case 7:
				b.ArriveAndDetachExceptLast()
			}
		}
		s.Cancel()
		b.abandon()
		b.condition.abandon()
	})
}
