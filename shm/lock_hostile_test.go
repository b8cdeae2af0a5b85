package shm

import (
	"context"
	"errors"
	"testing"
)

func TestLockMemory(t *testing.T) {
	p := newTestParty(t, 1)
	data := make([]byte, 200)
	for _, bad := range [][]byte{nil, data[:MinLockSize-1], data[4:]} {
		if _, err := p.createLock(bad); err == nil {
			t.Errorf("a lock in %d bytes at no good place", len(bad))
		}
	}
	if _, err := p.openLock(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := p.createLock(data); err != nil {
		t.Fatal(err)
	}
	if _, err := p.openLock(data[:100]); !errors.Is(err, ErrDamaged) {
		t.Errorf("another size: %v", err)
	}
	memory(data).word32(12).Store(1)
	if _, err := p.openLock(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("another feature: %v", err)
	}
	l, err := p.createLock(make([]byte, 1<<20))
	if err != nil || len(l.waiters) != maxPlaces {
		t.Errorf("a large one: %v", err)
	}
}

// FuzzLock uses a lock in hostile memory without waiting: never a fault.
func FuzzLock(f *testing.F) {
	f.Add([]byte{16, 0, 7, 1, 40, 0, 255, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newFuzzParty(t, 1)
		data := make([]byte, LockSize(4))
		l, err := p.createLock(data)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(script) >= 4; script = script[4:] {
			data[(int(script[0])|int(script[1])<<8)%len(data)] = script[2]
			p.gone.Store(script[3]&16 != 0)
			switch script[3] & 3 {
			case 0:
				l.TryAcquire()
			case 1:
				l.TryAcquireShared()
			case 2:
				l.Release()
			case 3:
				l.ReleaseShared()
			}
		}
		l.abandon()
	})
}

func TestLockAllocations(t *testing.T) {
	l, _ := lockUsers(t, 1, LockSize(4))
	if n := testing.AllocsPerRun(100, func() {
		l[0].TryAcquire()
		l[0].Release()
		l[0].AcquireShared(context.Background())
		l[0].ReleaseShared()
		l[0].Acquire(context.Background())
		l[0].Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLock(b *testing.B) {
	l, _ := lockUsers(b, 1, LockSize(8))
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			l[0].Acquire(context.Background())
			l[0].Release()
		}
	})
	b.Run("shared", func(b *testing.B) {
		for b.Loop() {
			l[0].AcquireShared(context.Background())
			l[0].ReleaseShared()
		}
	})
}
