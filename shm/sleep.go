package shm

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Many goroutines of a process wait at once: one for its latch, others for
// queues. All of them are woken by the one eventfd of the process's slot. One
// of them, whoever comes first, reads it (the reader); the others wait in the
// runtime and are poked by the reader when what they wait for is there. A
// reader that leaves pokes another, which becomes the reader. So a thousand
// waiters cost one sleeping poller and no thread.

// waiting is what a sleeper waits for.
type waiting interface {
	// arm makes whoever brings what is waited for ring, and then says
	// whether it is there already. Only its sleeper calls it.
	arm() (done bool, err error)
	// disarm ends that, as far as it has to be ended.
	disarm()
	// look says whether arm would be worth a call: by atomic loads alone,
	// from any goroutine.
	look() bool
}

// sleeper is a goroutine's place among the sleepers; it may be used again.
type sleeper struct {
	waiting
	poked  chan struct{} // room for one
	patrol bool          // look again now and then: its peer may have died
}

func newSleeper(w waiting, patrol bool) sleeper {
	return sleeper{waiting: w, poked: make(chan struct{}, 1), patrol: patrol}
}

func (s *sleeper) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// patrolEvery is how soon the silent death of a peer is noticed.
const patrolEvery = time.Second

// sleepers are the waiting goroutines of a process.
type sleepers struct {
	every time.Duration // between two patrols

	reading sync.Mutex // held by the reader, and for a moment by who leaves
	reader  *sleeper
	slept   bool // since it became that
	// The poller's deadline, which costs more to change than a wait in which
	// nothing happens: one that is too early stays. It has to be set anew after
	// it, or an interrupt, has ended a sleep.
	until time.Time // zero: none
	over  bool

	mu      sync.Mutex
	list    []*sleeper
	number  atomic.Int32 // of list, to be read without mu
	patrols int          // how many of list want one
	due     time.Time    // when the reader wakes for the next one; zero: it need not
}

// each pokes those of the list that pick chooses, but for one, and reports
// whether there were any. Who comes into the list later looks by itself.
func (d *sleepers) each(but *sleeper, pick func(*sleeper) bool) (any bool) {
	if n := d.number.Load(); n == 0 || n == 1 && but != nil {
		return false // it is the one
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.list {
		if s != but && pick(s) {
			s.poke()
			any = true
		}
	}
	return any
}

func everyone(*sleeper) bool                     { return true }
func whoCanGo(s *sleeper) bool                   { return s.look() }
func (d *sleepers) pokeAll()                     { d.each(nil, everyone) }
func (d *sleepers) pokeWhoCan(but *sleeper) bool { return d.each(but, whoCanGo) }

// sleep waits until s's arm says that it is done (LatchSet), the supervisor
// dies, the deadline (zero: none) has passed, or ctx ends, whose error it then
// returns.
func (l *Latch) sleep(ctx context.Context, s *sleeper, deadline time.Time) (Event, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, l.interrupt)
		defer stop()
	}
	l.join(s)
	defer l.leave(s)
	for {
		event, err := l.turn(ctx, s, deadline)
		if event != 0 || err != nil {
			return event, err
		}
	}
}

func (l *Latch) join(s *sleeper) {
	d := &l.sleepers
	d.mu.Lock()
	d.list = append(d.list, s)
	d.number.Store(int32(len(d.list)))
	endless := s.patrol && d.due.IsZero()
	if s.patrol {
		d.patrols++
	}
	d.mu.Unlock()
	if endless {
		l.interrupt() // a reader sleeps that does not wake for a patrol, perhaps
	}
}

