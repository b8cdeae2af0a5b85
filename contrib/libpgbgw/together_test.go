package libpgbgw

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

// TestCondition: producers and consumers in C and Go; a wake-up that got lost
// would leave somebody waiting (BGW-157). With one place most of them find none.
func TestCondition(t *testing.T) {
	const count = 200
	for _, places := range []int{1, 8} {
		h := newHost(t)
		g := h.open(5)
		size := shm.ConditionSize(places)
		s, n := fmt.Sprint(size), fmt.Sprint(count)
		h.start(3, nil, built.role, "make", "condition", "cv", s).succeed()
		data, _, err := g.Area("cv", size)
		if err != nil {
			t.Fatal(err)
		}
		c, err := g.OpenCondition(data)
		if err != nil {
			t.Fatal(err)
		}
		tokens := word(t, g, "tokens")
		var workers []*worker
		for i, role := range []string{"consumer", "consumer", "producer"} {
			workers = append(workers, h.start(uint32(6+i), nil, built.asan, role, "cv", s, n))
		}
		go func() {
			for range 2 * count {
				tokens.Add(1)
				c.Signal()
			}
		}()
		for range count {
			err := c.Wait(context.Background(), func() bool {
				n := tokens.Load()
				return n > 0 && tokens.CompareAndSwap(n, n-1)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, w := range workers {
			w.succeed()
		}
		if got := tokens.Load(); got != 0 {
			t.Errorf("%d places: %d tokens are left", places, got)
		}
	}
}

// TestBarrier: two participants in C and one in Go; one is elected in each phase
// (BGW-158), also when they come and go (BGW-159).
func TestBarrier(t *testing.T) {
	const count = 100
	for _, kind := range []string{"static", "dynamic"} {
		h := newHost(t)
		g := h.open(5)
		size := shm.BarrierSize(2)
		s, n := fmt.Sprint(size), fmt.Sprint(count)
		participants := map[string]string{"static": "3", "dynamic": "0"}[kind]
		h.start(3, nil, built.role, "make", "barrier", "b", s, participants).succeed()
		data, _, err := g.Area("b", size)
		if err != nil {
			t.Fatal(err)
		}
		b, err := g.OpenBarrier(data)
		if err != nil {
			t.Fatal(err)
		}
		if kind == "dynamic" {
			if _, err := b.Attach(); err != nil {
				t.Fatal(err)
			}
		}
		elected := word(t, g, "elected")
		one := h.start(6, nil, built.asan, "phases", "b", s, n, kind)
		two := h.start(7, nil, built.asan, "phases", "b", s, n, kind)
		for range count {
			e, err := b.ArriveAndWait(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if e {
				elected.Add(1)
			}
		}
		if kind == "dynamic" {
			if _, err := b.ArriveAndDetach(); err != nil {
				t.Fatal(err)
			}
		}
		one.succeed()
		two.succeed()
		if got := elected.Load(); kind == "static" && got != count || got < count || uint64(b.Phase()) < got {
			t.Errorf("BGW-158: %s: %d were elected in %d phases", kind, got, b.Phase())
		}
	}
}

// TestTranches: the numbers of names are the same in C and Go.
func TestTranches(t *testing.T) {
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
	if n, err := g.Tranche("from go"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	h.start(3, nil, built.asan, "tranches").succeed()
	if name, ok := g.TrancheName(l.Tranche()); name != "from c" || !ok {
		t.Errorf("the lock is of tranche %q", name)
	}
}

// TestDynamic: dynamic segments over the control socket (BGW-135 to BGW-139).
func TestDynamic(t *testing.T) {
	h := newHost(t)
	size, name, ready := map[uint32]uint64{}, uint32(0), 0
	make := func(n uint64) uint32 {
		f, err := shm.CreateDynamicMemory(n)
		if err != nil {
			t.Error(err)
		}
		handle := uint32(2*len(size) + 2)
		size[handle], h.pass[handle] = n, f
		t.Cleanup(func() { f.Close() })
		return handle
	}
	has := map[uint32]bool{}
	h.answers(func(w *worker, r control.Record) (control.Record, bool) {
		a := r.Accept()
		switch r.Type {
		case control.DynamicCreate:
			a.Segment = make(r.Size)
		case control.DynamicAttach:
			if a.Segment = r.Segment; size[r.Segment] == 0 {
				return r.Refuse(syscall.ENOENT, "there is none"), true
			}
			if has[r.Segment] {
				return r.Refuse(syscall.EEXIST, "it is attached"), true
			}
			a.Found = true
		case control.DynamicNamed:
			if a.Found = name != 0; !a.Found {
				name = make(r.Size)
			}
			a.Segment = name
		case control.DynamicReady:
			if ready++; !r.Done {
				name = 0
			}
			return a, true
		case control.DynamicDetach:
			delete(has, r.Segment)
			return a, true
		default:
			return a, true
		}
		a.Size, has[a.Segment] = size[a.Segment], true
		return a, true
	})
	w := h.start(3, nil, built.asan, "dynamic")
	w.succeed()
	if ready != 2 {
		t.Errorf("DynamicReady came %d times: %s", ready, w.requests())
	}
	late := uint32(0)
	for handle, n := range size {
		if n == 777 {
			late = handle
		}
	}
	if late == 0 || has[late] {
		t.Errorf("what came after its caller had given up was not given back: %s", w.requests())
	}
}
