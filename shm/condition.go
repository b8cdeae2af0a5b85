package shm

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	conditionHeaderSize = placesHeader
	conditionPlaceSize  = placeSize

	// MinConditionSize is the size in bytes of the smallest condition variable;
	// see ConditionSize.
	MinConditionSize = conditionHeaderSize + conditionPlaceSize
)

// ConditionSize is how many bytes a condition variable takes that n waiters can
// be woken from at once. More of them look every millisecond.
func ConditionSize(n int) int { return placesSize(n) }

// Condition is a condition variable in shared memory: PostgreSQL's
// ConditionVariable. Who waits for something to be true prepares, looks, and
// sleeps until it is; who makes it true signals one waiter or wakes all by a
// broadcast afterwards. A wake-up may come for nothing. There is no lock
// beneath: a waiter that dies costs nobody a wake-up, and while nobody waits no
// system call is made.
//
// CreateCondition or OpenCondition, once in each process; the methods may be
// called concurrently, and every goroutine counts as one that waits.
type Condition struct {
	party  *party
	mem    memory
	next   *atomic.Uint64 // ticket
	places []conditionWords
	gone   atomic.Bool // this process has detached
}

// conditionWords are those of a conditionPlace.
type conditionWords struct{ party, ticket *atomic.Uint64 }

// CreateCondition makes a condition variable of data (ConditionVariableInit),
// MinConditionSize bytes at least, beginning at a multiple of 8, as what Area
// returns does. Whatever was there is overwritten: one process makes it, and
// tells others of it afterwards. The process has to be attached.
func (w *Worker) CreateCondition(data []byte) (*Condition, error) {
	return as(w, "create condition variable", func(p *party) (*Condition, error) { return p.createCondition(data) })
}

// OpenCondition returns the condition variable that another process made of the
// same memory. ErrDamaged (wrapped) if there is none, or one of another size.
func (w *Worker) OpenCondition(data []byte) (*Condition, error) {
	return as(w, "open condition variable", func(p *party) (*Condition, error) { return p.openCondition(data) })
}

func (p *party) createCondition(data []byte) (*Condition, error) {
	m, places, err := placesMemory(data)
	if err != nil {
		return nil, err
	}
	m.clearPlaces(places)
	m.word64(16).Store(1)
	m.word64(0).Store(conditionMagic)
	return p.newCondition(m, places)
}

func (p *party) openCondition(data []byte) (*Condition, error) {
	m, places, err := placesMemory(data)
	if err != nil {
		return nil, err
	}
	if err := m.checkPlaces(conditionMagic, places, "condition variable"); err != nil {
		return nil, err
	}
	return p.newCondition(m, places)
}

func (p *party) newCondition(m memory, places int) (*Condition, error) {
	c := &Condition{party: p, mem: m, next: m.word64(16)}
	for i := range uint64(places) {
		at := conditionHeaderSize + i*conditionPlaceSize
		c.places = append(c.places, conditionWords{m.word64(at), m.word64(at + 8)})
	}
	if err := p.add(c, m); err != nil {
		return nil, err
	}
	return c, nil
}

// Signal wakes one of those who wait, the one that has waited longest
// (ConditionVariableSignal, BGW-157). One that has ended is passed over.
func (c *Condition) Signal() {
	for range c.places {
		at, ticket := c.first()
		if ticket == 0 || c.gone.Load() || c.wake(at, ticket) {
			return
		}
	}
	c.Broadcast() // others were faster each time; to wake too many is allowed
}

// first is who has waited longest; ticket is 0 if nobody waits.
func (c *Condition) first() (at conditionWords, ticket uint64) {
	for _, p := range c.places {
		if t := p.ticket.Load(); t != 0 && (ticket == 0 || t < ticket) {
			at, ticket = p, t
		}
	}
	return at, ticket
}

// wake wakes who waits with a ticket; false if nobody did so any more.
func (c *Condition) wake(at conditionWords, ticket uint64) bool {
	word := at.party.Load() // stays as long as the ticket does
	if !at.ticket.CompareAndSwap(ticket, 0) || word == 0 || c.party.dead(word) {
		return false
	}
	c.party.ring(word)
	return true
}

// Broadcast wakes all who wait when it is called (ConditionVariableBroadcast,
// BGW-157).
func (c *Condition) Broadcast() {
	if !c.gone.Load() {
		c.wakeAll()
	}
}

func (c *Condition) wakeAll() {
	limit := c.next.Load()
	for _, p := range c.places {
		if t := p.ticket.Load(); t != 0 && t < limit {
			c.wake(p, t)
		}
	}
}

