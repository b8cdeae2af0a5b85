package supervise

import (
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// Every time that the loop works with has the monotonic clock's reading, by
// which alone Go then computes: a step of the machine's clock, which PostgreSQL's
// restart times follow, moves nothing here.
func TestTimesAreMonotonic(t *testing.T) {
	f := start(t, nil) // not in a bubble of synctest, whose times have none
	f.Phase("", units.PhaseRunning)
	h := f.register(t, units.Worker{RestartTime: 3600})
	f.next(t).exit(1)
	i, _ := f.Lookup(h)
	for what, at := range map[string]time.Time{"since": i.Since, "next start": i.NextStart} {
		if at.IsZero() || at == at.Round(0) {
			t.Errorf("%v %s is %v, without a monotonic reading", i.State, what, at)
		}
	}
	f.end(t)
}

// Were time to step all the same, nobody would start early for a step back, or
// twice for one ahead.
func TestTimeSteps(t *testing.T) {
	tb := ofServer("", 0, Settings{})
	w := (units.Worker{Name: "w", RestartTime: 10, Command: []string{"/bin/w"}}).WithDefaults()
	tb.step(epoch0, phase{"", units.PhaseRunning})
	run := starts(tb.step(epoch0, register{&w, Owner{}, make(chan registered, 1)}))[0]
	tb.step(epoch0, started{run, fakeProcess(1), nil})
	tb.step(epoch0, exited{run, units.Exit{Code: 1, At: epoch0}})
	for _, tt := range []struct {
		at   time.Duration
		want int
	}{{-time.Hour, 0}, {9 * time.Second, 0}, {-time.Minute, 0}, {time.Hour, 1}, {-time.Hour, 0}, {2 * time.Hour, 0}} {
		if got := starts(tb.step(epoch0.Add(tt.at), tick{})); len(got) != tt.want {
			t.Errorf("at %v: %d starts, want %d", tt.at, len(got), tt.want)
		}
		if err := tb.check(); err != nil {
			t.Errorf("at %v: %v", tt.at, err)
		}
	}
}
