package libpgbgw

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
)

// locker is the role of that name in testdata/role_lock.c, in Go: count times it
// changes both halves of the pair and looks at them. told: a holder died.
func locker(g *shm.Worker, size, count int) (told bool, err error) {
	data, _, err := g.Area("lock", size)
	if err != nil {
		return false, err
	}
	l, err := g.OpenLock(data)
	if err != nil {
		return false, err
	}
	pair, _, err := g.Area("pair", 24)
	if err != nil {
		return false, err
	}
	le := binary.LittleEndian
	for range count {
		died, err := l.Acquire(context.Background())
		if err != nil {
			return told, err
		}
		told = told || died
		a, b := le.Uint64(pair), le.Uint64(pair[8:])
		if a != b && !died && le.Uint64(pair[16:]) == 0 {
			return told, fmt.Errorf("the pair is %d and %d, and nobody died", a, b)
		}
		le.PutUint64(pair, a+1)
		runtime.Gosched()
		le.PutUint64(pair[8:], a+1)
		le.PutUint64(pair[16:], 0)
		if !l.Release() {
			return told, fmt.Errorf("the lock was not held")
		}
		if died, err = l.AcquireShared(context.Background()); err != nil {
			return told, err
		}
		told = told || died
		if died {
			le.PutUint64(pair[16:], 1)
		}
		if a, b = le.Uint64(pair), le.Uint64(pair[8:]); a != le.Uint64(pair) || b != le.Uint64(pair[8:]) {
			return told, fmt.Errorf("the pair changes while it is shared")
		}
		if !l.ReleaseShared() {
			return told, fmt.Errorf("the lock was not shared")
		}
	}
	return told, nil
}

// TestLock: three processes in C, one with threads, and one in Go take one lock.
func TestLock(t *testing.T) {
	const count = 300
	for _, places := range []int{1, 8} {
		h := newHost(t)
		g := h.open(5)
		size := shm.LockSize(places)
		h.start(3, nil, built.role, "make", "lock", "lock", fmt.Sprint(size)).succeed()
		var workers []*worker
		total := count
		for slot, threads := range map[uint32]int{3: 1, 6: 1, 7: 4} {
			workers = append(workers, h.start(slot, nil, built.asan, "locker", "lock", fmt.Sprint(size), fmt.Sprint(count), fmt.Sprint(threads)))
			total += threads * count
		}
		if told, err := locker(g, size, count); told || err != nil {
			t.Errorf("%d places: told %v, %v", places, told, err)
		}
		for _, w := range workers {
			if got := w.succeed(); got != "0" {
				t.Errorf("told %s of a death, and nobody died", got)
			}
		}
		pair, _, err := g.Area("pair", 24)
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint64(pair); got != uint64(total) {
			t.Errorf("%d places: %d changes of %d", places, got, total)
		}
	}
}

// TestLockHolderDies: the next taker gets the lock and is told (BGW-160), from C
// to Go and from C to C, also without anybody who rings.
func TestLockHolderDies(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	data, _, err := g.Area("lock", 96)
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.CreateLock(data)
	if err != nil {
		t.Fatal(err)
	}
	die := func() {
		w := h.start(3, nil, built.role, "dies")
		w.says("held")
		if _, ok := l.TryAcquire(); ok {
			t.Error("the lock is held by two")
		}
		_ = w.cmd.Process.Kill()
		if !w.killed() {
			t.Error("it was not killed")
		}
	}
	die()
	if died, err := l.Acquire(t.Context()); !died || err != nil || !l.Release() {
		t.Errorf("BGW-160: Go is told %v, %v", died, err)
	}
	die()
	if got := h.start(6, nil, built.asan, "locker", "lock", "96", "1", "1").succeed(); got != "1" {
		t.Errorf("BGW-160: C is told %s", got)
	}
}
