package supervise

import (
	"math"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

func (t *table) onExited(ev exited) {
	e := t.findRun(ev.run)
	switch {
	case e == nil:
	case e.state == units.Starting:
		exit := ev.exit
		e.early = &exit // the answer to the start is still to come
	case e.state == units.Running || e.state == units.Stopping:
		t.processGone(e, ev.exit)
	}
}

// processGone applies PostgreSQL's rules to the end of e's process
// (BGW-051 to BGW-064).
func (t *table) processGone(e *entry, x units.Exit) {
	before := t.info(e)
	crashed := t.crashes(e, x)
	t.setAttached(e, false)
	ranFor := x.At.Sub(e.startAt)
	e.proc, e.pid, e.exit = nil, 0, x
	t.disown(e)

	seg := t.segment(e.worker.Segment)
	switch text := x.String(); {
	case t.mode >= Fast:
		t.unregister(Exited, e, before, "shutdown")
	case e.goal == goalEnd:
		t.unregister(Exited, e, before, "terminated")
	case e.goal == goalHold:
		t.set(e, units.Held, "stopped by the administrator")
		t.publish(Exited, e, before, true)
	case e.goal == goalRestart:
		t.adopt(e)
		t.set(e, units.Waiting, "restart requested")
		t.publish(Exited, e, before, true)
		t.consider(e)
	case crashed || seg.crashing && e.signaled:
		t.goneInCrash(e, before, text)
	case x.Signal == 0 && x.Code == 0: // BGW-051, BGW-052
		t.unregister(Exited, e, before, text)
	case e.worker.Never(): // BGW-054
		t.unregister(Exited, e, before, text)
	default: // BGW-053, BGW-055
		t.countFailure(e, ranFor)
		t.restartLater(e, x.At, text)
		t.publish(Exited, e, before, true)
	}
	if crashed {
		t.crash(e)
	}
	t.crashProgress(e.worker.Segment)
}

// crashes reports whether e's end is a crash of its segment: it ended while
// attached (BGW-061 to BGW-063), whatever its status, unless it never spoke
// to us over the control socket, when its status alone decides (BGW-058 to
// BGW-060). What is killed in a shutdown, or by a crash that is being handled
// (BGW-067), crashes nothing.
func (t *table) crashes(e *entry, x units.Exit) bool {
	if !e.attached || t.mode >= Fast || t.segment(e.worker.Segment).crashing {
		return false
	}
	return e.spoke || x.Abnormal()
}

// goneInCrash is the end of a process in its segment's crash: it starts again
// when the segment has been renewed (BGW-068), or never (BGW-069).
func (t *table) goneInCrash(e *entry, before Info, reason string) {
	if e.worker.Never() {
		t.unregister(Exited, e, before, reason)
		return
	}
	t.set(e, units.Waiting, reason)
	t.publish(Exited, e, before, true)
}

// restartLater lets e start when its interval since from has passed
// (BGW-053), computed without PostgreSQL's overflow (BGW-057).
func (t *table) restartLater(e *entry, from time.Time, reason string) {
	at := from.Add(t.interval(e))
	t.set(e, units.Restarting, reason)
	if at.After(t.now) {
		t.setDeadline(e, at)
	} else {
		t.consider(e) // BGW-055
	}
}

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

// adopt puts the definition in place that a reload has brought.
func (t *table) adopt(e *entry) {
	if e.next == nil {
		return
	}
	t.leaveSegment(e)
	if e.worker.Flags&units.ClassParallel != 0 {
		t.parallel--
	}
	e.worker, e.next, e.failures = e.next, nil, 0
	if e.worker.Flags&units.ClassParallel != 0 {
		t.parallel++
	}
	t.segment(e.worker.Segment).members++
}

// disown makes e's process the owner of nobody (BGW-048, BGW-049): what it
// registered runs on, unless it asked to be stopped with it.
func (t *table) disown(e *entry) {
	if e.owns > 0 {
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
		t.own(e, Owner{UID: e.owner.UID})
		t.publish(Updated, e, before, false)
		if e.worker.StopWithOwner && !ev.lost {
			t.terminate(e, "its owner is gone")
		}
	}
}
