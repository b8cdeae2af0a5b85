package supervise

import (
	"slices"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// crashTimeout is how long a worker may take to end by SIGQUIT
// (BGW-066, SIGKILL_CHILDREN_AFTER_SECS).
const crashTimeout = 5 * time.Second

// A segment is one crash domain.
type segment struct {
	incarnation uint64    // grows with each renewal, from 1
	attached    int       // processes that are attached, or are being started so
	members     int       // registrations that name it
	crashing    bool      // from the crash to the renewal
	crashSeq    uint64    // the newest registration, of any segment, at the newest crash
	pace        pace      // of renewals that its own workers' crashes bring about
	foreign     bool      // the crash under way is a server's, which has its own pace
	renewAt     time.Time // while a renewal is put off: when it is due
}

// fresh reports whether s is as a new one of its name would be, so that it can
// be forgotten when nobody names it.
func (s *segment) fresh() bool { return s.incarnation == 1 && !s.crashing && s.attached == 0 }

// segment returns the segment of that name; naming it makes it.
func (t *table) segment(name string) *segment {
	s := t.segments[name]
	if s == nil {
		s = &segment{incarnation: 1}
		t.segments[name] = s
	}
	return s
}

// defined reports whether the administrator has defined a segment of that name.
func (t *table) defined(name string) bool {
	return t.settings.Segments == nil || t.settings.Segments[name]
}

// define makes s the settings.
func (t *table) define(s Settings) {
	before := t.settings.Segments
	t.settings = s
	for name := range before {
		if !t.defined(name) && t.segment(name).members == 0 {
			t.retiring = append(t.retiring, name)
		}
	}
}

// retire ends the segments that are not defined and that no registration names
// any more. One of that name that is defined later is another incarnation.
func (t *table) retire() {
	if len(t.retiring) == 0 {
		return
	}
	slices.Sort(t.retiring)
	for _, name := range slices.Compact(t.retiring) {
		s := t.segment(name)
		if s.members > 0 { // it has another registration by now
			continue
		}
		s.crashing, s.renewAt = false, time.Time{}
		t.putOff = slices.DeleteFunc(t.putOff, func(n string) bool { return n == name })
		s.incarnation++
		t.do(publishEffect{&Change{Kind: Retired, Segment: name, Incarnation: s.incarnation}})
	}
	t.retiring = t.retiring[:0]
}

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
	if e == nil || e.early != nil {
		return ErrNoSuchWorker
	}
	if e.worker.Attach == units.AttachNever {
		return ErrNoSegment
	}
	seg := t.segment(e.worker.Segment)
	if seg.crashing || seg.incarnation != e.incarnation {
		return ErrSegmentRenewed
	}
	before := t.info(e)
	t.setAttached(e, true)
	e.spoke = true
	if !before.Attached {
		t.publish(Updated, e, before, false)
	}
	return nil
}

