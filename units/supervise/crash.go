package supervise

import (
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// crashTimeout is how long a worker may take to end by SIGQUIT
// (BGW-066, SIGKILL_CHILDREN_AFTER_SECS).
const crashTimeout = 5 * time.Second

// A segment is one crash domain.
type segment struct {
	incarnation uint64 // grows with each renewal
	attached    int    // processes that are attached, or are being started so
	members     int    // registrations that name it
	crashing    bool   // from the crash to the renewal
}

// segment returns the segment of that name; naming it makes it.
func (t *table) segment(name string) *segment {
	s := t.segments[name]
	if s == nil {
		s = &segment{incarnation: 1}
		t.segments[name] = s
	}
	return s
}

func (t *table) leaveSegment(e *entry) { t.segment(e.worker.Segment).members-- }

func (t *table) setAttached(e *entry, on bool) {
	if e.attached != on {
		e.attached = on
		if on {
			t.segment(e.worker.Segment).attached++
		} else {
			t.segment(e.worker.Segment).attached--
		}
	}
	if !on {
		e.spoke = false
	}
}

func (t *table) onAttach(r units.Run) error {
	e := t.findRun(r)
	if e == nil || !live(e.state) {
		return ErrNoSuchWorker
	}
	seg := t.segment(e.worker.Segment)
	if seg.crashing || seg.incarnation != e.incarnation {
		return ErrSegmentRenewed
	}
	before := t.info(e)
	e.spoke = true
	t.setAttached(e, true)
	if !before.Attached {
		t.publish(Updated, e, before, false)
	}
	return nil
}

func (t *table) onDetach(r units.Run) error {
	e := t.findRun(r)
	if e == nil || !live(e.state) {
		return ErrNoSuchWorker
	}
	if before := t.info(e); e.attached {
		t.setAttached(e, false)
		t.publish(Updated, e, before, false)
		t.crashProgress(e.worker.Segment)
	}
	return nil
}

// crash begins the procedure for the segment of e, whose process has just
// ended: every other attached worker of the segment is asked to end at once
// (BGW-065). A process whose start has not been answered yet is asked in
// pursue.
func (t *table) crash(e *entry) {
	seg := t.segment(e.worker.Segment)
	seg.crashing = true
	t.do(publishEffect{Change{Kind: Crashed, Info: t.info(e), Segment: e.worker.Segment, Incarnation: seg.incarnation}})
	if !t.settings.RestartAfterCrash { // BGW-073
		t.crashed = true
		t.onShutdown(Immediate)
		return
	}
	for _, o := range t.slots {
		if o != nil && o.attached && o.worker.Segment == e.worker.Segment && o.proc != nil {
			t.end(o, units.SIGQUIT, crashTimeout, "its segment crashed")
		}
	}
}

// crashProgress renews the segment when the last attached process is gone.
func (t *table) crashProgress(name string) {
	seg := t.segments[name]
	if seg == nil || !seg.crashing || seg.attached > 0 || t.mode >= Fast {
		return
	}
	seg.crashing = false
	seg.incarnation++
	t.do(publishEffect{Change{Kind: Renewed, Segment: name, Incarnation: seg.incarnation}})
	for _, e := range t.slots {
		if e != nil && e.worker.Segment == name && e.worker.Attach != units.AttachNever && !live(e.state) && e.state != units.Held {
			t.afterCrash(e)
		}
	}
}

// afterCrash is ResetBackgroundWorkerCrashTimes for one registration that has
// no process: never-restart ones are gone, static ones too (BGW-069), all
// others start at once, the interval ignored (BGW-068), and count as not yet
// started.
func (t *table) afterCrash(e *entry) {
	before := t.info(e)
	if e.worker.Never() {
		t.unregister(Unregistered, e, before, "its segment crashed")
		return
	}
	e.ran = false
	t.set(e, units.Waiting, e.reason)
	t.publish(Updated, e, before, false)
	t.consider(e)
}
