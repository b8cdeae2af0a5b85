package supervise

import (
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

func endedInfo(n int, o Owner, at time.Time) Info {
	return Info{Handle: units.Handle{Slot: 1, Generation: uint64(n)}, Worker: &units.Worker{Name: "w"}, Owner: o, Since: at}
}

// TestEndedLimit: at most 1,024 ended handles are readable, the oldest are
// dropped first, and those of definitions that stand do not count.
func TestEndedLimit(t *testing.T) {
	d := newEnded()
	first := endedInfo(1, Owner{}, epoch0)
	d.pinned[first.Handle] = first
	for n := 2; n < 5000; n++ {
		d.add(endedInfo(n, Owner{}, epoch0))
		for _, c := range []struct {
			n    int
			want bool
		}{{1, true}, {n, true}, {max(n-endedMax+1, 2), true}, {n - endedMax, n-endedMax == 1}} {
			if _, ok := d.get(units.Handle{Slot: 1, Generation: uint64(c.n)}, epoch0); ok != c.want {
				t.Fatalf("after %d: %d is readable: %v", n, c.n, ok)
			}
		}
	}
	if len(d.infos) != endedMax || len(d.order) != endedMax {
		t.Errorf("%d infos, %d in order", len(d.infos), len(d.order))
	}
	if i, ok := d.newest("w", epoch0); !ok || i.Handle.Generation != 4999 {
		t.Errorf("the newest is %v", i.Handle)
	}
	d.unpin(first.Handle)
	if _, ok := d.get(first.Handle, epoch0); !ok || len(d.pinned) != 0 || len(d.infos) != endedMax {
		t.Error("an unpinned handle counts as the newest")
	}
}

// TestEndedAge: an ended handle is readable for ten minutes at least, and as
// long as its owner is there.
func TestEndedAge(t *testing.T) {
	d := newEnded()
	owner := Owner{Kind: BusOwner, Bus: ":1.5", UID: 7}
	owned, free := endedInfo(1, owner, epoch0), endedInfo(2, Owner{}, epoch0)
	d.add(owned)
	d.add(free)
	readable := func(i Info, after time.Duration) bool { _, ok := d.get(i.Handle, epoch0.Add(after)); return ok }
	if !readable(free, endedAge-1) || readable(free, endedAge) {
		t.Error("without an owner it is readable for just ten minutes")
	}
	if !readable(owned, 1000*time.Hour) {
		t.Error("it went before its owner did")
	}
	d.ownerGone(Owner{Kind: BusOwner, Bus: ":1.6"})
	d.ownerGone(owner)
	if i, _ := d.get(owned.Handle, epoch0); i.Owner != (Owner{UID: 7}) {
		t.Errorf("owner %+v", i.Owner)
	}
	if readable(owned, endedAge) {
		t.Error("it outlives its owner and ten minutes")
	}
}

// TestEndedOfDeadOwner: a worker that registered others leaves no trace in the
// handles that outlive it.
func TestEndedOfDeadOwner(t *testing.T) {
	run(t, `
		define boss restart 1
		define w never
		settings 8 0
		reload
		phase running
		register boss
		started 0.1.1
		register w owner 0.1.1
		started 1.1.1
		exited 1.1.1 0
		exited 0.1.1 1
		+1s
		started 0.1.2
		register w owner 0.1.2
		started 1.2.1
		exited 0.1.2 1`) // check finds a dead owner
}

func TestSlotSet(t *testing.T) { // BGW-025
	var s slotSet
	for n := range MaxSlots {
		if got := s.lowestFree(MaxSlots); got != n {
			t.Fatalf("%d is the lowest free slot, not %d", n, got)
		}
		s.add(n)
	}
	if got := s.lowestFree(MaxSlots); got != -1 {
		t.Errorf("%d is free in a full set", got)
	}
	s.remove(16383)
	s.remove(70)
	s.remove(64)
	for _, c := range []struct{ limit, want int }{{0, -1}, {1, -1}, {64, -1}, {65, 64}, {MaxSlots, 64}} {
		if got := s.lowestFree(c.limit); got != c.want {
			t.Errorf("below %d: %d, want %d", c.limit, got, c.want)
		}
	}
	s.add(64)
	if got := s.lowestFree(70); got != -1 {
		t.Errorf("%d is free below 70", got)
	}
	if got := s.lowestFree(71); got != 70 {
		t.Errorf("%d is the lowest below 71", got)
	}
}

// TestLimits: limits that no configuration may bring do no harm either.
func TestLimits(t *testing.T) {
	for _, limit := range []int{-1, 0, MaxSlots + 1, 1 << 40} {
		tb := newTable(0, 1, Settings{MaxWorkerProcesses: limit})
		taken := 0
		for range MaxSlots + 10 {
			if _, err := tb.take(kind(0, ""), true, Owner{}); err == nil {
				taken++
			}
		}
		if want := max(0, min(limit, MaxSlots)); taken != want {
			t.Errorf("limit %d: %d registered, want %d", limit, taken, want)
		}
	}
}

// TestBurst: of 250 startable workers at most 100 start in a step, and the rest
// needs no other event than the tick that is due at once (BGW-076, BGW-050).
func TestBurst(t *testing.T) {
	tb := newTable(0, 1, Settings{MaxWorkerProcesses: 250})
	for range 250 {
		tb.step(epoch0, register{kind(0, ""), Owner{}, make(chan registered, 1)})
	}
	var ev event = phase{"", units.PhaseRunning}
	for n, want := range []int{100, 100, 50, 0} {
		starts := 0
		for _, e := range tb.step(epoch0, ev) {
			if _, ok := e.(startEffect); ok {
				starts++
			}
		}
		at, due := tb.next()
		if starts != want || due != (n < 2) || due && !at.Equal(epoch0) {
			t.Errorf("step %d: %d starts, next %v %v", n, starts, at, due)
		}
		ev = tick{}
	}
}

// TestJitter: an interval with jitter stays between its bounds, never above
// the longest restart time, and is not always the same.
func TestJitter(t *testing.T) {
	tb := newTable(0, 1, Settings{MaxWorkerProcesses: 4})
	w := units.Worker{RestartTime: 10, Backoff: &units.Backoff{Factor: 10, Jitter: 0.5}}
	e := &entry{worker: &w}
	seen := map[time.Duration]bool{}
	for e.failures = 1; e.failures < 2000; e.failures++ {
		d := tb.interval(e)
		if seen[d] = true; d < 5*time.Second || d > units.MaxRestartTime.Duration() {
			t.Fatalf("%d failures: %v", e.failures, d)
		}
	}
	if len(seen) < 1000 {
		t.Errorf("%d different intervals", len(seen))
	}
}

// TestAllocations bounds what a restart costs in memory: exit, start, answer.
func TestAllocations(t *testing.T) {
	tb, now := newTable(0, 1, Settings{MaxWorkerProcesses: 4}), epoch0
	tb.step(now, phase{"", units.PhaseRunning})
	tb.step(now, register{kind(3, ""), Owner{}, make(chan registered, 1)})
	e := tb.slots[0]
	got := testing.AllocsPerRun(100, func() {
		tb.step(now, started{e.run(), fakeProcess(1), nil})
		tb.step(now, exited{e.run(), units.Exit{Code: 1, At: now}})
		now = now.Add(time.Second)
		tb.step(now, tick{})
	})
	if got > 10 {
		t.Errorf("%v allocations a restart", got)
	}
}
