package shm

import (
	"context"
	"time"
)

// A process that waits for a lock has one place among the waiters, whichever
// and however many of its goroutines wait. Whoever releases the lock empties
// the place and wakes the process, whose waiters then try, or take a place
// again. A place that was not needed is left for the next release to empty.

// crowded is how long one sleeps who found no place to be woken at.
const crowded = time.Millisecond

// await takes a share, or claims the lock, as soon as that is possible. dead is
// the holder who died before, or 0.
func (l *Lock) await(ctx context.Context, share bool) (dead uint64, err error) {
	dead, ok := l.try(share)
	if ok {
		return dead, nil
	}
	w := &lockWait{lock: l, share: share}
	s := newSleeper(w, true)
	for {
		if dead, ok = l.try(share); ok {
			return dead, nil
		}
		if l.gone.Load() {
			return 0, ErrNotAttached
		}
		var deadline time.Time
		if w.crowded = !l.standBy(); w.crowded {
			deadline = time.Now().Add(crowded)
		}
		if err := l.sleep(ctx, &s, deadline); err != nil {
			return 0, err
		}
	}
}

func (l *Lock) try(share bool) (dead uint64, ok bool) {
	if share {
		return l.share()
	}
	return l.claim()
}

func (l *Lock) sleep(ctx context.Context, s *sleeper, deadline time.Time) error {
	event, err := l.party.latch.sleep(ctx, s, deadline)
	if event == SupervisorDied {
		return ErrSupervisorDied
	}
	return err
}

// standBy makes sure that a release wakes this process; false if all places are
// taken.
func (l *Lock) standBy() bool { return l.standsBy() || l.takePlace(l.waiters) != nil }

func (l *Lock) standsBy() bool {
	for _, p := range l.waiters {
		if p.Load() == l.party.word {
			return true
		}
	}
	return false
}

// lockWait is waiting until the lock may be free.
type lockWait struct {
	lock    *Lock
	share   bool // waits for a share
	crowded bool // has no place, and a deadline instead
}

// arm takes the place before it looks: either it sees a release, or the release
// sees the place.
func (w *lockWait) arm() (done bool, err error) {
	if !w.crowded && !w.lock.standBy() {
		return true, nil
	}
	return w.canTry(), nil
}

func (w *lockWait) canTry() bool {
	l := w.lock
	return l.gone.Load() || l.isFree() && (!w.share || l.hasPlace())
}

func (w *lockWait) disarm() {}

func (w *lockWait) look() bool { return w.canTry() || !w.crowded && !w.lock.standsBy() }

// drain waits until no one has a share in the lock that this process has
// claimed.
func (l *Lock) drain(ctx context.Context) error {
	if !l.shared() {
		return nil
	}
	s := newSleeper((*drainWait)(l), true)
	for l.shared() {
		if err := l.sleep(ctx, &s, time.Time{}); err != nil {
			return err
		}
	}
	if l.gone.Load() {
		return ErrNotAttached
	}
	return nil
}

// drainWait is waiting for the end of the shares. The holder's word tells who
// gives one up whom to wake.
type drainWait Lock

func (w *drainWait) arm() (done bool, err error) { return w.look(), nil }

func (w *drainWait) disarm() {}

func (w *drainWait) look() bool { return !(*Lock)(w).shared() }
