package shm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	barrierHeaderSize = 32

	// MinBarrierSize is the size in bytes of the smallest barrier; see
	// BarrierSize.
	MinBarrierSize = barrierHeaderSize + MinConditionSize

	// MaxParticipants is the most a barrier can have.
	MaxParticipants = barrierMask
)

// BarrierSize is how many bytes a barrier takes at which n participants can wait
// and be woken at once. More of them look every millisecond.
func BarrierSize(n int) int { return barrierHeaderSize + ConditionSize(n) }

// Barrier makes participants wait for each other, phase after phase:
// PostgreSQL's Barrier. A static one is made for a number of participants, a
// dynamic one for those that are attached. When the last of them has arrived
// the phase grows by one, all go on, and exactly one of them is elected.
//
// Participants are not named, and a goroutine is one as well as a process. One
// that ends without a word was attached to the segment, so that its end is the
// segment's crash; a process that detaches from the segment takes all its
// participants with it.
//
// CreateBarrier or OpenBarrier, once in each process; the methods may be called
// concurrently.
type Barrier struct {
	condition *Condition
	state     *atomic.Uint64

	mu       sync.Mutex // while this process changes the state
	attached int        // participants of this process, of a dynamic barrier
	waits    map[uint32]int
	gone     bool
}

// CreateBarrier makes a barrier of data (BarrierInit), MinBarrierSize bytes at
// least, beginning at a multiple of 8, as what Area returns does. With 1 to
// MaxParticipants participants it is static; with 0 it is dynamic, and they
// attach and detach. Its phase is 0. Whatever was there is overwritten: one
// process makes the barrier, and tells others of it afterwards. The process has
// to be attached.
func (w *Worker) CreateBarrier(data []byte, participants int) (*Barrier, error) {
	return as(w, "create barrier", func(p *party) (*Barrier, error) { return p.createBarrier(data, participants) })
}

// OpenBarrier returns the barrier that another process made of the same memory.
// ErrDamaged (wrapped) if there is none, or one of another size.
func (w *Worker) OpenBarrier(data []byte) (*Barrier, error) {
	return as(w, "open barrier", func(p *party) (*Barrier, error) { return p.openBarrier(data) })
}

// barrierMemory is as much of data as a barrier uses.
func barrierMemory(data []byte) (memory, error) {
	if err := checkMemory(data, MinBarrierSize); err != nil {
		return nil, err
	}
	size := min(len(data)&^7, BarrierSize(maxPlaces))
	return memory(data[:size:size]), nil
}

func (p *party) createBarrier(data []byte, participants int) (*Barrier, error) {
	if participants < 0 || participants > MaxParticipants {
		return nil, fmt.Errorf("it cannot have %d participants, 0 to %d are possible", participants, MaxParticipants)
	}
	m, err := barrierMemory(data)
	if err != nil {
		return nil, err
	}
	m.word64(0).Store(0)
	m.word64(8).Store(uint64(len(m)))
	m.word64(16).Store(barrierState{participants: uint64(participants), static: participants > 0}.word())
	m.word64(24).Store(0)
	c, err := p.createCondition(m[barrierHeaderSize:])
	if err != nil {
		return nil, err
	}
	m.word64(0).Store(barrierMagic)
	return p.newBarrier(m, c)
}

func (p *party) openBarrier(data []byte) (*Barrier, error) {
	m, err := barrierMemory(data)
	if err != nil {
		return nil, err
	}
	magic, size, features := m.word64(0).Load(), m.word32(8).Load(), m.word32(12).Load()
	switch {
	case magic != barrierMagic:
		return nil, damaged("no barrier is here: it begins with %#x", magic)
	case size != uint32(len(m)):
		return nil, damaged("the barrier has %d bytes, in %d bytes of memory it would have %d", size, len(data), len(m))
	case features != 0:
		return nil, damaged("the barrier has features %#x that are not known here", features)
	}
	c, err := p.openCondition(m[barrierHeaderSize:])
	if err != nil {
		return nil, err
	}
	return p.newBarrier(m, c)
}

