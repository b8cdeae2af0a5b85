package shm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	lockHeaderSize = placesHeader

	// MinLockSize is the size in bytes of the smallest lock; see LockSize.
	MinLockSize = lockHeaderSize + placeSize
)

// LockSize is how many bytes a lock takes that n processes can wait for, and n
// hold in shared mode, at the same time. More of the one look every
// millisecond; more of the other wait.
func LockSize(n int) int { return placesSize(n) }

// Lock is a lock in shared memory that one process holds alone or many share:
// PostgreSQL's LWLock. It survives its holder: who takes it next is told that
// the one before died with it (BGW-160). It is not recursive, and takes no
// notice of order. While nobody waits, no system call is made.
//
// CreateLock or OpenLock, once in each process; its methods may be called
// concurrently, and every goroutine counts as one that waits or holds.
type Lock struct {
	party   *party
	holder  *atomic.Uint64
	tranche *atomic.Uint32
	waiters []*atomic.Uint64 // the party words of who waits
	sharers []*atomic.Uint64 // and of who holds it in shared mode
	gone    atomic.Bool      // this process has detached
	mu      sync.Mutex       // while this process takes or drops a share
}

// CreateLock makes a free lock of data, MinLockSize bytes at least, beginning
// at a multiple of 8, as what Area returns does. Whatever was there is
// overwritten: one process makes the lock, and tells others of it afterwards.
// The process has to be attached. Detaching releases what it holds.
func (w *Worker) CreateLock(data []byte) (*Lock, error) {
	return as(w, "create lock", func(p *party) (*Lock, error) { return p.createLock(data) })
}

// OpenLock returns the lock that another process made of the same memory.
// ErrDamaged (wrapped) if there is none, or one of another size.
func (w *Worker) OpenLock(data []byte) (*Lock, error) {
	return as(w, "open lock", func(p *party) (*Lock, error) { return p.openLock(data) })
}

func (p *party) createLock(data []byte) (*Lock, error) {
	m, places, err := placesMemory(data)
	if err != nil {
		return nil, err
	}
	m.clearPlaces(places)
	m.word64(0).Store(lockMagic)
	return p.newLock(m, places)
}

func (p *party) openLock(data []byte) (*Lock, error) {
	m, places, err := placesMemory(data)
	if err != nil {
		return nil, err
	}
	if err := m.checkPlaces(lockMagic, places, "lock"); err != nil {
		return nil, err
	}
	return p.newLock(m, places)
}

func (p *party) newLock(m memory, places int) (*Lock, error) {
	l := &Lock{party: p, holder: m.word64(16), tranche: m.word32(24)}
	for i := range places {
		l.waiters = append(l.waiters, m.word64(lockHeaderSize+8*uint64(i)))
		l.sharers = append(l.sharers, m.word64(lockHeaderSize+8*uint64(places+i)))
	}
	if err := p.add(l, m); err != nil {
		return nil, err
	}
	return l, nil
}

// Acquire waits until the lock is this caller's alone (LW_EXCLUSIVE). died says
// that its last holder ended without releasing it, so that what it protects may
// be half changed; the lock is held all the same, and only the first who takes
// it is told. The error is ctx's, ErrSupervisorDied or ErrNotAttached, wrapped;
// the lock is not held then.
func (l *Lock) Acquire(ctx context.Context) (died bool, err error) {
	dead, err := l.await(ctx, false)
	if err == nil {
		if err = l.drain(ctx); err != nil {
			l.leave(dead)
		}
	}
	if err != nil {
		return false, fmt.Errorf("cannot acquire lock: %w", err)
	}
	return dead != 0, nil
}

// TryAcquire is Acquire that does not wait (LWLockConditionalAcquire); ok says
// whether the lock is held.
func (l *Lock) TryAcquire() (died, ok bool) {
	dead, ok := l.claim()
	if ok && l.shared() {
		l.leave(dead)
		ok = false
	}
	return ok && dead != 0, ok
}

// AcquireShared waits until no one holds the lock alone, and then keeps it from
// being so held (LW_SHARED). Otherwise it is like Acquire.
func (l *Lock) AcquireShared(ctx context.Context) (died bool, err error) {
	dead, err := l.await(ctx, true)
	if err != nil {
		return false, fmt.Errorf("cannot acquire lock: %w", err)
	}
	return dead != 0, nil
}

