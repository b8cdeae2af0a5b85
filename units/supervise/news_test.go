package supervise

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// TestLoopSinkBlocks: a sink that never returns stops neither starts nor
// requests, and is told everything, in order, once it goes on.
func TestLoopSinkBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := make(sink)
		f := start(t, changes)
		var ps []*process
		for range 100 {
			f.register(t, units.Worker{})
			ps = append(ps, f.next(t))
		}
		synctest.Wait()
		if c, ok := f.Counts(); !ok || c.Running != 100 {
			t.Fatalf("%v", c)
		}
		f.cancel()
		for _, p := range ps {
			<-p.signals
			p.exit(0)
		}
		seen := map[units.Handle]Info{}
		ended := 0
		for {
			select {
			case c := <-changes:
				if seen[c.Info.Handle] != c.Before {
					t.Fatalf("%v: out of order", c.Info.Handle)
				}
				if seen[c.Info.Handle] = c.Info; c.Kind == Unregistered {
					ended++
				}
				continue
			case err := <-f.result:
				if err != nil || ended != 100 {
					t.Errorf("Run: %v, %d told", err, ended)
				}
			}
			return
		}
	})
}

// TestLoopSinkAsks: a sink may ask the Supervisor about what it is told, the
// last change of a shutdown too, and sees that state or a newer one.
func TestLoopSinkAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fixture
		ready := make(chan struct{})
		last := make(chan units.State, 1)
		f = start(t, sinkFunc(func(c Change) {
			<-ready
			if c.Kind == Unregistered {
				i, ok := f.Lookup(c.Info.Handle)
				if !ok {
					t.Error("it is not known any more")
				}
				last <- i.State
			}
		}))
		close(ready)
		f.register(t, units.Worker{})
		f.end(t, f.next(t))
		if s := <-last; s != units.Ended {
			t.Error(s)
		}
	})
}

// TestLoopNewsIsBounded: a worker that attaches, detaches and says that it is
// ready as fast as it can does not make the queue to a slow sink grow.
func TestLoopNewsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := make(sink)
		f := start(t, changes)
		f.register(t, units.Worker{})
		f.register(t, units.Worker{})
		a, b := f.next(t), f.next(t)
		for range 1000 {
			for _, p := range []*process{a, b} {
				if err := errors.Join(f.Attach(p.Run), f.Detach(p.Run), f.Ready(p.Run, time.Now().String())); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond) // another text each time
			}
		}
		f.news.mu.Lock()
		if n := len(f.news.changes); n > 16 {
			t.Errorf("%d changes are queued", n)
		}
		f.news.mu.Unlock()
		go func() {
			for range changes {
			}
		}()
		f.end(t, a, b)
		close(changes)
	})
}

// TestNews: what is merged still makes a chain in which each change begins
// where the one before ended.
func TestNews(t *testing.T) {
	h := units.Handle{Slot: 1, Generation: 1}
	state := func(s units.State, text string) Info { return Info{Handle: h, State: s, ReadyText: text} }
	n := newNews()
	for _, c := range []Change{
		{Kind: Registered, Info: state(units.Waiting, "")},
		{Kind: Updated, Before: state(units.Waiting, ""), Info: state(units.Starting, "")},
		{Kind: Updated, Before: state(units.Starting, ""), Info: state(units.Starting, "a")},
		{Kind: Updated, Before: state(units.Starting, "a"), Info: state(units.Starting, "b")},
		{Kind: Updated, Info: Info{Handle: units.Handle{Slot: 2}}},
		{Kind: Updated, Before: state(units.Starting, "b"), Info: state(units.Starting, "c")},
		{Kind: Crashed},
		{Kind: Updated, Before: state(units.Starting, "c"), Info: state(units.Starting, "d")},
		{Kind: Started, Before: state(units.Starting, "d"), Info: state(units.Running, "d"), Notify: Owner{Kind: BusOwner}},
		{Kind: Updated, Before: state(units.Running, "d"), Info: state(units.Running, "e")},
	} {
		n.put(&c)
	}
	n.close()
	var kinds []Kind
	var last Info
	n.drain(func(c Change) {
		if kinds = append(kinds, c.Kind); c.Info.Handle != h {
			return
		}
		if c.Before != last {
			t.Errorf("begins at %+v, not %+v", c.Before, last)
		}
		last = c.Info
	})
	if want := []Kind{Registered, Updated, Updated, Updated, Crashed, Updated, Started, Updated}; !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if last.ReadyText != "e" {
		t.Errorf("the last is %+v", last)
	}
}
