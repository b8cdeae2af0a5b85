package supervise

import (
	"math"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

func (t *table) onExited(ev exited) {
	switch e := t.findRun(ev.run); {
	case e == nil:
	case e.state == units.Starting:
		exit := ev.exit
		e.early = &exit // the answer to the start is still to come
	default:
		t.processGone(e, ev.exit)
	}
}

// processGone applies PostgreSQL's rules to the end of e's process
// (BGW-051 to BGW-064).
func (t *table) processGone(e *entry, x units.Exit) {
	before, segment := t.info(e), e.worker.Segment // settle may bring another definition
	crashed := t.crashes(e, x)
	t.setAttached(e, false)
	t.disown(e) // before e itself is told of
	e.proc, e.pid, e.exit = nil, 0, x
	e.ready, e.said, e.limiting = false, "", nil
	t.settle(e, before, crashed)
	if crashed {
		t.crash(e, segment)
	}
	t.crashProgress(segment)
}

// settle says what becomes of e, whose process has just ended.
func (t *table) settle(e *entry, before Info, crashed bool) {
	x, text := e.exit, e.exit.String()
	switch {
	case t.mode >= Fast: // BGW-088
		t.unregister(Exited, e, before, "shutdown")
	case e.goal == goalEnd: // BGW-038
		t.unregister(Exited, e, before, goalReasons[goalEnd])
	case e.goal == goalHold:
		t.set(e, units.Held, goalReasons[goalHold])
		t.publish(Exited, e, before, true)
	case e.goal == goalWait:
		t.await(Exited, e, before, e.why)
	case e.goal == goalRestart:
		t.startAgain(Exited, e, before, goalReasons[goalRestart])
	case crashed || e.asked != askedNot: // with goalRun nobody but a crash has asked
		t.goneInCrash(e, before, text)
	case x.Signal == 0 && x.Code == 0: // BGW-051, BGW-052
		t.unregister(Exited, e, before, text)
	case e.server.fails(e.worker):
		t.await(Exited, e, before, text+"; its server is gone")
	case e.server.turnedAway(e.worker, e.startAt, x.At):
		t.await(Exited, e, before, text+"; its server is about to shut down")
	case e.worker.Never() && uncertain(e):
		t.doubt(e)
		t.doom(e, before, text)
	case e.worker.Never(): // BGW-054
		t.unregister(Exited, e, before, text)
	default: // BGW-053, BGW-055
		t.doubt(e)
		t.countFailure(e, x.At.Sub(e.startAt))
		t.restartLater(e, x.At, text)
		t.publish(Exited, e, before, true)
	}
}

// startAgain lets e start at once, with the definition that a reload may have
// brought.
func (t *table) startAgain(k Kind, e *entry, before Info, reason string) {
	t.adopt(e)
	t.set(e, units.Waiting, reason)
	t.publish(k, e, before, true)
	t.consider(e)
}

// restartLater lets e start when its interval since from has passed
// (BGW-053), computed without PostgreSQL's overflow (BGW-057).
func (t *table) restartLater(e *entry, from time.Time, reason string) {
	t.restartAt(e, from.Add(t.interval(e)), reason)
}

func (t *table) restartAt(e *entry, at time.Time, reason string) {
	if !at.After(t.now) { // BGW-055
		t.set(e, units.Waiting, reason)
		t.consider(e)
		return
	}
	t.set(e, units.Restarting, reason)
	e.due = at
	t.setDeadline(e, at)
}

// failedFloor is the least time between a failed start and the next try:
// unlike PostgreSQL we do not spin when RestartTime is 0.
const failedFloor = 100 * time.Millisecond

// backoffFloor is the interval that a Backoff grows from when RestartTime is
// 0: the first restart is at once all the same.
const backoffFloor = 100 * time.Millisecond

// interval is the time from e's exit to its next start: RestartTime, constant
// and without a limit of tries (BGW-056), unless a Backoff was asked for.
func (t *table) interval(e *entry) time.Duration {
	base := max(e.worker.RestartTime, 0).Duration()
	b := e.worker.Backoff
	if b == nil || e.failures <= 1 {
		return base
	}
	grown := float64(max(base, backoffFloor)) * math.Pow(b.Factor, float64(e.failures-1))
	if limit := float64(b.Max); b.Max > 0 && grown > limit {
		grown = limit
	}
	grown = min(grown, float64(units.MaxRestartTime.Duration()))
	return time.Duration(grown * (1 - b.Jitter*t.random.Float64()))
}

func (t *table) countFailure(e *entry, ranFor time.Duration) {
	if b := e.worker.Backoff; b != nil && b.Healthy > 0 && ranFor >= b.Healthy {
		e.failures = 0
	}
	e.failures++
}

// adopt puts the definition in place that a reload has brought. It is called
// only when there is no process of the old one.
func (t *table) adopt(e *entry) {
	if e.next == nil {
		return
	}
	t.unready(e)
	t.leave(e)
	e.worker, e.next, e.failures, e.doubt = e.next, nil, 0, time.Time{}
	t.join(e)
}

// disown makes e's process the owner of nobody (BGW-048, BGW-049): what it
// registered runs on, unless it asked to be stopped with it.
func (t *table) disown(e *entry) {
	if e.sponsor {
		e.sponsor = false
		t.onOwnerGone(ownerGone{owner: Owner{Kind: WorkerOwner, Run: e.run()}})
	}
}

func (t *table) onOwnerGone(ev ownerGone) {
	t.ended.ownerGone(ev.owner)
	for _, e := range t.slots {
		if e == nil || !e.owner.same(ev.owner) {
			continue
		}
		before := t.info(e)
		e.owner = Owner{UID: e.owner.UID}
		t.publish(Updated, e, before, false)
		if e.worker.StopWithOwner && !ev.lost {
			t.terminate(e, "its owner is gone")
		}
	}
}
