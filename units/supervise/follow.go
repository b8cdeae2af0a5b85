package supervise

import (
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// doubtTime is how long before its server is seen to go a worker with a
// database connection may have ended by that, as far as we can tell: its end
// and its server's come to us by different ways, in either order.
const doubtTime = 2 * time.Second

// followAll brings every worker of sv to what sv, which was otherwise before,
// wants of it.
func (t *table) followAll(sv, was *server) {
	if t.mode >= Fast {
		return
	}
	for _, e := range t.slots {
		if e != nil && e.server == sv {
			t.follow(e, was)
		}
	}
	if sv.phase.Base() != units.PhaseCrashed {
		return
	}
	for _, e := range t.slots {
		if e != nil && e.server == sv && crashesWith(e) && !t.segment(e.worker.Segment).crashing {
			t.crashWithServer(e)
		}
	}
}

// crashesWith reports whether the crash of e's server is one of its segment.
func crashesWith(e *entry) bool {
	return e.attached && e.worker.OnServerCrash == units.ServerCrashCrash
}

func (t *table) follow(e *entry, was *server) {
	t.bar(e)
	t.acquit(e)
	switch {
	case live(e.state):
		t.followLive(e)
	case e.state == units.Held:
	case e.doomed:
		if e.deadline.IsZero() && e.server.phase.Up() { // the server was there, the end was its own
			t.unregister(Unregistered, e, t.info(e), e.exit.String())
		}
	default:
		t.followIdle(e, was)
	}
}

// bar notes whether a smart stop keeps e from starting, and tells who waits for
// it.
func (t *table) bar(e *entry) {
	barred := e.server.bars(e.worker)
	if barred == e.barred {
		return
	}
	before := t.info(e)
	e.barred = barred
	if t.info(e) != before {
		t.publish(Updated, e, before, false)
	}
}

// followLive ends e's process if its server is not for it any more. One that
// was to be ended, and whose start is not answered yet, may stay if its server
// is back.
func (t *table) followLive(e *entry) {
	why := e.server.expels(e.worker)
	switch {
	case e.server.phase.Base() == units.PhaseUnknown: // what was wanted of it still is
	case why == "":
		if e.state == units.Starting && e.goal == goalWait && e.early == nil {
			e.goal = goalRun
		}
	case e.server.phase.Base() == units.PhaseCrashed && crashesWith(e): // its segment's crash ends it
	default:
		if e.goal == goalRun && e.asked == askedNot {
			e.goal, e.why = goalWait, why
		}
		t.end(e, askedEnd, why)
	}
}

// followIdle lets e, which has no process, start if that is permitted: at
// once, or spread over StartSplay if the server has only just come to it.
func (t *table) followIdle(e *entry, was *server) {
	switch permitted := e.server.permits(e.worker); {
	case e.state != units.Waiting:
	case !permitted && !e.deadline.IsZero():
		before := t.info(e)
		t.unspread(e)
		t.publish(Updated, e, before, false)
	case permitted && !was.permits(e.worker) && t.settings.StartSplay > 0:
		before := t.info(e)
		t.spread(e)
		t.publish(Updated, e, before, false)
	}
	t.consider(e)
}

// spread sets e, which is Waiting, a time to start within StartSplay, if starts
// are to be spread.
func (t *table) spread(e *entry) {
	if t.settings.StartSplay <= 0 {
		return
	}
	e.due = t.now.Add(time.Duration(t.random.Int64N(int64(t.settings.StartSplay))))
	t.setDeadline(e, e.due)
}

// unspread takes back that e's start is spread.
func (t *table) unspread(e *entry) {
	e.due = time.Time{}
	t.setDeadline(e, time.Time{})
}

// await lets e, whose process was ended or whose start failed for want of its
// server, wait for it: that is no failure of e, and no end.
func (t *table) await(k Kind, e *entry, before Info, reason string) {
	e.goal = goalWait
	t.set(e, units.Waiting, reason)
	if e.server.permits(e.worker) { // it is back already
		t.spread(e)
	}
	t.publish(k, e, before, true)
	t.consider(e)
}

// uncertain reports whether an end of e's process that nobody asked for may
// turn out to be its server's.
func uncertain(e *entry) bool { return e.worker.Connects() && e.server.name != "" }

// doubt remembers how things stood before e's process ended.
func (t *table) doubt(e *entry) {
	if uncertain(e) && (e.doubt.IsZero() || t.now.Sub(e.doubt) > doubtTime) {
		e.doubt, e.calm = t.now, e.failures
	}
}

// doom lets e, which never restarts, end when it is certain that its server
// was there all the time.
func (t *table) doom(e *entry, before Info, text string) {
	t.set(e, units.Restarting, text+"; its server may be going")
	e.doomed = true
	t.setDeadline(e, t.now.Add(doubtTime))
	t.publish(Exited, e, before, true)
}

// acquit takes back what an end of e's process has brought upon e, if its
// server is now seen to have gone at that time.
func (t *table) acquit(e *entry) {
	sv := e.server
	if e.doubt.IsZero() {
		return
	}
	guilty := e.doubt.Before(sv.lost.Add(-doubtTime))
	switch {
	case sv.fails(e.worker), sv.phase.Rejects(e.worker.StartTime):
	case sv.turnedAway(e.worker, e.startAt, e.exit.At):
		guilty = false
	default:
		return
	}
	e.doubt = time.Time{}
	if guilty {
		return
	}
	e.failures = e.calm
	if e.state != units.Waiting && e.state != units.Restarting {
		return
	}
	before := t.info(e)
	if e.goal == goalRun {
		e.goal = goalWait
	}
	t.unready(e)
	t.set(e, units.Waiting, e.exit.String()+"; its server was going")
	t.publish(Updated, e, before, false)
}
