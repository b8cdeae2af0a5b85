package shm

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lockUsers are n processes with one lock; dead is the party word of one who
// has ended, as the slot table says, or 0.
func lockUsers(t testing.TB, n, size int) (locks []*Lock, dead *atomic.Uint64) {
	t.Helper()
	parties, dead := testPeers(t, n)
	data := make([]byte, size)
	for i, p := range parties {
		open := p.openLock
		if i == 0 {
			open = p.createLock
		}
		l, err := open(data)
		if err != nil {
			t.Fatal(err)
		}
		locks = append(locks, l)
	}
	return locks, dead
}

// untilStandBy returns when l's process is to be woken by a release.
func untilStandBy(l *Lock) {
	for !l.standsBy() {
		runtime.Gosched()
	}
}

func acquire(t testing.TB, l *Lock) {
	t.Helper()
	if died, err := l.Acquire(context.Background()); died || err != nil {
		t.Fatalf("died %v, error %v", died, err)
	}
}

func share(t testing.TB, l *Lock) {
	t.Helper()
	if died, err := l.AcquireShared(context.Background()); died || err != nil {
		t.Fatalf("died %v, error %v", died, err)
	}
}

// TestLockModes: one alone or many together, and who releases what.
func TestLockModes(t *testing.T) {
	l, _ := lockUsers(t, 2, LockSize(4))
	a, b := l[0], l[1]
	acquire(t, a)
	if _, ok := b.TryAcquire(); ok {
		t.Error("two hold it alone")
	}
	if _, ok := b.TryAcquireShared(); ok {
		t.Error("one has a share of what another holds alone")
	}
	if _, ok := a.TryAcquire(); ok {
		t.Error("it is recursive")
	}
	if b.Release() || b.ReleaseShared() {
		t.Error("one that holds nothing releases")
	}
	if !a.Release() || a.Release() {
		t.Error("it is not released once")
	}
	share(t, a)
	share(t, b)
	share(t, a)
	if _, ok := b.TryAcquire(); ok {
		t.Error("one holds alone what others share")
	}
	for i, l := range []*Lock{a, a, b} {
		if !l.ReleaseShared() {
			t.Errorf("share %d is not released", i)
		}
	}
	if a.ReleaseShared() {
		t.Error("a share is released twice")
	}
	acquire(t, b)
}

// TestLockExcludes: a counter that only the lock protects, by processes with
// several goroutines each, alone and shared, with as few places as can be.
func TestLockExcludes(t *testing.T) {
	for _, places := range []int{1, 8} {
		l, _ := lockUsers(t, 3, LockSize(places))
		var alone, sharing atomic.Int32
		count := 0
		const users, rounds = 2, 300
		var all sync.WaitGroup
		for i, l := range l {
			for u := range users {
				random := rand.New(rand.NewPCG(uint64(i), uint64(u)))
				all.Go(func() {
					for range rounds {
						if random.IntN(3) == 0 {
							share(t, l)
							sharing.Add(1)
							if alone.Load() != 0 {
								t.Error("shared with one that holds it alone")
							}
							sharing.Add(-1)
							l.ReleaseShared()
							continue
						}
						acquire(t, l)
						if alone.Add(1) != 1 || sharing.Load() != 0 {
							t.Error("not alone")
						}
						count++
						alone.Add(-1)
						l.Release()
					}
				})
			}
		}
		all.Wait()
		if l[0].holder.Load() != 0 || l[0].shared() || count == 0 {
			t.Errorf("at the end: holder %#x, shares %v, count %d", l[0].holder.Load(), l[0].shared(), count)
		}
	}
}

// TestLockWakes: one ring for a waiting process, whether it waits for one who
// holds the lock alone or for the last share, and no ring where nobody waits.
func TestLockWakes(t *testing.T) {
	l, _ := lockUsers(t, 2, LockSize(4))
	a, b := l[0], l[1]
	called, end := callsTo(t, a.party, b.party)
	for range 100 {
		acquire(t, a)
		a.Release()
		share(t, a)
		a.ReleaseShared()
	}
	if n := called.number(); n != 0 {
		t.Errorf("%d calls, though nobody waited", n)
	}
	end()
	acquire(t, a)
	held := make(chan error, 1)
	wait := func() {
		_, err := b.Acquire(t.Context())
		held <- err
	}
	go wait()
	untilStandBy(b)
	a.Release()
	if err := <-held; err != nil {
		t.Error(err)
	}
	b.Release()
	share(t, a)
	go wait()
	for a.holder.Load() != b.party.word {
		runtime.Gosched()
	}
	if _, ok := a.TryAcquireShared(); ok {
		t.Error("a new share goes before one that waits to be alone")
	}
	a.ReleaseShared()
	if err := <-held; err != nil {
		t.Error(err)
	}
}

