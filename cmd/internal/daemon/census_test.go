package daemon

import (
	"testing"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// TestCensus: what is counted is what is registered now, whatever came before.
func TestCensus(t *testing.T) {
	c := newCensus()
	worker := &units.Worker{Name: "w", Server: "s", StartTime: units.RecoveryFinished, Flags: units.BackendDatabaseConnection}
	other := &units.Worker{Name: "other", Server: "s", StartTime: units.ConsistentState}
	last := map[int]supervise.Info{}
	to := func(who int, w *units.Worker, s units.State) {
		i := supervise.Info{Worker: w, State: s}
		c.change(last[who], i)
		last[who] = i
	}
	expect := func(step string, session, waits bool) {
		t.Helper()
		if c.isWorker("w") != session || c.awaitsPromotion("s") != waits || c.isWorker("other") || c.isWorker("") || c.awaitsPromotion("") {
			t.Errorf("%s: %+v", step, c)
		}
	}
	expect("nobody", false, false)
	to(1, worker, units.Waiting)
	to(2, worker, units.Waiting)
	to(3, other, units.Waiting) // has no session, and does not wait for a promotion
	expect("registered", true, true)
	to(1, worker, units.Running)
	expect("one still waits", true, true)
	to(2, worker, units.Running)
	expect("both run", true, false)
	to(1, other, units.Waiting) // a reload
	expect("redefined", true, false)
	to(2, worker, units.Ended)
	to(2, worker, units.Ended) // Exited, then Unregistered
	expect("ended", false, false)
	to(1, other, units.Ended)
	to(3, other, units.Ended)
	if len(c.sessions)+len(c.promotions) > 0 {
		t.Errorf("left behind: %+v", c)
	}
}