// TryAcquireShared is AcquireShared that does not wait.
func (l *Lock) TryAcquireShared() (died, ok bool) {
	dead, ok := l.share()
	return dead != 0, ok
}

// Release ends what Acquire and TryAcquire began. A lock that this process does
// not hold alone is left as it is, and false is returned.
func (l *Lock) Release() bool { return l.leave(0) }

// leave puts another word in the place of the holder's: 0, or that of a holder
// who died and of whom nobody was told.
func (l *Lock) leave(word uint64) bool {
	if !l.holder.CompareAndSwap(l.party.word, word) {
		return false
	}
	l.wakeWaiters()
	return true
}

// ReleaseShared ends what AcquireShared and TryAcquireShared began; false if
// this process does not share the lock.
func (l *Lock) ReleaseShared() bool {
	if !l.dropShare() {
		return false
	}
	l.party.ring(l.holder.Load()) // who has claimed the lock waits for this
	l.wakeWaiters()
	return true
}

// dropShare gives up one of this process's shares, which are all alike.
func (l *Lock) dropShare() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sharers {
		if s.Load() == l.party.word && s.CompareAndSwap(l.party.word, 0) {
			return true
		}
	}
	return false
}

// claim makes this process the holder, while others may have a share still.
// dead is the holder who died before it, or 0.
func (l *Lock) claim() (dead uint64, ok bool) {
	dead = l.holder.Load()
	if dead != 0 && !l.party.dead(dead) || !l.holder.CompareAndSwap(dead, l.party.word) {
		return 0, false
	}
	if l.gone.Load() { // an abandon may have been too early to see this
		l.leave(dead)
		return 0, false
	}
	return dead, true
}

// share takes a share unless somebody holds or claims the lock. The share is
// there before the look at the holder, as the claim is before the look at the
// shares: so one of two sees the other.
func (l *Lock) share() (dead uint64, ok bool) {
	if !l.isFree() || !l.takeShare() {
		return 0, false
	}
	h := l.holder.Load()
	switch {
	case l.gone.Load():
	case h == 0:
		return 0, true
	case l.party.dead(h) && l.holder.CompareAndSwap(h, 0):
		return h, true
	}
	l.ReleaseShared()
	return 0, false
}

func (l *Lock) takeShare() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takePlace(l.sharers) != nil
}

// takePlace puts this party's word into a place that is free, or that of one
// who has ended; nil if there is none.
func (l *Lock) takePlace(places []*atomic.Uint64) *atomic.Uint64 {
	for _, p := range places {
		if p.Load() == 0 && p.CompareAndSwap(0, l.party.word) {
			return p
		}
	}
	for _, p := range places {
		if w := p.Load(); w != l.party.word && l.party.dead(w) && p.CompareAndSwap(w, l.party.word) {
			return p
		}
	}
	return nil
}

// shared reports whether somebody alive has a share.
func (l *Lock) shared() bool {
	for _, s := range l.sharers {
		if w := s.Load(); w != 0 && (!l.party.dead(w) || !s.CompareAndSwap(w, 0)) {
			return true
		}
	}
	return false
}

// isFree reports whether nobody alive holds or claims the lock.
func (l *Lock) isFree() bool {
	h := l.holder.Load()
	return h == 0 || l.party.dead(h)
}

// hasPlace reports whether another share can be taken.
func (l *Lock) hasPlace() bool {
	for _, s := range l.sharers {
		if w := s.Load(); w == 0 || l.party.dead(w) {
			return true
		}
	}
	return false
}

// wakeWaiters wakes all processes that wait: who gets the lock is not decided
// here.
func (l *Lock) wakeWaiters() {
	for _, p := range l.waiters {
		if w := p.Load(); w != 0 && p.CompareAndSwap(w, 0) {
			l.party.ring(w)
		}
	}
}

// abandon is the release of all that this process holds, and the end of its
// waits.
func (l *Lock) abandon() {
	l.gone.Store(true)
	for l.ReleaseShared() {
	}
	l.Release()
	l.party.ring(l.party.word)
}
