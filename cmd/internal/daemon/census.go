package daemon

import (
	"sync"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// A census counts what watchers of servers ask about registrations. It is kept
// up with each change, so that an answer costs the same however many there are.
type census struct {
	mu         sync.Mutex
	sessions   map[string]int // registrations by the application_name of their sessions
	promotions map[string]int // by server: registrations that wait for it to finish recovery
}

func newCensus() *census {
	return &census{sessions: map[string]int{}, promotions: map[string]int{}}
}

// change counts one change of one registration.
func (c *census) change(before, after supervise.Info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(before, -1)
	c.count(after, 1)
}

func (c *census) count(i supervise.Info, n int) {
	if i.Worker == nil || i.State == units.Ended {
		return
	}
	if i.Worker.Connects() {
		add(c.sessions, i.Worker.ApplicationName(), n)
	}
	if i.State == units.Waiting && i.Worker.StartTime == units.RecoveryFinished {
		add(c.promotions, i.Worker.Server, n)
	}
}

func add(m map[string]int, key string, n int) {
	if m[key] += n; m[key] == 0 {
		delete(m, key)
	}
}

// isWorker reports whether a session's application_name is that of a worker.
func (c *census) isWorker(application string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[application] > 0
}

// awaitsPromotion reports whether a worker of that server waits for it to
// finish recovery.
func (c *census) awaitsPromotion(server string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.promotions[server] > 0
}