// TestLockWakesInVain: a process with two waiters is woken by a release, but
// somebody else was faster: it takes its place again.
func TestLockWakesInVain(t *testing.T) {
	l, _ := lockUsers(t, 2, LockSize(4))
	a, b := l[0], l[1]
	latch := b.party.latch
	latch.sleepers.reading.Lock() // this test is the reader
	defer latch.sleepers.reading.Unlock()
	acquire(t, a)
	held := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := b.Acquire(t.Context())
			if err == nil {
				b.Release()
			}
			held <- err
		}()
	}
	for !latch.sleepersAre(2, 2) || !b.standsBy() {
		runtime.Gosched()
	}
	a.Release()
	acquire(t, a)
	for !b.standsBy() {
		latch.sleepers.pokeWhoCan(nil)
		runtime.Gosched()
	}
	a.Release()
	for range 2 {
		for done := false; !done; {
			latch.sleepers.pokeWhoCan(nil)
			select {
			case err := <-held:
				done = true
				if err != nil {
					t.Error(err)
				}
			default:
				runtime.Gosched()
			}
		}
	}
}

// TestLockHolderDies holds BGW-160: whoever holds a lock and dies, alone or
// shared, keeps nobody waiting; the first who takes it after one that held it
// alone is told, and only that one.
func TestLockHolderDies(t *testing.T) {
	for name, next := range map[string]func(*Lock) (bool, error){
		"alone":  func(l *Lock) (bool, error) { return l.Acquire(context.Background()) },
		"shared": func(l *Lock) (bool, error) { return l.AcquireShared(context.Background()) },
		"try":    func(l *Lock) (bool, error) { died, ok := l.TryAcquire(); return died, errUnless(ok) },
		"try shared": func(l *Lock) (bool, error) {
			died, ok := l.TryAcquireShared()
			return died, errUnless(ok)
		},
	} {
		l, dead := lockUsers(t, 2, LockSize(2))
		a, b := l[0], l[1]
		acquire(t, a)
		dead.Store(a.party.word)
		for i := range 2 {
			died, err := next(b)
			if err != nil || died != (i == 0) {
				t.Errorf("BGW-160: %s, time %d: died %v, error %v", name, i, died, err)
			}
			if !b.Release() && !b.ReleaseShared() {
				t.Errorf("BGW-160: %s: not held", name)
			}
		}
	}
	l, dead := lockUsers(t, 2, LockSize(2))
	a, b := l[0], l[1]
	share(t, a)
	share(t, a)
	dead.Store(a.party.word)
	share(t, b) // takes a dead one's place
	b.ReleaseShared()
	acquire(t, b)
}

func errUnless(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("not held")
}

// TestLockHolderDiesLater: it dies while others wait, who find out on patrol.
func TestLockHolderDiesLater(t *testing.T) {
	for _, hold := range []func(testing.TB, *Lock){acquire, share} {
		l, dead := lockUsers(t, 2, LockSize(2))
		a, b := l[0], l[1]
		b.party.latch.sleepers.every = time.Millisecond
		hold(t, a)
		held := make(chan error, 1)
		go func() { _, err := b.Acquire(context.Background()); held <- err }()
		for !b.standsBy() && b.holder.Load() != b.party.word {
			runtime.Gosched()
		}
		dead.Store(a.party.word)
		if err := <-held; err != nil {
			t.Errorf("BGW-160: %v", err)
		}
	}
}

// TestLockGivesUp: a context's end, with the lock held by another, and while
// others still share it, upon which it is free for them, and who died is not
// forgotten.
func TestLockGivesUp(t *testing.T) {
	l, dead := lockUsers(t, 3, LockSize(2))
	a, b, c := l[0], l[1], l[2]
	share(t, b)
	a.holder.Store(a.party.word)
	dead.Store(a.party.word) // it died with a claim
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan error, 1)
	go func() { _, err := c.Acquire(ctx); held <- err }()
	for c.holder.Load() != c.party.word {
		runtime.Gosched()
	}
	cancel()
	if err := <-held; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if died, ok := c.TryAcquire(); died || ok {
		t.Errorf("a lock that is shared: %v, %v", died, ok)
	}
	b.ReleaseShared()
	if died, ok := c.TryAcquire(); !died || !ok {
		t.Errorf("the dead one is forgotten: %v, %v", died, ok)
	}
	if _, err := b.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a lock that is held: %v", err)
	}
}

// TestLockAbandon: a detach releases what is held and ends what waits.
func TestLockAbandon(t *testing.T) {
	l, _ := lockUsers(t, 2, LockSize(4))
	a, b := l[0], l[1]
	share(t, a)
	share(t, a)
	a.party.endAll()
	acquire(t, b)
	b.party.endAll()
	if h := a.holder.Load(); h != 0 {
		t.Errorf("held by %#x", h)
	}
	if _, err := b.Acquire(t.Context()); !errors.Is(err, ErrNotAttached) {
		t.Errorf("after the detach: %v", err)
	}
	if _, ok := b.TryAcquireShared(); ok || b.shared() {
		t.Error("a share after the detach")
	}

	l, _ = lockUsers(t, 2, LockSize(4))
	acquire(t, l[0])
	held := make(chan error, 1)
	go func() { _, err := l[1].Acquire(context.Background()); held <- err }()
	untilStandBy(l[1])
	l[1].party.endAll()
	if err := <-held; !errors.Is(err, ErrNotAttached) {
		t.Errorf("who waits during the detach: %v", err)
	}
}