func (t *table) onDetach(r units.Run) error {
	e := t.findRun(r)
	if e == nil {
		return ErrNoSuchWorker
	}
	if before := t.info(e); e.attached {
		t.setAttached(e, false)
		t.publish(Updated, e, before, false)
		t.crashProgress(e.worker.Segment)
	}
	return nil
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

// crash begins the procedure for a segment, that of e's process which has just
// ended.
func (t *table) crash(e *entry, name string) {
	t.markCrashed(e, name, "")
	if !t.settings.RestartAfterCrash { // BGW-073
		t.crashed = true
		t.onShutdown(Immediate)
		return
	}
	t.quitSegment(name)
}

// crashWithServer is crash for that of e's server: every attached process of
// the segment goes, e's too. It is no reason for the supervisor to end.
func (t *table) crashWithServer(e *entry) {
	name := e.worker.Segment
	t.markCrashed(e, name, e.server.name)
	t.quitSegment(name)
}

func (t *table) markCrashed(e *entry, name, server string) {
	seg := t.segment(name)
	seg.crashing, seg.crashSeq, seg.foreign = true, t.seq, server != ""
	t.do(publishEffect{&Change{Kind: Crashed, Info: t.info(e), Segment: name, Incarnation: seg.incarnation, Server: server}})
}

// quitSegment asks every attached process of the segment to end at once
// (BGW-065). A process whose start has not been answered yet is asked in
// pursue.
func (t *table) quitSegment(name string) {
	for _, o := range t.slots {
		if o != nil && o.attached && o.worker.Segment == name {
			t.pursue(o)
		}
	}
}

// goneInCrash is the end of a process by its segment's crash: it starts again
// when the segment has been renewed (BGW-068), or never (BGW-069).
func (t *table) goneInCrash(e *entry, before Info, reason string) {
	if e.worker.Never() {
		t.unregister(Exited, e, before, reason)
		return
	}
	t.set(e, units.Waiting, reason)
	t.publish(Exited, e, before, true)
	t.consider(e) // it may have detached first and outlived the renewal
}

// crashProgress renews the segment when the last attached process is gone, or
// when it is time.
func (t *table) crashProgress(name string) {
	seg := t.segments[name]
	if seg == nil || !seg.crashing || seg.attached > 0 || t.mode >= Fast {
		return
	}
	if seg.renewAt.IsZero() && !seg.foreign {
		if pause := seg.pace.next(t.now); pause > 0 {
			seg.renewAt = t.now.Add(pause)
			t.putOff = append(t.putOff, name)
		}
	}
	if t.now.Before(seg.renewAt) {
		return
	}
	seg.crashing, seg.renewAt = false, time.Time{}
	seg.incarnation++
	t.do(publishEffect{&Change{Kind: Renewed, Segment: name, Incarnation: seg.incarnation}})
	for _, e := range t.slots {
		if e != nil && e.worker.Segment == name && e.worker.Attach != units.AttachNever && !live(e.state) && e.state != units.Held {
			t.afterCrash(e, seg)
		}
	}
}

// afterCrash is ResetBackgroundWorkerCrashTimes for one registration that has
// no process: never-restart ones are gone, static ones too (BGW-069), but for
// what was registered or asked to start since the crash; all others start at
// once, the interval ignored (BGW-068), and count as not yet started.
func (t *table) afterCrash(e *entry, seg *segment) {
	before := t.info(e)
	if e.worker.Never() && e.goal != goalRestart && e.goal != goalWait && e.seq <= seg.crashSeq {
		t.unregister(Unregistered, e, before, "its segment crashed")
		return
	}
	e.ran = false
	t.set(e, units.Waiting, e.reason)
	if t.info(e) != before {
		t.publish(Updated, e, before, false)
	}
	t.consider(e)
}

// A pace slows the renewals of a segment down whose workers crash as soon as
// they are started. PostgreSQL needs no such rule, since a round of recovery
// takes it longer than ours: the first paceBurst renewals within paceWindow are
// at once (BGW-068), those beyond are put off by paceFirst, growing to
// paceMost, as long as it goes on like that.
type pace struct {
	past  [paceBurst]time.Time // of the newest renewals, a ring
	at    int                  // the oldest of them
	pause time.Duration        // before the newest
}

const (
	paceBurst  = 5
	paceWindow = 10 * time.Second
	paceFirst  = 100 * time.Millisecond
	paceMost   = time.Second
)

// next counts a renewal that is wanted at now, and returns by how much it is to
// be put off.
func (p *pace) next(now time.Time) time.Duration {
	oldest := p.past[p.at]
	if oldest.IsZero() || now.Sub(oldest) >= paceWindow {
		p.pause = 0
	} else {
		p.pause = min(max(2*p.pause, paceFirst), paceMost)
	}
	p.past[p.at] = now.Add(p.pause)
	p.at = (p.at + 1) % paceBurst
	return p.pause
}

// renew renews the segments whose time has come.
func (t *table) renew() {
	if t.mode >= Fast {
		t.putOff = nil // nothing is started any more
	}
	t.putOff = slices.DeleteFunc(t.putOff, func(name string) bool {
		due := !t.now.Before(t.segments[name].renewAt)
		if due {
			t.crashProgress(name)
		}
		return due
	})
}

// renewNext returns when renew has something to do.
func (t *table) renewNext() (next time.Time, ok bool) {
	for _, name := range t.putOff {
		if at := t.segments[name].renewAt; !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	return next, ok
}
