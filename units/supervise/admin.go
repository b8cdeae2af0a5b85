package supervise

import (
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

func (t *table) onRegister(w *units.Worker, o Owner) (units.Handle, error) {
	if !t.defined(w.Segment) { // any more
		return units.Handle{}, ErrUnknownSegment
	}
	e, err := t.take(w, true, o) // BGW-090: PostgreSQL accepts it and never starts it
	if err != nil {
		return units.Handle{}, err
	}
	t.publish(Registered, e, Info{}, false)
	t.consider(e)
	return e.handle, nil
}

// onRegisterAll registers what can be registered: one that cannot be takes
// nothing from the others.
func (t *table) onRegisterAll(all []Registrant) []registered {
	answers := make([]registered, len(all))
	for i, r := range all {
		answers[i].handle, answers[i].err = t.onRegister(r.Worker, r.Owner)
	}
	return answers
}

func (t *table) onRequest(r request) error {
	e := t.find(r.handle)
	if e == nil {
		return t.onStaleRequest(r)
	}
	switch r.verb {
	case verbTerminate:
		t.terminate(e, goalReasons[goalEnd])
	case verbStop:
		t.hold(e)
	case verbStart:
		return t.startNow(e)
	case verbRestart:
		return t.restart(e)
	case verbSignal:
		if e.proc == nil || r.start != 0 && r.start != e.start {
			return ErrNotRunning
		}
		t.do(signalEffect{e.proc, e.run(), r.signal, false})
	}
	return nil
}

// onStaleRequest answers for a handle whose registration has ended. To
// terminate it is no error (BGW-033, BGW-034); to start it registers a static
// definition again.
func (t *table) onStaleRequest(r request) error {
	i, known := t.ended.get(r.handle, t.now)
	switch {
	case r.verb == verbTerminate:
		return nil
	case !known:
		return ErrNoSuchWorker
	case r.verb != verbStart && r.verb != verbRestart:
		return ErrNotRunning
	case i.Dynamic:
		return ErrDynamicEnded
	}
	s := t.labels[i.Worker.Label]
	switch {
	case s == nil:
		return ErrNoSuchWorker
	case s.entry != nil:
		return &NotStartable{s.entry.handle, s.entry.state}
	}
	return t.registerStatic(s)
}

func (t *table) onReady(ev ready) error {
	e := t.findRun(ev.run)
	if e == nil {
		return ErrNoSuchWorker
	}
	before := t.info(e)
	e.ready, e.said = true, ev.text
	if !before.Ready || before.ReadyText != ev.text {
		t.publish(Updated, e, before, false)
	}
	return nil
}

// successor returns h, or the handle of the static definition's newest
// registration when h has ended.
func (t *table) successor(h units.Handle) units.Handle {
	if i, ok := t.ended.get(h, t.now); ok && !i.Dynamic {
		if s := t.labels[i.Worker.Label]; s != nil && s.entry != nil {
			return s.entry.handle
		}
	}
	return h
}

// terminate is TerminateBackgroundWorker (BGW-035 to BGW-038).
func (t *table) terminate(e *entry, reason string) {
	if !live(e.state) {
		t.unregister(Unregistered, e, t.info(e), reason)
		return
	}
	e.goal = goalEnd
	t.end(e, askedEnd, reason)
}

// hold keeps e from running until startNow; its slot stays in use. What is
// about to be unregistered is left alone.
func (t *table) hold(e *entry) {
	switch {
	case e.goal == goalEnd || e.state == units.Held:
	case live(e.state):
		e.goal = goalHold
		t.end(e, askedEnd, goalReasons[goalHold])
	default:
		before := t.info(e)
		t.unready(e)
		e.goal = goalHold
		t.set(e, units.Held, goalReasons[goalHold])
		t.publish(Updated, e, before, false)
	}
}

// startNow releases a held registration and skips a pending restart time. What
// is about to be held starts again once it has ended.
func (t *table) startNow(e *entry) error {
	switch {
	case t.mode >= Fast:
		return ErrShuttingDown
	case !live(e.state):
		t.unhold(e, goalReasons[goalRun])
		return nil
	case e.goal == goalEnd:
		return ErrTerminating
	case e.goal != goalHold: // it runs, or will by its rules: who asks twice is not refused
	case e.state == units.Starting && e.next == nil:
		e.goal = goalRun
	default:
		e.goal = goalRestart
	}
	return nil
}

// restart ends e's process and starts a new one at once; without a process it
// only starts one.
func (t *table) restart(e *entry) error {
	switch {
	case t.mode >= Fast:
		return ErrShuttingDown
	case !live(e.state):
		t.unhold(e, goalReasons[goalRestart])
	case e.goal == goalEnd:
		return ErrTerminating
	default:
		e.goal = goalRestart
		t.end(e, askedEnd, goalReasons[goalRestart])
	}
	return nil
}

// unhold lets e, which has no process, start as soon as its server and segment
// permit it.
func (t *table) unhold(e *entry, reason string) {
	before := t.info(e)
	t.adopt(e)
	t.unspread(e)
	e.goal, e.failures, e.doubt = goalRun, 0, time.Time{}
	t.set(e, units.Waiting, reason)
	t.publish(Updated, e, before, false)
	t.consider(e)
}