// Wait sleeps until ready returns true, which it calls at first and after each
// wake-up. The error is ctx's, ErrSupervisorDied or ErrNotAttached, wrapped; a
// signal that this waiter did not need goes to another one.
func (c *Condition) Wait(ctx context.Context, ready func() bool) error {
	if ready() {
		return nil
	}
	s := c.PrepareToSleep()
	defer s.CancelPassingOn()
	for !ready() {
		if err := s.Sleep(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ConditionSleep is one goroutine's wait for a condition variable; see
// PrepareToSleep.
type ConditionSleep struct {
	condition *Condition
	place     *conditionWords // nil: all were taken
	ticket    uint64
	sleeper   sleeper
}

// PrepareToSleep makes the calling goroutine one of those who wait
// (ConditionVariablePrepareToSleep). What it waits for has to be looked at
// between it and Sleep, and between one Sleep and the next: so no wake-up is
// lost. Cancel or CancelPassingOn ends it, and one of them has to be called.
//
//	s := c.PrepareToSleep()
//	defer s.CancelPassingOn()
//	for !done.Load() {
//		if err := s.Sleep(ctx); err != nil {
//			return err
//		}
//	}
func (c *Condition) PrepareToSleep() *ConditionSleep {
	s := &ConditionSleep{condition: c}
	s.sleeper = newSleeper((*conditionWait)(s), true)
	s.enlist()
	return s
}

// enlist takes a place, if there is one, and waits there.
func (s *ConditionSleep) enlist() {
	c := s.condition
	s.place = c.takePlace()
	if s.place == nil {
		return
	}
	s.renew()
	if c.gone.Load() { // an abandon may have been too early to see this
		c.giveBack(s.place)
		s.place = nil
	}
}

// giveBack frees a place of this process, whose wait counts no more.
func (c *Condition) giveBack(p *conditionWords) {
	p.ticket.Store(0)
	p.party.CompareAndSwap(c.party.word, 0)
}

// renew waits at the place that was taken.
func (s *ConditionSleep) renew() {
	s.ticket = s.condition.next.Add(1) - 1
	if s.ticket == 0 { // not in a life's time
		s.ticket = s.condition.next.Add(1) - 1
	}
	s.place.ticket.Store(s.ticket)
}

// takePlace takes a place that is free, or that of one who has ended; nil if
// there is none.
func (c *Condition) takePlace() *conditionWords {
	for i := range c.places {
		if p := &c.places[i]; p.party.Load() == 0 && p.party.CompareAndSwap(0, c.party.word) {
			return p
		}
	}
	for i := range c.places {
		p := &c.places[i]
		w := p.party.Load()
		if w == c.party.word || !c.party.dead(w) {
			continue
		}
		t := p.ticket.Load()
		if p.party.Load() != w {
			continue // somebody was faster: the ticket is that of one who lives
		}
		// First, so that no signal goes to the ticket of a dead one who seems
		// to live.
		if t != 0 {
			p.ticket.CompareAndSwap(t, 0)
		}
		if p.party.CompareAndSwap(w, c.party.word) {
			return p
		}
	}
	return nil
}

// Sleep waits for a wake-up (ConditionVariableSleep), and then waits for the
// next one already. It may return for nothing. The error is ctx's,
// ErrSupervisorDied or ErrNotAttached, wrapped.
func (s *ConditionSleep) Sleep(ctx context.Context) error {
	_, err := s.sleep(ctx, time.Time{})
	return err
}

// TimedSleep is Sleep that ends after timeout, and then returns true
// (ConditionVariableTimedSleep). The time of several calls does not add up.
func (s *ConditionSleep) TimedSleep(ctx context.Context, timeout time.Duration) (timedOut bool, err error) {
	return s.sleep(ctx, time.Now().Add(max(0, timeout)))
}

func (s *ConditionSleep) sleep(ctx context.Context, deadline time.Time) (timedOut bool, err error) {
	c, until := s.condition, deadline
	if s.place == nil {
		if soon := time.Now().Add(crowded); until.IsZero() || soon.Before(until) {
			until = soon
		}
	}
	event, err := c.party.latch.sleep(ctx, &s.sleeper, until)
	switch {
	case err != nil:
	case event == SupervisorDied:
		err = ErrSupervisorDied
	case c.gone.Load():
		err = ErrNotAttached
	case event == Timeout && until.Equal(deadline):
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot wait for condition variable: %w", err)
	}
	s.again()
	return false, nil
}

// again waits once more after a wake-up.
func (s *ConditionSleep) again() {
	if s.place == nil || s.place.party.Load() != s.condition.party.word {
		s.enlist() // it had none, or the memory is damaged
		return
	}
	s.renew()
}

// Cancel ends the wait (ConditionVariableCancelSleep). It says whether a wake-up
// came since Sleep returned last, or, without a Sleep, since PrepareToSleep. A
// second call does nothing.
func (s *ConditionSleep) Cancel() (signaled bool) {
	p := s.place
	s.place = nil
	if p == nil || s.condition.gone.Load() {
		return false // its places were given back
	}
	signaled = !p.ticket.CompareAndSwap(s.ticket, 0)
	p.party.CompareAndSwap(s.condition.party.word, 0)
	return signaled
}

// CancelPassingOn is Cancel that signals once more if a wake-up came: it may
// have been for one who still sleeps. With broadcasts alone it is of no use.
func (s *ConditionSleep) CancelPassingOn() {
	if s.Cancel() {
		s.condition.Signal()
	}
}

// conditionWait is waiting for a wake-up.
type conditionWait ConditionSleep

func (w *conditionWait) arm() (done bool, err error) { return w.look(), nil }

func (w *conditionWait) disarm() {}

func (w *conditionWait) look() bool {
	return w.condition.gone.Load() || w.place != nil && w.place.ticket.Load() != w.ticket
}

// abandon ends all waits of this process, and gives its places back.
func (c *Condition) abandon() {
	c.gone.Store(true)
	for i := range c.places {
		if p := &c.places[i]; p.party.Load() == c.party.word {
			c.giveBack(p)
		}
	}
	c.party.ring(c.party.word)
}
