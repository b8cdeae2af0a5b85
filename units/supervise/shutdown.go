package supervise

import (
	"fmt"
	"slices"

	"github.com/pg-bgw/pg-bgw/units"
)

// Mode is how the supervisor shuts down, with PostgreSQL's meaning. A later
// request may only bring a higher mode (BGW-093).
type Mode uint8

// The modes.
const (
	NotShutdown Mode = iota
	Smart            // workers run on and may be registered until the clients of their servers have gone, then Fast (BGW-084, BGW-085)
	Fast             // SIGTERM to all at once, none is restarted (BGW-088)
	Immediate        // SIGQUIT at once, SIGKILL after 5 s (BGW-092)
)

var modeNames = []string{"", "smart", "fast", "immediate"}

func (m Mode) String() string { return modeNames[m] }

// ParseMode reads "smart", "fast" or "immediate".
func ParseMode(s string) (Mode, error) {
	if i := slices.Index(modeNames, s); i > 0 {
		return Mode(i), nil
	}
	return 0, fmt.Errorf("%q is not a shutdown mode; use \"smart\", \"fast\" or \"immediate\"", s)
}

func (t *table) onShutdown(m Mode) {
	if m <= t.mode {
		return
	}
	t.mode = m
	if m == Smart {
		t.smartSince = t.now
		return
	}
	for _, e := range t.slots {
		switch {
		case e == nil:
		case !live(e.state): // BGW-089: whoever waits for it is told
			t.unregister(Unregistered, e, t.info(e), "shutdown")
		default: // one whose start is not answered yet is pursued then
			t.pursue(e)
		}
	}
}

// stopped reports whether a shutdown has come to its end.
func (t *table) stopped() bool { return t.mode >= Fast && t.live == 0 }

// counts are what a status line tells.
func (t *table) counts() Counts {
	c := Counts{Registered: t.used, Limit: t.settings.MaxWorkerProcesses, Mode: t.mode}
	for _, e := range t.slots {
		switch {
		case e == nil:
		case e.state == units.Running || e.state == units.Stopping:
			c.Running++
		case e.state == units.Restarting:
			c.Restarting++
		case e.state == units.Held:
			c.Held++
		}
	}
	return c
}
