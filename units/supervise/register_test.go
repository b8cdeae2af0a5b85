package supervise

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// registrants are n workers, valid and with their defaults.
func registrants(n int) []Registrant {
	all := make([]Registrant, n)
	for i := range all {
		w := units.Worker{Name: "w", Flags: units.ShmemAccess, Command: []string{"/bin/w"}}.WithDefaults()
		all[i].Worker = &w
	}
	return all
}

// TestRegisterAll: of many the first get the slots that there are (BGW-024,
// BGW-025), and are started the newest first (BGW-023); at the end none is taken.
func TestRegisterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		if handles, errs := f.RegisterAll(nil); len(handles) != 0 || len(errs) != 0 {
			t.Errorf("nothing to register: %v, %v", handles, errs)
		}
		const slots, some = 200, 150
		var running []*process
		for _, n := range []int{some, slots} {
			handles, errs := f.RegisterAll(registrants(n))
			free := slots - len(running)
			for i := range handles {
				if i < free && (errs[i] != nil || handles[i].Slot != uint32(len(running)+i)) || i >= free && !errors.Is(errs[i], ErrNoFreeSlot) {
					t.Fatalf("%d of %d: %v, %v", i, n, handles[i], errs[i])
				}
			}
			for i := range min(n, free) {
				p := f.next(t)
				// A hundred are started in one pass.
				if i == 0 && p.Run.Handle != handles[min(n, free)-1] {
					t.Errorf("of %d, %v is started first", n, p.Run)
				}
				running = append(running, p)
			}
		}
		f.Shutdown(Fast)
		synctest.Wait()
		if _, errs := f.RegisterAll(registrants(2)); !errors.Is(errs[0], ErrShuttingDown) || !errors.Is(errs[1], ErrShuttingDown) {
			t.Errorf("at the end: %v", errs)
		}
		f.end(t, running...)
		if _, errs := f.RegisterAll(registrants(1)); !errors.Is(errs[0], ErrShuttingDown) {
			t.Errorf("after the end: %v", errs)
		}
	})
}

// TestNewsGathers: what is new is told at once if nobody is being started, else
// with what follows, gatherTime later at most; an exit is told at once, and what
// was before it.
func TestNewsGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // synctest.Wait is none to the race detector
		var told []Kind
		var at []time.Duration
		begin := time.Now()
		n := newNews()
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.drain(func(c Change) {
				mu.Lock()
				defer mu.Unlock()
				told, at = append(told, c.Kind), append(at, time.Since(begin))
			})
		}()
		expect := func(when time.Duration, kinds ...Kind) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(told) != len(kinds) {
				t.Fatalf("told are %v, want %v", told, kinds)
			}
			for i, k := range kinds {
				if told[i] != k || at[i] != when {
					t.Errorf("%d: %v after %v, want %v after %v", i, told[i], at[i], k, when)
				}
			}
			told, at = nil, nil
		}
		handle := func(slot uint32) Info { return Info{Handle: units.Handle{Slot: slot}} }
		put := func(k Kind, slot uint32) { n.put(&Change{Kind: k, Info: handle(slot)}) }
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		put(Started, 1)
		expect(0, Started)
		n.starting(true)
		put(Registered, 2)
		expect(0)
		pass(gatherTime / 3)
		put(Started, 2)
		expect(0)
		pass(gatherTime)
		expect(gatherTime, Registered, Started) // the others hang
		put(Started, 4)
		pass(gatherTime / 3)
		n.starting(false) // no other is being started
		expect(gatherTime/3+gatherTime+gatherTime/3, Started)
		n.starting(true)
		put(Started, 5)
		put(Exited, 4)
		expect(gatherTime/3+gatherTime+gatherTime/3, Started, Exited)
		put(Started, 6)
		expect(0)
		n.close()
		<-done
		expect(time.Since(begin), Started)
	})
}
