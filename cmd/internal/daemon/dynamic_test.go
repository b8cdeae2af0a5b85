package daemon

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

func testDynamics(t *testing.T) *dynamics {
	s := newDynamics()
	s.configure(dynamicLimits{perWorker: 4, perUser: 6, bytes: 1 << 20})
	t.Cleanup(s.close)
	return s
}

// asking is a holder in the first incarnation of segment "main".
func asking(s *dynamics, slot uint32, uid uint32) *holder {
	return s.holder(units.Run{Handle: units.Handle{Slot: slot, Generation: 1}, Start: 1}, uid, domain{"main", 1})
}

func made(t *testing.T, s *dynamics, h *holder, size uint64) *dynamic {
	t.Helper()
	d, err := s.create(h, size)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// idle holds that nothing is left, and nobody charged.
func idle(t *testing.T, s *dynamics) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) != 0 || len(s.named) != 0 || len(s.users) != 0 {
		t.Errorf("left are %d segments, %d names, %d users", len(s.all), len(s.named), len(s.users))
	}
}

// TestDynamicLife holds BGW-135 to BGW-137 at the supervisor: gone with the
// last who has it, kept while it is pinned.
func TestDynamicLife(t *testing.T) {
	s := testDynamics(t)
	a, b := asking(s, 1, 0), asking(s, 2, 0)
	d := made(t, s, a, 100)
	if d.handle == 0 || d.handle%2 != 0 {
		t.Errorf("the handle is %d", d.handle)
	}
	_, err := s.attach(a, d.handle)
	wantErr(t, "BGW-137: attached twice", err, errMapped)
	if got, err := s.attach(b, d.handle); got != d || err != nil {
		t.Fatal(err)
	}
	if err := s.detach(a, d.handle); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "detached twice", s.detach(a, d.handle), errNotMapped)
	wantErr(t, "pinned by who has it not", s.pin(a, d.handle, true), errNotMapped)
	wantErr(t, "unpinned", s.pin(a, d.handle, false), errNotPinned)
	if err := s.pin(b, d.handle, true); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "pinned twice", s.pin(b, d.handle, true), errPinned)
	s.release(b.run)
	if _, err := s.attach(a, d.handle); err != nil {
		t.Errorf("BGW-135: pinned, and gone: %v", err)
	}
	if err := s.pin(a, d.handle, false); err != nil {
		t.Fatal(err)
	}
	if err := s.detach(a, d.handle); err != nil {
		t.Fatal(err)
	}
	_, err = s.attach(a, d.handle)
	wantErr(t, "BGW-136: a removed one", err, errNoDynamic)
	wantErr(t, "its descriptor", s.inspect(d.handle, func(int, uint64) {}), errNoDynamic)
	idle(t, s)
}

// TestDynamicLimits: per worker, per user, and in bytes; what is given back can
// be had again; one who has left gets nothing.
func TestDynamicLimits(t *testing.T) {
	s := testDynamics(t)
	a, b, c := asking(s, 1, 7), asking(s, 2, 7), asking(s, 3, 8)
	for _, bad := range []uint64{0, 1 << 63} {
		if _, err := s.create(a, bad); err == nil {
			t.Errorf("a segment of %d bytes", bad)
		}
	}
	_, err := s.create(a, 1<<20+1)
	wantErr(t, "more bytes than a user has", err, errDynamics)
	first := made(t, s, a, 1<<19)
	made(t, s, b, 1<<19)
	_, err = s.create(a, 1)
	wantErr(t, "a byte more", err, errDynamics)
	other := made(t, s, c, 1<<20)
	if err := s.detach(a, first.handle); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		made(t, s, a, 1)
	}
	_, err = s.create(a, 1)
	wantErr(t, "the fifth of a worker", err, errDynamics)
	_, err = s.attach(a, other.handle)
	wantErr(t, "the fifth of a worker, attached", err, errDynamics)
	made(t, s, b, 1)
	_, err = s.create(b, 1)
	wantErr(t, "the seventh of a user", err, errDynamics)
	if len(s.list()) != 7 {
		t.Errorf("%d are listed", len(s.list()))
	}
	for _, h := range []*holder{a, b, c} {
		s.release(h.run)
		_, err := s.create(h, 1)
		wantErr(t, "after the end", err, errOutside)
		_, err = s.attach(h, other.handle)
		if err == nil {
			t.Error("attached after the end")
		}
	}
	idle(t, s)
}

// TestDynamicDomain: another segment's workers, and those of another
// incarnation, know nothing of it; a renewal removes even what is pinned, and
// what is made meanwhile.
func TestDynamicDomain(t *testing.T) {
	s := testDynamics(t)
	a := asking(s, 1, 0)
	d := made(t, s, a, 1)
	if err := s.pin(a, d.handle, true); err != nil {
		t.Fatal(err)
	}
	for i, where := range []domain{{"other", 1}, {"main", 2}} {
		h := s.holder(units.Run{Handle: units.Handle{Slot: uint32(8 + i)}}, 0, where)
		_, err := s.attach(h, d.handle)
		wantErr(t, "from elsewhere", err, errNoDynamic)
		wantErr(t, "unpinned from elsewhere", s.pin(h, d.handle, false), errNoDynamic)
	}
	kept := made(t, s, s.holder(units.Run{Start: 9}, 0, domain{"main", 2}), 1)
	s.renewed("main", 2)
	if l := s.list(); len(l) != 1 || l[0].Handle != kept.handle {
		t.Errorf("after the renewal: %+v", l)
	}
	_, err := s.create(a, 1)
	wantErr(t, "made for a segment that was renewed", err, supervise.ErrSegmentRenewed)
	s.release(a.run)
	s.release(units.Run{Start: 9})
	idle(t, s)
}