func (p *party) newBarrier(m memory, c *Condition) (*Barrier, error) {
	b := &Barrier{condition: c, state: m.word64(16), waits: map[uint32]int{}}
	if err := p.add(b, m); err != nil {
		return nil, err
	}
	return b, nil
}

// Phase is how often all have arrived so far (BarrierPhase); it wraps.
func (b *Barrier) Phase() uint32 { return parseBarrier(b.state.Load()).phase }

// Participants is how many take part now (BarrierParticipants).
func (b *Barrier) Participants() int { return int(parseBarrier(b.state.Load()).participants) }

// change changes the state by f until nobody comes between; f's error ends it.
// b.mu is held.
func (b *Barrier) change(f func(barrierState) (barrierState, error)) (before, after barrierState, err error) {
	if b.gone {
		return before, after, ErrNotAttached
	}
	for {
		w := b.state.Load()
		before = parseBarrier(w)
		if after, err = f(before); err != nil {
			return before, after, err
		}
		if b.state.CompareAndSwap(w, after.word()) {
			return before, after, nil
		}
	}
}

// Attach makes the caller one of the participants of a dynamic barrier
// (BarrierAttach) and returns the phase in which it is one: the work before it
// was done without it.
func (b *Barrier) Attach() (phase uint32, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, _, err := b.change(func(s barrierState) (barrierState, error) {
		switch {
		case s.static:
			return s, errStatic
		case s.participants == MaxParticipants:
			return s, fmt.Errorf("%d take part: %w", s.participants, syscall.ENOSPC)
		}
		s.participants++
		return s, nil
	})
	if err != nil {
		return 0, fmt.Errorf("cannot attach to barrier: %w", err)
	}
	b.attached++
	return before.phase, nil
}

var (
	errStatic  = errors.New("it was made for a number of participants")
	errOutside = errors.New("this process is not attached to it")
)

// ArriveAndWait waits until all participants have arrived
// (BarrierArriveAndWait). elected is true for exactly one of them (BGW-158,
// BGW-159). The error is ctx's, ErrSupervisorDied or ErrNotAttached, wrapped:
// the caller has not arrived then.
func (b *Barrier) ArriveAndWait(ctx context.Context) (elected bool, err error) {
	start, last, err := b.arrive()
	switch {
	case err != nil:
		return false, fmt.Errorf("cannot arrive at barrier: %w", err)
	case last:
		b.condition.Broadcast()
		return true, nil
	case b.spin(start):
		return b.elect(start), nil
	}
	err = b.condition.Wait(ctx, func() bool { return b.Phase() != start })
	if err != nil && b.giveUp(start) {
		return false, fmt.Errorf("cannot wait at barrier: %w", err)
	}
	return b.elect(start), nil
}

func (b *Barrier) arrive() (phase uint32, last bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, after, err := b.change(func(s barrierState) (barrierState, error) {
		switch {
		case !s.static && b.attached == 0:
			return s, errOutside
		case s.arrived >= s.participants:
			return s, damaged("%d of %d participants have arrived already", s.arrived, s.participants)
		}
		if s.arrived++; s.arrived == s.participants {
			s.advance(true)
		}
		return s, nil
	})
	if err != nil {
		return 0, false, err
	}
	if last = before.phase != after.phase; !last {
		b.waits[before.phase]++
	}
	return before.phase, last, nil
}

// spin looks for a while for the end of a phase.
func (b *Barrier) spin(phase uint32) bool {
	for range b.condition.party.spins {
		if b.Phase() != phase {
			return true
		}
		pause()
	}
	return false
}

// forget ends the wait for the end of a phase. b.mu is held.
func (b *Barrier) forget(phase uint32) {
	if b.waits[phase]--; b.waits[phase] <= 0 {
		delete(b.waits, phase)
	}
}

