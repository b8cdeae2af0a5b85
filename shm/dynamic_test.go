package shm

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

// dynamicSupervisor answers requests about dynamic segments: handle 2 is one of
// 5,000 bytes.
func dynamicSupervisor(t *testing.T) (*supervisor, *Worker, *os.File) {
	t.Helper()
	f, err := CreateDynamicMemory(5000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s := newSupervisor(t)
	s.answers(func(r control.Record) (control.Record, int, bool) {
		a := r.Accept()
		switch r.Type {
		case control.DynamicAttach, control.DynamicCreate, control.DynamicNamed:
			if r.Segment > 2 {
				return r.Refuse(syscall.ENOENT, "there is none"), -1, true
			}
			a.Segment, a.Size, a.Found = 2, 5000, r.Type == control.DynamicAttach
			return a, int(f.Fd()), true
		}
		return a, -1, true
	})
	w := s.open()
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, w, f
}

// TestDynamic: what is made is mapped, shared, found by its handle, and no
// longer there after Detach, where late users find memory all the same.
func TestDynamic(t *testing.T) {
	s, w, f := dynamicSupervisor(t)
	before := openFds(t)
	d, err := w.CreateDynamic(t.Context(), 5000)
	if err != nil {
		t.Fatal(err)
	}
	if d.Handle() != 2 || len(d.Data()) != 5000 || cap(d.Data()) != 5000 || w.FindDynamic(2) != d || w.FindDynamic(4) != nil {
		t.Errorf("handle %d, %d bytes", d.Handle(), len(d.Data()))
	}
	d.Data()[4999] = 7
	var b [1]byte
	if _, err := f.ReadAt(b[:], 4999); err != nil || b[0] != 7 {
		t.Errorf("the memory is not shared: %v, %v", b, err)
	}
	if err := d.Pin(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := d.Detach(t.Context()); err != nil {
			t.Error(err)
		}
	}
	d.Data()[4999] = 8
	if _, err := f.ReadAt(b[:], 4999); err != nil || b[0] != 7 {
		t.Errorf("after Detach it is shared: %v, %v", b, err)
	}
	if err := w.UnpinDynamic(t.Context(), 2); err != nil || w.FindDynamic(2) != nil {
		t.Error(err)
	}
	if got := s.types(); got != "Hello Attach DynamicCreate DynamicPin DynamicDetach DynamicUnpin" {
		t.Errorf("requests: %s", got)
	}
	if n := openFds(t); n > before { // fewer: what earlier tests have left is collected
		t.Errorf("%d descriptors, before %d", n, before)
	}
	for range 3 * maxHollows {
		d, err := w.AttachDynamic(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if d.leave(); len(w.dynamics.hollows) > maxHollows {
			t.Fatalf("%d addresses are kept", len(w.dynamics.hollows))
		}
	}
}

// TestDynamicRefused: BGW-136, BGW-137, and what needs to be attached.
func TestDynamicRefused(t *testing.T) {
	s, w, _ := dynamicSupervisor(t)
	if _, err := w.AttachDynamic(t.Context(), 4); !errors.Is(err, ErrNoDynamic) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("BGW-136: %v", err)
	}
	if _, err := w.CreateDynamic(t.Context(), 0); err == nil {
		t.Error("one of no bytes")
	}
	for _, name := range []string{"", strings.Repeat("n", 64), "a\x00b", "\xff"} {
		if _, _, err := w.NamedDynamic(t.Context(), name, 10, nil); err == nil {
			t.Errorf("one named %q", name)
		}
	}
	s.answers(func(r control.Record) (control.Record, int, bool) { return r.Refuse(syscall.EEXIST, ""), -1, true })
	if _, err := w.AttachDynamic(t.Context(), 2); !errors.Is(err, ErrMapped) {
		t.Errorf("BGW-137: %v", err)
	}
	s.answers(func(r control.Record) (control.Record, int, bool) { return r.Accept(), -1, true })
	if _, err := w.AttachDynamic(t.Context(), 2); err == nil {
		t.Error("one without memory")
	}
	memory, err := newMemfd("not sealed", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	fd := int(memory.Fd())
	s.answers(func(r control.Record) (control.Record, int, bool) {
		a := r.Accept()
		a.Segment, a.Size = 2, 1
		return a, fd, true
	})
	if _, err := w.AttachDynamic(t.Context(), 2); !errors.Is(err, ErrDamaged) {
		t.Errorf("memory that may shrink: %v", err)
	}
	if err := w.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AttachDynamic(t.Context(), 2); !errors.Is(err, ErrNotAttached) {
		t.Errorf("after Detach: %v", err)
	}
}

// TestDynamicOnDetach holds BGW-138: the callback that came last is called
// first, with the memory in its place; one that was cancelled is not called; and
// Detach of the segment calls them, too.
func TestDynamicOnDetach(t *testing.T) {
	for name, leave := range map[string]func(*Worker, *DynamicSegment) error{
		"its own": func(w *Worker, d *DynamicSegment) error { return d.Detach(context.Background()) },
		"all":     func(w *Worker, d *DynamicSegment) error { return w.Detach(context.Background()) },
		"close":   func(w *Worker, d *DynamicSegment) error { return w.Close() },
	} {
		_, w, f := dynamicSupervisor(t)
		d, err := w.AttachDynamic(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		var calls []string
		d.OnDetach(func() { calls = append(calls, "A") })
		cancel := d.OnDetach(func() { calls = append(calls, "cancelled") })
		d.OnDetach(func() {
			calls = append(calls, "B")
			d.Data()[0] = 'B'
			d.OnDetach(func() { calls = append(calls, "C") })
		})
		cancel()
		cancel()
		if err := leave(w, d); err != nil {
			t.Error(err)
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], 0); err != nil || b[0] != 'B' {
			t.Errorf("BGW-138: %s: the memory was gone", name)
		}
		d.OnDetach(func() { calls = append(calls, "late") })
		if got := strings.Join(calls, " "); got != "B C A late" {
			t.Errorf("BGW-138: %s: %s", name, got)
		}
	}
}

// TestDynamicHoldings: what lies in a segment that is detached is given up
// before, and nothing else is.
func TestDynamicHoldings(t *testing.T) {
	_, w, f := dynamicSupervisor(t)
	area, _, err := w.Area("lock", LockSize(2))
	if err != nil {
		t.Fatal(err)
	}
	outside, err := w.CreateLock(area)
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.AttachDynamic(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := w.CreateLock(d.Data()[:LockSize(2)])
	if err != nil {
		t.Fatal(err)
	}
	q, err := w.CreateQueue(d.Data()[1024:2048])
	if err != nil {
		t.Fatal(err)
	}
	r, err := q.AttachReceiver()
	if err != nil {
		t.Fatal(err)
	}
	acquire(t, outside)
	acquire(t, inside)
	failed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_, err := r.Receive(ctx)
		failed <- err
	}()
	untilFlag(q, queueReceiverWaits)
	if err := d.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("something was received")
	}
	c, _, err := InspectMemory(int(f.Fd()), 5000)
	if err != nil || len(c.Locks) != 1 || c.Locks[0].Holder != nil || len(c.Queues) != 1 || !c.Queues[0].Detached {
		t.Errorf("left behind: %+v, %v", c, err)
	}
	if outside.holder.Load() == 0 {
		t.Error("a lock outside was released")
	}
}

// TestNamedDynamic: one goroutine of many fills; the process has it once; a
// failure is told and leaves the next caller to try.
func TestNamedDynamic(t *testing.T) {
	s, w, _ := dynamicSupervisor(t)
	boom := errors.New("boom")
	if _, _, err := w.NamedDynamic(t.Context(), "n", 5000, func([]byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("a failure: %v", err)
	}
	if r := s.last(); r.Type != control.DynamicReady || r.Done || r.Segment != 2 {
		t.Errorf("a failure is told as %+v", r)
	}
	func() {
		defer func() { _ = recover() }()
		w.NamedDynamic(t.Context(), "n", 5000, func([]byte) error { panic("boom") })
	}()
	if r := s.last(); r.Type != control.DynamicReady || r.Done {
		t.Errorf("a panic is told as %+v", r)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	fills, news := 0, 0
	segments := map[*DynamicSegment]bool{}
	for range 8 {
		all.Go(func() {
			d, found, err := w.NamedDynamic(t.Context(), "n", 5000, func(b []byte) error { fills++; b[0] = 1; return nil })
			if err != nil || d.Data()[0] != 1 {
				t.Errorf("%v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if segments[d] = true; !found {
				news++
			}
		})
	}
	all.Wait()
	if fills != 1 || news != 1 || len(segments) != 1 {
		t.Errorf("filled %d times, made %d times, %d segments", fills, news, len(segments))
	}
	if r := s.last(); r.Type != control.DynamicReady || !r.Done {
		t.Errorf("it is told as %+v", r)
	}
	if _, _, err := w.NamedDynamic(t.Context(), "n", 1, nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("another size: %v", err)
	}
}

// TestDynamicTooLate: a segment that comes after its caller has given up is
// given back, so that nobody waits for who would not fill it.
func TestDynamicTooLate(t *testing.T) {
	s, w, f := dynamicSupervisor(t)
	ctx, cancel := context.WithCancel(t.Context())
	before := openFds(t)
	told := make(chan struct{})
	s.answers(func(r control.Record) (control.Record, int, bool) {
		a := r.Accept()
		switch r.Type {
		case control.DynamicNamed:
			cancel()
			for w.client.waits() { // until its caller has gone
				syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 100})
			}
			a.Segment, a.Size = 2, 5000
			return a, int(f.Fd()), true
		case control.DynamicDetach:
			close(told)
		}
		return a, -1, true
	})
	if _, _, err := w.NamedDynamic(ctx, "n", 5000, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-told
	if r := s.last(); r.Segment != 2 {
		t.Errorf("told was %+v", r)
	}
	if n := openFds(t); n > before { // fewer: what earlier tests have left is collected
		t.Errorf("%d descriptors, before %d", n, before)
	}
}

// waits reports whether somebody waits for an answer.
func (c *client) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) > 0
}
