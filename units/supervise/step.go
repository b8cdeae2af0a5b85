package supervise

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// maxStartsPerPass bounds the starts of one step, so that other events are
// served in between (BGW-076, MAX_BGWORKERS_TO_LAUNCH).
const maxStartsPerPass = 100

// step applies ev to t at time now and returns what must be done about it, in
// order. It does no I/O and reads no clock. An event of a handle or process
// that is not current changes nothing. The result is valid until the next
// call.
func (t *table) step(now time.Time, ev event) []effect {
	clear(t.effects)
	t.effects, t.now = t.effects[:0], now
	switch ev := ev.(type) {
	case tick:
	case started:
		t.onStarted(ev)
	case exited:
		t.onExited(ev)
	case limited:
		t.onLimited(ev)
	case phase:
		t.onPhase(ev)
	case clients:
		t.onClients(ev)
	case attach:
		t.answer(ev.reply, "attach", t.onAttach(ev.run))
	case detach:
		t.answer(ev.reply, "detach", t.onDetach(ev.run))
	case ready:
		t.answer(ev.reply, "ready", t.onReady(ev))
	case register:
		h, err := t.onRegister(ev.worker, ev.owner)
		t.do(reply[registered]{"register", ev.reply, registered{h, err}})
	case registerAll:
		t.do(reply[[]registered]{"register", ev.reply, t.onRegisterAll(ev.all)})
	case request:
		t.answer(ev.reply, ev.verb.String(), t.onRequest(ev))
	case forDatabase:
		t.do(reply[DatabaseResult]{"database", ev.reply, t.onDatabase(ev.of)})
	case reload:
		r, err := t.onReload(ev.workers, ev.settings)
		t.do(reply[reloaded]{"reload", ev.reply, reloaded{r, err}})
	case ownerGone:
		t.onOwnerGone(ev)
	case wait:
		t.onWait(ev)
	case forget:
		t.onForget(ev)
	case shutdown:
		t.onShutdown(ev.mode)
	case query:
		ev.f(t)
		t.do(reply[struct{}]{"query", ev.reply, struct{}{}})
	default:
		panic(fmt.Sprintf("pg-bgwd: internal error: event %T", ev))
	}
	t.renew()
	t.expire()
	t.smartProgress()
	t.pass()
	t.retire()
	return t.effects
}

func (t *table) answer(to chan error, what string, err error) {
	t.do(reply[error]{what, to, err})
}

// expire acts on every deadline that has come.
func (t *table) expire() {
	for len(t.deadlines) > 0 && !t.deadlines[0].deadline.After(t.now) {
		e := t.deadlines[0]
		before := t.info(e)
		t.setDeadline(e, time.Time{})
		switch e.state {
		case units.Waiting: // its start was spread
			t.consider(e)
		case units.Restarting:
			if e.doomed {
				t.execute(e, before)
				continue
			}
			if t.consider(e); e.ri < 0 { // its server does not permit it
				t.set(e, units.Waiting, e.reason)
				t.publish(Updated, e, before, false)
			}
		case units.Stopping: // once (BGW-066); deviation from BGW-039, BGW-091
			e.asked = killed
			e.reason += ", killed for not ending in time"
			t.do(killEffect{e.proc, e.run()})
			t.publish(Updated, e, before, false)
		}
	}
}

// execute ends e, which never restarts, unless nothing is known of its server:
// then follow decides.
func (t *table) execute(e *entry, before Info) {
	if e.server.phase.Base() != units.PhaseUnknown {
		t.unregister(Unregistered, e, before, e.exit.String())
	}
}

// startable reports whether e may be started now.
func (t *table) startable(e *entry) bool {
	switch {
	case t.mode >= Fast:
		return false
	case !e.deadline.IsZero():
		return false // the time has not come
	case e.state != units.Waiting && e.state != units.Restarting:
		return false
	case e.worker.Attach != units.AttachNever && t.segment(e.worker.Segment).crashing:
		return false // BGW-072
	}
	return e.server.permits(e.worker)
}

// consider lets the next pass start e, if it may start.
func (t *table) consider(e *entry) {
	if e.ri < 0 && t.startable(e) {
		heap.Push(&t.ready, e)
	}
}

// considerAll is consider for everything: after a change that is not of one
// registration.
func (t *table) considerAll() {
	for _, e := range t.slots {
		if e != nil {
			t.consider(e)
		}
	}
}

// pass starts what may start, the newest registration first (BGW-023).
func (t *table) pass() {
	for n := 0; n < maxStartsPerPass && (len(t.ready) > 0 || t.unpark()); {
		e := heap.Pop(&t.ready).(*entry)
		switch {
		case !t.startable(e):
		case e.server.full():
			t.park(e)
		default:
			t.startProcess(e)
			n++
		}
	}
}

