package supervise

import "github.com/pg-bgw/pg-bgw/units"

// DatabaseResult says what TerminateForDatabase found, in the order of slots.
type DatabaseResult struct {
	Terminated []units.Handle // interruptible: they are ended, and unregistered then
	Remaining  []units.Handle // not interruptible: they run on
}

// TerminateForDatabase is TerminateBackgroundWorkersForDatabase of PostgreSQL
// 19: it terminates every interruptible worker of a database, so that its
// sessions go and do not come back (BGW-130). of says whether a worker is one
// of that database; it is called by the loop and must be quick and pure.
//
// PostgreSQL looks for processes only, and again and again for 5 s. Here it is
// done once, before the command and not in it, so that who merely waits to be
// started is unregistered too: otherwise it might come between. Who is held
// has no session and gets none; it stays.
func (s *Supervisor) TerminateForDatabase(of func(*units.Worker) bool) (DatabaseResult, error) {
	c := make(chan DatabaseResult, 1)
	if r, ok := ask(s, forDatabase{of, c}, c); ok {
		return r, nil
	}
	return DatabaseResult{}, ErrShuttingDown
}

func (t *table) onDatabase(of func(*units.Worker) bool) (r DatabaseResult) {
	for _, e := range t.slots {
		switch {
		case e == nil || !e.worker.Connects() || e.state == units.Held || !of(e.worker):
		case e.worker.Flags&units.Interruptible != 0:
			r.Terminated = append(r.Terminated, e.handle)
			t.terminate(e, "its database is to be free of sessions")
		case live(e.state): // BGW-131
			r.Remaining = append(r.Remaining, e.handle)
		}
	}
	return r
}
