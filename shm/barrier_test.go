package shm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// barriers are n processes with one barrier.
func barriers(t testing.TB, n, places, participants int) []*Barrier {
	t.Helper()
	parties, _ := testPeers(t, n)
	data := make([]byte, BarrierSize(places))
	var all []*Barrier
	for i, p := range parties {
		b, err := p.openBarrier(data)
		if i == 0 {
			b, err = p.createBarrier(data, participants)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func untilArrived(b *Barrier, n uint64) {
	for parseBarrier(b.state.Load()).arrived != n {
		runtime.Gosched()
	}
}

// TestBarrierStatic holds BGW-158: three arrive, phase after phase, all go on
// together and exactly one is elected.
func TestBarrierStatic(t *testing.T) {
	for _, places := range []int{1, 3} {
		b := barriers(t, 3, places, 3)
		const phases = 200
		var elected [phases]atomic.Int32
		var all sync.WaitGroup
		for _, b := range b {
			all.Go(func() {
				for i := range phases {
					if p := b.Phase(); p != uint32(i) {
						t.Errorf("BGW-158: phase %d, want %d", p, i)
					}
					one, err := b.ArriveAndWait(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if one {
						elected[i].Add(1)
					}
				}
			})
		}
		all.Wait()
		for i := range elected {
			if n := elected[i].Load(); n != 1 {
				t.Errorf("BGW-158: %d are elected in phase %d", n, i)
			}
		}
		if b[0].Phase() != phases || b[0].Participants() != 3 {
			t.Errorf("at the end: phase %d of %d participants", b[0].Phase(), b[0].Participants())
		}
	}
}

func TestBarrierStaticHasItsParticipants(t *testing.T) {
	b := barriers(t, 1, 1, 1)[0]
	if _, err := b.Attach(); err == nil {
		t.Error("one attaches to a static barrier")
	}
	if _, err := b.Detach(); err == nil {
		t.Error("one detaches from a static barrier")
	}
	if one, err := b.ArriveAndWait(t.Context()); !one || err != nil {
		t.Errorf("alone: %v, %v", one, err)
	}
}

// arriving is a goroutine at a barrier.
func arriving(t *testing.T, ctx context.Context, b *Barrier) <-chan bool {
	result := make(chan bool, 1)
	go func() {
		one, err := b.ArriveAndWait(ctx)
		if err != nil {
			t.Error(err)
		}
		result <- one
	}()
	return result
}

func attach3(t *testing.T, b []*Barrier) {
	t.Helper()
	for _, b := range b {
		if phase, err := b.Attach(); phase != 0 || err != nil {
			t.Fatalf("phase %d, %v", phase, err)
		}
	}
}

// TestBarrierDetach holds BGW-159: as the one who is missing detaches, in each
// of the ways, or leaves the segment, those who wait go on, and one of them is
// elected.
func TestBarrierDetach(t *testing.T) {
	for name, leave := range map[string]func(*Barrier) (bool, error){
		"Detach":                    (*Barrier).Detach,
		"ArriveAndDetach":           (*Barrier).ArriveAndDetach,
		"ArriveAndDetachExceptLast": (*Barrier).ArriveAndDetachExceptLast,
		"segment": func(b *Barrier) (bool, error) {
			b.condition.party.endAll()
			return false, nil
		},
	} {
		b := barriers(t, 3, 2, 0)
		attach3(t, b)
		x, y := arriving(t, t.Context(), b[0]), arriving(t, t.Context(), b[1])
		untilArrived(b[2], 2)
		if last, err := leave(b[2]); last || err != nil {
			t.Errorf("%s: %v, %v", name, last, err)
		}
		if one, other := <-x, <-y; one == other {
			t.Errorf("BGW-159: %s: elected are %v and %v", name, one, other)
		}
		if b[0].Phase() != 1 || b[0].Participants() != 2 {
			t.Errorf("%s: phase %d of %d", name, b[0].Phase(), b[0].Participants())
		}
	}
}

// TestBarrierLast: who leaves last is told, and what that does to the phase.
func TestBarrierLast(t *testing.T) {
	b := barriers(t, 2, 2, 0)
	for i, c := range []struct {
		leave func(*Barrier) (bool, error)
		phase uint32 // after both have left
		left  int
	}{
		{(*Barrier).Detach, 0, 0},
		{(*Barrier).ArriveAndDetach, 1, 0},
		{(*Barrier).ArriveAndDetachExceptLast, 2, 1},
	} {
		for _, b := range b {
			if _, err := b.Attach(); err != nil {
				t.Fatal(err)
			}
		}
		if last, err := c.leave(b[0]); last || err != nil {
			t.Errorf("%d: the first of two: %v, %v", i, last, err)
		}
		if last, err := c.leave(b[1]); !last || err != nil {
			t.Errorf("%d: the last: %v, %v", i, last, err)
		}
		if b[0].Phase() != c.phase || b[0].Participants() != c.left {
			t.Errorf("%d: phase %d of %d", i, b[0].Phase(), b[0].Participants())
		}
	}
	if phase, err := b[0].Attach(); phase != 2 || err != nil {
		t.Errorf("attached in phase %d, %v", phase, err)
	}
}

func TestBarrierOutside(t *testing.T) {
	b := barriers(t, 2, 1, 0)
	if _, err := b[0].ArriveAndWait(t.Context()); err == nil {
		t.Error("one arrives who does not take part")
	}
	if _, err := b[1].Attach(); err != nil {
		t.Fatal(err)
	}
	for _, leave := range []func() (bool, error){b[0].Detach, b[0].ArriveAndDetach, b[0].ArriveAndDetachExceptLast} {
		if _, err := leave(); err == nil {
			t.Error("one detaches who does not take part")
		}
	}
	if b[1].Participants() != 1 {
		t.Errorf("%d take part", b[1].Participants())
	}
}

// TestBarrierGivesUp: after the end of ctx one has not arrived, and may arrive
// again; after a detach from the segment one never will.
func TestBarrierGivesUp(t *testing.T) {
	b := barriers(t, 3, 3, 0)
	attach3(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	go func() { _, err := b[0].ArriveAndWait(ctx); failed <- err }()
	untilArrived(b[1], 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
	untilArrived(b[1], 0)

	go func() { _, err := b[0].ArriveAndWait(t.Context()); failed <- err }()
	x := arriving(t, t.Context(), b[1])
	untilArrived(b[2], 2)
	b[0].condition.party.endAll()
	if err := <-failed; !errors.Is(err, ErrNotAttached) {
		t.Errorf("after a detach: %v", err)
	}
	if got := parseBarrier(b[2].state.Load()); got.arrived != 1 || got.participants != 2 {
		t.Errorf("after a detach %d of %d have arrived", got.arrived, got.participants)
	}
	y := arriving(t, t.Context(), b[2])
	if <-x == <-y {
		t.Error("not one is elected")
	}
	if _, err := b[0].Attach(); !errors.Is(err, ErrNotAttached) {
		t.Errorf("attached after a detach: %v", err)
	}
}

// TestBarrierComings: participants come and go at every phase; each phase
// elects at most one, and nobody hangs.
func TestBarrierComings(t *testing.T) {
	b := barriers(t, 3, 2, 0)
	var all sync.WaitGroup
	var mu sync.Mutex
	elected := map[uint32]int{}
	for i, b := range b {
		for u := range 2 {
			all.Go(func() {
				for round := range 60 {
					if _, err := b.Attach(); err != nil {
						t.Error(err)
					}
					for range (round + i + u) % 4 {
						phase := b.Phase()
						one, err := b.ArriveAndWait(t.Context())
						if err != nil {
							t.Error(err)
						}
						if one {
							mu.Lock()
							elected[phase]++
							mu.Unlock()
						}
					}
					leave := []func() (bool, error){b.Detach, b.ArriveAndDetach}[round%2]
					if _, err := leave(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	for phase, n := range elected {
		if n != 1 {
			t.Errorf("%d are elected in phase %d", n, phase)
		}
	}
	if got := parseBarrier(b[0].state.Load()); got.participants != 0 || got.arrived != 0 {
		t.Errorf("at the end: %+v", got)
	}
}

func TestBarrierMemory(t *testing.T) {
	p := newTestParty(t, 1)
	data := make([]byte, 200)
	for _, bad := range [][]byte{nil, data[:MinBarrierSize-1], data[4:]} {
		if _, err := p.createBarrier(bad, 1); err == nil {
			t.Errorf("a barrier in %d bytes at no good place", len(bad))
		}
	}
	for _, bad := range []int{-1, MaxParticipants + 1} {
		if _, err := p.createBarrier(data, bad); err == nil {
			t.Errorf("a barrier of %d participants", bad)
		}
	}
	if _, err := p.openBarrier(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("zeros: %v", err)
	}
	b, err := p.createBarrier(data, MaxParticipants)
	if err != nil || b.Participants() != MaxParticipants {
		t.Fatal(err)
	}
	if _, err := p.openBarrier(data); err != nil {
		t.Error(err)
	}
	if _, err := p.openBarrier(data[:100]); !errors.Is(err, ErrDamaged) {
		t.Errorf("another size: %v", err)
	}
	memory(data).word32(12).Store(1)
	if _, err := p.openBarrier(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("another feature: %v", err)
	}
	if _, err := p.createBarrier(make([]byte, 1<<20), 0); err != nil {
		t.Errorf("a large one: %v", err)
	}
}