// elect ends the wait for the end of a phase that has ended, and elects the
// caller if nobody is elected yet: a detach has ended the phase.
func (b *Barrier) elect(phase uint32) (elected bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(phase)
	_, _, err := b.change(func(s barrierState) (barrierState, error) {
		if s.elected || s.phase != phase+1 {
			return s, errElected
		}
		s.elected = true
		return s, nil
	})
	return err == nil
}

var errElected = errors.New("another one is elected")

// giveUp takes an arrival back; false if the phase has ended.
func (b *Barrier) giveUp(phase uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return true // it was taken back
	}
	_, _, err := b.change(func(s barrierState) (barrierState, error) {
		if s.phase != phase {
			return s, errElected
		}
		if s.arrived > 0 {
			s.arrived--
		}
		return s, nil
	})
	if err != nil {
		return false
	}
	b.forget(phase)
	return true
}

// Detach ends one participation that Attach began, without arriving
// (BarrierDetach). If all who are left have arrived they go on (BGW-159). last
// says that nobody is left.
func (b *Barrier) Detach() (last bool, err error) { return b.detach(false) }

// ArriveAndDetach arrives and detaches without waiting (BarrierArriveAndDetach):
// the phase also ends if nobody is left, which last says.
func (b *Barrier) ArriveAndDetach() (last bool, err error) { return b.detach(true) }

func (b *Barrier) detach(arrive bool) (last bool, err error) {
	after, err := b.leave(func(s barrierState) (barrierState, bool) {
		s.participants--
		if (arrive || s.participants > 0) && s.arrived >= s.participants {
			s.advance(false)
		}
		return s, true
	})
	return err == nil && after.participants == 0, err
}

// ArriveAndDetachExceptLast is ArriveAndDetach for all but the last participant
// (BarrierArriveAndDetachExceptLast), which stays, begins the next phase, and is
// told so by last. Whoever waits goes on once all who are left have arrived
// (PostgreSQL: nobody may be waiting).
func (b *Barrier) ArriveAndDetachExceptLast() (last bool, err error) {
	_, err = b.leave(func(s barrierState) (barrierState, bool) {
		if last = s.participants == 1; last {
			s.advance(false)
			return s, false
		}
		if s.participants--; s.arrived >= s.participants {
			s.advance(false)
		}
		return s, true
	})
	return err == nil && last, err
}

// leave changes the state of a dynamic barrier in which this process takes part
// by f, which says whether that has ended one participation.
func (b *Barrier) leave(f func(barrierState) (barrierState, bool)) (after barrierState, err error) {
	b.mu.Lock()
	left := false
	before, after, err := b.change(func(s barrierState) (barrierState, error) {
		switch {
		case s.static:
			return s, errStatic
		case b.attached == 0:
			return s, errOutside
		case s.participants == 0:
			return s, damaged("nobody takes part")
		}
		s, left = f(s)
		return s, nil
	})
	if err == nil && left {
		b.attached--
	}
	b.mu.Unlock()
	if err != nil {
		return after, fmt.Errorf("cannot detach from barrier: %w", err)
	}
	if after.phase != before.phase {
		b.condition.Broadcast()
	}
	return after, nil
}

// abandon takes back the arrivals of this process and detaches its
// participants. Its waiters are woken by that of the condition variable.
func (b *Barrier) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, after, err := b.change(func(s barrierState) (barrierState, error) {
		s.arrived -= min(s.arrived, uint64(b.waits[s.phase]))
		if s.static {
			return s, nil
		}
		s.participants -= min(s.participants, uint64(b.attached))
		if s.participants > 0 && s.arrived >= s.participants {
			s.advance(false)
		}
		return s, nil
	})
	b.gone = true
	if err == nil && after.phase != before.phase {
		b.condition.wakeAll()
	}
	b.attached = 0
	clear(b.waits)
}
