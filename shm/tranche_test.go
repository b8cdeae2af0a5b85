package shm

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
)

// TestTranche: a name has one number in all processes, however many register it
// at once; all numbers can be used, and no more.
func TestTranche(t *testing.T) {
	segment := create(t, "main", MinSize)
	a, b := attached(t, segment), attached(t, segment)
	const names = 20
	numbers := make([][names]uint32, 4)
	var all sync.WaitGroup
	for i := range numbers {
		x := &[]*attachment{a, b}[i%2].tranches
		all.Go(func() {
			for n := range names {
				var err error
				if numbers[i][n], err = x.find(fmt.Sprintf("tranche %d", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[uint32]bool{}
	for n := range names {
		for i := range numbers {
			if numbers[i][n] != numbers[0][n] {
				t.Errorf("tranche %d is %d and %d", n, numbers[0][n], numbers[i][n])
			}
		}
		seen[numbers[0][n]] = true
	}
	if len(seen) != names || seen[0] {
		t.Errorf("numbers: %v", seen)
	}
	for n := names; n < MaxTranches; n++ {
		if _, err := a.tranches.find(fmt.Sprintf("tranche %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.tranches.find("one more"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("one more than there can be: %v", err)
	}
	for _, bad := range []string{"", "a\x00", string(message(MaxTrancheName + 1))} {
		if _, err := a.tranches.find(bad); err == nil {
			t.Errorf("a tranche %q", bad)
		}
	}
}

// TestTrancheOfLock: what one process says of a lock, another one sees; damaged
// names are no fault.
func TestTrancheOfLock(t *testing.T) {
	s := newSupervisor(t)
	w := s.open()
	if _, err := w.Tranche("queue"); !errors.Is(err, ErrNotAttached) {
		t.Errorf("not attached: %v", err)
	}
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	number, err := w.Tranche("queue")
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := w.Area("locks", LockSize(4))
	if err != nil {
		t.Fatal(err)
	}
	l, err := w.CreateLock(data)
	if err != nil {
		t.Fatal(err)
	}
	l.SetTranche(number)
	other, err := w.OpenLock(data)
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := w.TrancheName(other.Tranche()); name != "queue" || !ok {
		t.Errorf("the tranche is %q, %v", name, ok)
	}
	for _, bad := range []uint32{0, number + 1, MaxTranches + 1} {
		if name, ok := w.TrancheName(bad); ok {
			t.Errorf("tranche %d is %q", bad, name)
		}
	}
	x := &w.inside().tranches
	x.mem[x.records.offset] = 0
	if _, err := w.Tranche("queue"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a name that is none: %v", err)
	}
	x.word(0).Store(1 << 40)
	if _, err := w.Tranche("queue"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a word out of bounds: %v", err)
	}
}
