package shm

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// TestConditionWaiters: hundreds of goroutines of one process that wait for
// locks, condition variables and barriers cost no thread each.
func TestConditionWaiters(t *testing.T) {
	const each = 100
	parties, _ := testPeers(t, 2)
	a, b := parties[0], parties[1]
	threads := threadCount(t)
	var all sync.WaitGroup
	var conditions []*Condition
	var gates []*Barrier
	var held []*Lock
	var ready atomic.Bool
	for range each {
		data := make([]byte, LockSize(2)+ConditionSize(2)+BarrierSize(2))
		lock, condition, gate := data[:LockSize(2)], data[LockSize(2):][:ConditionSize(2)], data[LockSize(2)+ConditionSize(2):]
		l, err1 := a.createLock(lock)
		ours, err2 := b.openLock(lock)
		c, err3 := b.createCondition(condition)
		g, err4 := b.createBarrier(gate, 2)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		acquire(t, l)
		held, conditions, gates = append(held, l), append(conditions, c), append(gates, g)
		all.Go(func() { acquire(t, ours); ours.Release() })
		all.Go(func() {
			if err := c.Wait(t.Context(), ready.Load); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := g.ArriveAndWait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range each {
		untilStandBy(&Lock{party: b.party, waiters: held[i].waiters})
		untilQueued(conditions[i], 1)
		untilArrived(gates[i], 1)
	}
	if n := threadCount(t) - threads; n > 20 {
		t.Errorf("%d threads for %d waiters", n, 3*each)
	}
	ready.Store(true)
	for i := range each {
		held[i].Release()
		conditions[i].Broadcast()
		if one, err := gates[i].ArriveAndWait(t.Context()); !one || err != nil {
			t.Errorf("the last to arrive: %v, %v", one, err)
		}
	}
	all.Wait()
}

// TestConditionPassesOn: what a waiter did not need wakes another one.
func TestConditionPassesOn(t *testing.T) {
	c, _ := conditions(t, 2, 2)
	first, second := c[0].PrepareToSleep(), c[1].PrepareToSleep()
	c[0].Signal()
	first.CancelPassingOn()
	if err := second.Sleep(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.CancelPassingOn()
	if n := c[0].waitingNow(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// TestConditionCosts: while nobody waits, neither a signal nor a broadcast rings
// or allocates, and neither does a lock that is free or a barrier of one.
func TestConditionCosts(t *testing.T) {
	both := barriers(t, 2, 4, 1)
	b, c := both[0], both[0].condition
	called, _ := callsTo(t, c.party, both[1].condition.party)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		c.Signal()
		c.Broadcast()
		if one, err := b.ArriveAndWait(ctx); !one || err != nil {
			t.Fatal(one, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := called.number(); n != 0 {
		t.Errorf("%d rings, though nobody slept", n)
	}
}
