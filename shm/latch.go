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
	word  atomic.Pointer[atomic.Uint32] // where its state is now
	local atomic.Uint32                 // its place while not attached
	bell  *bell
	dead  <-chan struct{}
	wait  sync.Mutex // held by who is in Wait

	waiter   sleeper        // who is in Wait
	armedAt  *atomic.Uint32 // the waiter's: where it has put latchWaiting
	sleepers sleepers       // all who wait for a ring
}

// newLatch makes the latch behind b, which it owns from then on; dead is closed
// when the supervisor is gone, and interrupt has to be called then.
func newLatch(b *bell, dead <-chan struct{}) *Latch {
	l := &Latch{bell: b, dead: dead}
	l.local.Store(latchOwned)
	l.word.Store(&l.local)
	l.sleepers.every = patrolEvery
	l.waiter = newSleeper((*latchWait)(l), false)
	return l
}

// moveTo makes to the place of the state; a set latch stays set.
func (l *Latch) moveTo(to *atomic.Uint32) {
	to.And(^uint32(latchWaiting))
	to.Or(latchOwned)
	from := l.word.Swap(to)
	if from == to {
		return
	}
	// Who sets the old word from here on finds it not owned and rings.
	if from.And(^uint32(latchSet|latchWaiting|latchOwned))&latchSet != 0 {
		to.Or(latchSet)
	}
	l.interrupt() // a waiter looks at the new place
	l.stir()
}

// Set sets the latch. On a latch that is set it does nothing (BGW-155); a
// system call is made only if the owner sleeps.
func (l *Latch) Set() error { return setLatch(l.word.Load(), l.bell) }

// setLatch is SetLatch: mark, and ring if that is needed to be noticed.
func setLatch(w *atomic.Uint32, b *bell) error {
	old := w.Or(latchSet)
	if old&latchOwned == 0 || old&(latchSet|latchWaiting) == latchWaiting {
		return b.ring()
	}
	return nil
}

// Reset makes the latch not set. What is looked at after it was written before
// any Set that is still to come.
func (l *Latch) Reset() { l.word.Load().And(^uint32(latchSet)) }

// IsSet reports whether the latch is set, without waiting.
func (l *Latch) IsSet() bool {
	return l.word.Load().Load()&latchSet != 0 || l.drain()
}

// drain takes a ring from outside of the segment and marks the latch as set.
func (l *Latch) drain() bool {
	if !l.bell.drain() {
		return false
	}
	l.word.Load().Or(latchSet)
	l.stir() // it may have been for somebody else
	return true
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
	if l.word.Load().Load()&latchSet != 0 {
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

func (l *latchWait) look() bool { return l.word.Load().Load()&latchSet != 0 }

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
func (l *Latch) interrupt() { l.bell.file.SetReadDeadline(time.Unix(1, 0)) }

// PeerLatch is another worker's latch, to be set; see Worker.PeerLatch.
type PeerLatch struct {
	segment *attachment // nil: it was got while not attached
	offset  uint64      // of its word there
	bell    *bell
}

// Set wakes the latch's owner, as Latch.Set does. ErrClosed after Close.
func (p *PeerLatch) Set() error {
	if p.segment == nil || !p.segment.inside.Load() {
		return p.bell.ring()
	}
	return setLatch(p.segment.mem.word32(p.offset), p.bell)
}

// Close gives the latch's descriptor up.
func (p *PeerLatch) Close() error { return p.bell.close() }
