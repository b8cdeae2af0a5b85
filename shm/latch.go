package shm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// An Event is why Latch.Wait returned.
type Event int

// The events, each the WL_ constant of its name in PostgreSQL. Where several
// are true, the first in this order is returned.
const (
	LatchSet       Event = 1 + iota // WL_LATCH_SET
	SupervisorDied                  // WL_POSTMASTER_DEATH; from then on every Wait returns at once
	Timeout                         // WL_TIMEOUT
)

// String is "latch set", "supervisor died" or "timeout".
func (e Event) String() string {
	switch e {
	case LatchSet:
		return "latch set"
	case SupervisorDied:
		return "supervisor died"
	case Timeout:
		return "timeout"
	}
	return fmt.Sprintf("event %d", int(e))
}

// Latch is the calling process's own latch: others set it, this process waits
// for it and resets it. It belongs to the slot and not to the process: one that
// was set before a restart may be found set after it.
//
// The two loops that lose no wake-up are reset, check, wait, and check, wait,
// reset. A latch is a hint to look: it may be found set though nothing new is
// there.
//
// Before Attach and after Detach the latch works through its eventfd alone, so
// that every set costs a system call. Set may be called from everywhere, Reset
// by who waits, and Wait by one goroutine at a time.
type Latch struct {
	word   atomic.Pointer[atomic.Uint32] // where its state is now
	local  atomic.Uint32                 // its place while not attached
	mine   uint32                        // what says there that this process looks
	bell   *bell
	dead   <-chan struct{}
	wait   sync.Mutex // held by who is in Wait
	taking sync.Mutex // held by who takes rings and marks the latch

	waiter   sleeper        // who is in Wait
	armedAt  *atomic.Uint32 // the waiter's: where it has put latchWaiting
	sleepers sleepers       // all who wait for a tap or a ring
	noticed  func(uintptr) bool
}

// newLatch makes the latch behind b, which it owns from then on; dead is closed
// when the supervisor is gone, and interrupt has to be called then.
func newLatch(b *bell, dead <-chan struct{}) *Latch {
	l := &Latch{bell: b, dead: dead, mine: latchOwned}
	if tapsWork() {
		l.mine |= latchTapped
	}
	l.local.Store(l.mine)
	l.word.Store(&l.local)
	l.bell.where = l.word.Load
	l.sleepers.every = patrolEvery
	l.waiter = newSleeper((*latchWait)(l), false)
	l.noticed = l.notice
	// It is in the poller as long as there is a latch: no ring is lost that
	// comes while nobody sleeps.
	go l.bell.awaitRings(l.rung)
	return l
}

// moveTo makes to the place of the state; a set latch stays set.
func (l *Latch) moveTo(to *atomic.Uint32) {
	to.And(^uint32(latchWaiting | latchTapped))
	to.Or(l.mine)
	from := l.word.Swap(to)
	if from == to {
		return
	}
	// Who sets the old word from here on finds it not owned and rings.
	if from.And(^uint32(latchSet|latchWaiting|latchOwned|latchTapped))&latchSet != 0 {
		to.Or(latchSet)
	}
	l.sleepers.pokeAll() // a waiter looks at the new place
	l.interrupt()
}

// Set sets the latch. On a latch that is set it does nothing (BGW-155); a
// system call is made only if the owner sleeps.
func (l *Latch) Set() error { return l.bell.set() }

// set is SetLatch: mark, and wake the owner if it may not look by itself.
func (b *bell) set() error {
	w := b.word()
	if w == nil {
		return b.ring()
	}
	old := w.Or(latchSet)
	if old&latchOwned == 0 || old&(latchSet|latchWaiting) == latchWaiting {
		return b.call(old)
	}
	return nil
}

// wake makes the owner look at whatever it waits for, and counts as a set.
func (b *bell) wake() error {
	w := b.word()
	if w == nil {
		return b.ring()
	}
	return b.call(w.Or(latchSet))
}

// call wakes an owner whose word was old. One that does not look there, or needs
// more than a tap, is rung.
func (b *bell) call(old uint32) error {
	if old&(latchOwned|latchTapped) == latchOwned|latchTapped {
		return b.tap()
	}
	return b.ring()
}

// word is the latch's word, if this process may write it now, or nil.
func (b *bell) word() *atomic.Uint32 {
	if b.where == nil {
		return nil
	}
	return b.where()
}

// Reset makes the latch not set. What is looked at after it was written before
// any Set that is still to come.
func (l *Latch) Reset() { l.word.Load().And(^uint32(latchSet)) }

// IsSet reports whether the latch is set, without waiting.
func (l *Latch) IsSet() bool {
	if l.look() {
		return true
	}
	l.rung()
	return l.look()
}

func (l *Latch) look() bool { return l.word.Load().Load()&latchSet != 0 }

// rung takes what was rung, if anything, and then makes all look who sleep.
func (l *Latch) rung() {
	if some, _ := l.drain(); some && l.sleepers.number.Load() > 0 {
		l.sleepers.pokeWhoCan(nil)
		l.interrupt()
	}
}

// drain takes what was rung, if anything, and marks the latch as set then. Who
// finds nothing can rely on the mark of another one who took it. ErrClosed after
// the bell's close.
func (l *Latch) drain() (some bool, err error) {
	l.taking.Lock()
	defer l.taking.Unlock()
	if some, err = l.bell.take(); some {
		for w := l.word.Load(); w.Or(latchSet)&latchOwned == 0; {
			before := w
			if w = l.word.Load(); w == before {
				break // somebody else has taken the bit away
			}
		}
	}
	return some, err
}

// Wait waits until the latch is set (at once if it is already: BGW-154), the
// supervisor dies, timeout has passed (none if negative; 0 only looks), or ctx
// ends, whose error it then returns. A waiting goroutine holds no thread. The
// latch stays set: see Reset.
func (l *Latch) Wait(ctx context.Context, timeout time.Duration) (Event, error) {
	if !l.wait.TryLock() {
		return 0, errors.New("cannot wait for latch: another goroutine already does")
	}
	defer l.wait.Unlock()
	if l.look() {
		return LatchSet, nil
	}
	var deadline time.Time
	if timeout >= 0 {
		deadline = time.Now().Add(timeout)
	}
	return l.sleep(ctx, &l.waiter, deadline)
}

// latchWait is waiting for the latch itself.
type latchWait Latch

func (l *latchWait) arm() (bool, error) {
	l.armedAt = l.word.Load()
	return l.armedAt.Or(latchWaiting)&latchSet != 0, nil
}

func (l *latchWait) disarm() { l.armedAt.And(^uint32(latchWaiting)) }

func (l *latchWait) look() bool { return (*Latch)(l).look() }

// cause is a reason to stop waiting other than the latch.
func (l *Latch) cause(ctx context.Context, deadline time.Time) (Event, error) {
	select {
	case <-l.dead:
		return SupervisorDied, nil
	default:
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		return Timeout, nil
	}
	return 0, nil
}

// interrupt makes a waiter look again.
func (l *Latch) interrupt() { l.bell.interrupt() }

// PeerLatch is another worker's latch, to be set; see Worker.PeerLatch.
type PeerLatch struct{ bell *bell }

// Set wakes the latch's owner, as Latch.Set does. ErrClosed after Close.
func (p *PeerLatch) Set() error { return p.bell.set() }

// Close gives the latch's descriptor up.
func (p *PeerLatch) Close() error { return p.bell.close() }