// leave also finds another reader. If somebody reads, or leaves at this moment,
// it is up to them: they come here after it.
func (l *Latch) leave(s *sleeper) {
	d := &l.sleepers
	d.mu.Lock()
	for i, other := range d.list {
		if other == s {
			last := len(d.list) - 1
			d.list[i], d.list[last] = d.list[last], nil
			d.list = d.list[:last]
			d.number.Store(int32(last))
			break
		}
	}
	if s.patrol {
		d.patrols--
	}
	others := len(d.list) > 0
	d.mu.Unlock()
	if !others || !d.reading.TryLock() {
		return
	}
	d.reading.Unlock()
	d.mu.Lock()
	if len(d.list) > 0 {
		d.list[0].poke()
	}
	d.mu.Unlock()
}

// turn sleeps at most once; 0 and no error means to look again. The order
// matters: who interrupts does so after the cause is there, so that either the
// cause is seen here or the interrupt ends the sleep.
func (l *Latch) turn(ctx context.Context, s *sleeper, deadline time.Time) (Event, error) {
	reader := l.sleepers.reading.TryLock()
	if reader {
		defer l.sleepers.reading.Unlock()
		if l.setDeadline(deadline) != nil {
			return 0, ErrClosed // what is in the poller has deadlines until then
		}
	}
	defer s.disarm()
	if event, err := armed(s); event != 0 || err != nil {
		return event, err
	}
	if event, err := l.cause(ctx, deadline); event != 0 || err != nil {
		if _, closed := l.drain(); closed != nil {
			return 0, closed
		}
		if done, err := armed(s); done != 0 || err != nil {
			return done, err
		}
		return event, err
	}
	if reader {
		return l.read(s)
	}
	l.waitForPoke(ctx, s, deadline)
	return 0, nil
}

func armed(s *sleeper) (Event, error) {
	done, err := s.arm()
	if done && err == nil {
		return LatchSet, nil
	}
	return 0, err
}

// setDeadline ends the reader's sleep at deadline, or when it is time for a
// patrol, or before. It is under mu so that a join either is seen here or
// interrupts after it.
func (l *Latch) setDeadline(deadline time.Time) error {
	d := &l.sleepers
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.patrols > 0 && d.due.IsZero() {
		d.due = time.Now().Add(d.every)
	}
	if !d.due.IsZero() && (deadline.IsZero() || d.due.Before(deadline)) {
		deadline = d.due
	}
	if !d.over && (d.until.Equal(deadline) || !d.until.IsZero() && (deadline.IsZero() || d.until.Before(deadline))) {
		return nil
	}
	d.until, d.over = deadline, false
	return l.bell.file.SetWriteDeadline(deadline)
}

// read is the reader's sleep. LatchSet if it waits for the latch, which is set.
func (l *Latch) read(s *sleeper) (Event, error) {
	d := &l.sleepers
	d.reader, d.slept = s, false
	switch err := l.bell.awaitTap(l.noticed); {
	case err == nil && s == &l.waiter:
		return LatchSet, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.over = true
		if d.isDue() {
			d.pokeAll()
		}
		return 0, nil
	default:
		return 0, err
	}
}

// notice ends the reader's sleep if what it waits for is there; it pokes the
// others. It is called before the sleep, as what was tapped before may be in the
// poller no more, and whenever there was something. If that was for nobody it
// may have been a ring, which another goroutine is about to take: see newLatch.
func (l *Latch) notice(uintptr) bool {
	d := &l.sleepers
	others := d.pokeWhoCan(d.reader)
	switch first := !d.slept; {
	case d.reader.look():
		return true
	case first:
		d.slept = true
		return false
	case others:
		return false
	}
	_, _ = l.drain()
	d.pokeWhoCan(d.reader)
	return d.reader.look()
}

// isDue reports whether it is time for a patrol, from which on none is due.
func (d *sleepers) isDue() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.due.IsZero() || time.Now().Before(d.due) {
		return false
	}
	d.due = time.Time{}
	return true
}

// waitForPoke is the sleep of all others.
func (l *Latch) waitForPoke(ctx context.Context, s *sleeper, deadline time.Time) {
	var late <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-s.poked:
	case <-ctx.Done():
	case <-l.dead:
	case <-late:
	}
}