func (t *table) startProcess(e *entry) {
	before := t.info(e)
	e.start++
	e.goal, e.why, e.asked = goalRun, "", askedNot
	e.incarnation = t.segment(e.worker.Segment).incarnation
	if e.worker.Attach == units.AttachAlways {
		t.setAttached(e, true)
		e.spoke = e.worker.Module() // whose library need not say so
	}
	t.set(e, units.Starting, "")
	e.startAt = t.now
	t.do(startEffect{Start{Run: e.run(), Worker: e.worker, Incarnation: e.incarnation, Owner: e.owner}})
	t.publish(Updated, e, before, false)
}

func (e *entry) run() units.Run { return units.Run{Handle: e.handle, Start: e.start} }

func (t *table) onStarted(ev started) {
	e := t.findRun(ev.run)
	if e == nil || e.state != units.Starting {
		if ev.err == nil { // cannot be, but a process must never be left alone
			t.do(killEffect{ev.proc, ev.run})
		}
		return
	}
	if ev.err != nil {
		t.startFailed(e, ev.err)
		return
	}
	before := t.info(e)
	e.proc, e.pid, e.ran = ev.proc, ev.proc.Pid(), true
	e.starts++
	t.set(e, units.Running, "")
	t.publish(Started, e, before, true)
	if early := e.early; early != nil {
		e.early = nil
		t.processGone(e, *early)
		return
	}
	t.pursue(e)
	if t.mode < Fast { // it may have detached before the answer, from a segment whose crash would have ended it
		t.followLive(e)
	}
}

// pursue ends e's process if that is what is wanted by now.
func (t *table) pursue(e *entry) {
	switch {
	case t.mode == Immediate: // BGW-092
		t.end(e, askedQuit, "immediate shutdown")
	case t.mode == Fast: // BGW-088
		t.end(e, askedEnd, "shutdown")
	case e.attached && t.segment(e.worker.Segment).crashing: // BGW-065
		t.end(e, askedQuit, "its segment crashed")
	case e.goal != goalRun: // BGW-037
		t.end(e, askedEnd, e.goalReason())
	}
}

func (e *entry) goalReason() string {
	if e.goal == goalWait {
		return e.why
	}
	return goalReasons[e.goal]
}

var goalReasons = [...]string{
	goalRun: "start requested", goalRestart: "restart requested",
	goalHold: "stopped by the administrator", goalEnd: "terminated",
}

// end asks e's process to end, unless it has been asked as hard before: one
// signal, to the process and its group, and the whole tree is killed when the
// timeout has passed.
func (t *table) end(e *entry, how asked, reason string) {
	if e.proc == nil || e.asked >= how {
		return
	}
	before := t.info(e)
	sig, timeout := e.worker.KillSignal, e.worker.KillTimeout
	if how == askedQuit {
		sig, timeout = units.SIGQUIT, crashTimeout
	}
	again := e.asked != askedNot && e.worker.KillSignal == sig
	e.asked = how
	t.set(e, units.Stopping, reason)
	if timeout < units.Infinity {
		at := t.now.Add(timeout)
		if e.deadline.IsZero() || at.Before(e.deadline) {
			t.setDeadline(e, at)
		}
	}
	if !again {
		t.do(signalEffect{e.proc, e.run(), sig, true})
	}
	t.publish(Updated, e, before, false)
}

// startFailed is what PostgreSQL does when it cannot fork, but for telling the
// owner (BGW-074, BGW-075).
func (t *table) startFailed(e *entry, err error) {
	before, segment := t.info(e), e.worker.Segment
	t.setAttached(e, false)
	t.disown(e)
	e.early, e.ready, e.said = nil, false, ""
	reason := "cannot start: " + err.Error()
	switch {
	case t.mode >= Fast || e.goal == goalEnd:
		t.unregister(StartFailed, e, before, reason)
	case e.goal == goalHold:
		t.set(e, units.Held, reason)
		t.publish(StartFailed, e, before, true)
	case e.goal == goalRestart:
		t.startAgain(StartFailed, e, before, reason)
	case e.goal == goalWait:
		t.await(StartFailed, e, before, reason+"; "+e.why)
	case e.worker.Never():
		t.unregister(StartFailed, e, before, reason)
	default:
		t.countFailure(e, 0)
		t.restartAt(e, t.now.Add(max(t.interval(e), failedFloor)), reason)
		t.publish(StartFailed, e, before, true)
	}
	t.crashProgress(segment)
}

// unregister frees e's slot, then tells: so a notified owner finds it free
// (BGW-045). A definition that a reload found no slot for may have it, when
// that reload is why it is free.
func (t *table) unregister(k Kind, e *entry, before Info, reason string) {
	t.set(e, units.Ended, reason)
	t.release(e)
	t.publish(k, e, before, true)
	if k != Unregistered {
		t.publish(Unregistered, e, t.info(e), false)
	}
	if e.removed {
		t.registerSkipped()
	}
}