// claimed is what one process hears of a name.
type claimed struct {
	d     *dynamic
	found bool
	err   error
}

func claim(s *dynamics, h *holder, name string, size uint64) <-chan claimed {
	c := make(chan claimed, 1)
	s.claim(h, name, size, func(d *dynamic, found bool, err error) { c <- claimed{d, found, err} })
	return c
}

// TestNamedOnce holds BGW-139 at the supervisor: of many who ask at once one
// fills, and all get the same.
func TestNamedOnce(t *testing.T) {
	s := testDynamics(t)
	s.configure(dynamicLimits{perWorker: 4, perUser: 6, bytes: 1 << 20})
	const n = 30
	results := make(chan claimed, n)
	var all sync.WaitGroup
	for i := range uint32(n) {
		h := asking(s, i, i)
		all.Go(func() {
			c := <-claim(s, h, "name", 4096)
			if c.err == nil && !c.found {
				c.err = s.filled(h, c.d.handle, true)
			}
			results <- c
		})
	}
	all.Wait()
	first, fillers := <-results, 0
	for i := range n {
		c := first
		if i > 0 {
			c = <-results
		}
		if c.err != nil || c.d != first.d {
			t.Fatalf("BGW-139: %+v, not %+v", c, first)
		}
		if !c.found {
			fillers++
		}
	}
	if fillers != 1 {
		t.Errorf("BGW-139: %d fill it", fillers)
	}
	for i := range uint32(n) {
		s.release(asking(s, i, i).run)
	}
	if l := s.list(); len(l) != 1 || !l[0].Pinned || l[0].Name != "name" {
		t.Errorf("it is not pinned: %+v", l)
	}
	c := <-claim(s, asking(s, 40, 0), "name", 1)
	wantErr(t, "another size", c.err, errDynamicSize)
}

// TestNamedFillerFails: if the one who fills fails, leaves, or lets go of it,
// the next one gets fresh memory; without a next one the name is free.
func TestNamedFillerFails(t *testing.T) {
	for name, fail := range map[string]func(*dynamics, *holder, *dynamic) error{
		"failed":   func(s *dynamics, h *holder, d *dynamic) error { return s.filled(h, d.handle, false) },
		"ended":    func(s *dynamics, h *holder, d *dynamic) error { s.release(h.run); return nil },
		"detached": func(s *dynamics, h *holder, d *dynamic) error { return s.detach(h, d.handle) },
		"pinned": func(s *dynamics, h *holder, d *dynamic) error {
			return errors.Join(s.pin(h, d.handle, true), s.detach(h, d.handle))
		},
	} {
		s := testDynamics(t)
		a, b, c := asking(s, 1, 0), asking(s, 2, 0), asking(s, 3, 0)
		first := <-claim(s, a, "n", 10)
		if first.err != nil || first.found {
			t.Fatalf("%s: %+v", name, first)
		}
		second, gone := claim(s, b, "n", 10), claim(s, c, "n", 10)
		if c := <-claim(s, asking(s, 4, 0), "n", 11); !errors.Is(c.err, errDynamicSize) {
			t.Errorf("%s: another size: %v", name, c.err)
		}
		wantErr(t, name+": by who does not fill it", s.filled(b, first.d.handle, true), errNotMapped)
		s.release(c.run)
		if c := <-gone; !errors.Is(c.err, errOutside) {
			t.Errorf("%s: who has ended waits: %+v", name, c)
		}
		if err := fail(s, a, first.d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		next := <-second
		if next.err != nil || next.found || next.d == first.d {
			t.Fatalf("%s: the next one gets %+v", name, next)
		}
		if err := fail(s, b, next.d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		idle(t, s)
	}
}

// TestNamedQuota: who may not make it leaves it to the next one.
func TestNamedQuota(t *testing.T) {
	s := testDynamics(t)
	poor, rich := asking(s, 1, 1), asking(s, 2, 2)
	made(t, s, poor, 1<<20)
	if c := <-claim(s, poor, "n", 10); !errors.Is(c.err, errDynamics) {
		t.Errorf("%+v", c)
	}
	if c := <-claim(s, rich, "n", 10); c.err != nil || c.found {
		t.Errorf("%+v", c)
	}
	s.release(poor.run)
	s.release(rich.run)
	idle(t, s)
}

// TestNamedWait: nobody waits longer than 20 s at a time, nor past a renewal.
func TestNamedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testDynamics(t)
		a, b := asking(s, 1, 0), asking(s, 2, 0)
		first := <-claim(s, a, "n", 10)
		begin := time.Now()
		if c := <-claim(s, b, "n", 10); !errors.Is(c.err, errFilling) || time.Since(begin) != waitForFill {
			t.Errorf("%+v after %v", c, time.Since(begin))
		}
		waiting := claim(s, b, "n", 10)
		s.renewed("main", 2)
		if c := <-waiting; !errors.Is(c.err, supervise.ErrSegmentRenewed) {
			t.Errorf("after a renewal: %+v", c)
		}
		wantErr(t, "filled after a renewal", s.filled(a, first.d.handle, true), errNoDynamic)
		s.release(a.run)
		s.release(b.run)
		idle(t, s)
	})
}
