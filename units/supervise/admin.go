package supervise

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
)

func (t *table) onRegister(w *units.Worker, o Owner) (units.Handle, error) {
	e, err := t.take(w, true, o) // BGW-090: PostgreSQL accepts it and never starts it
	if err != nil {
		return units.Handle{}, err
	}
	t.publish(Registered, e, Info{}, false)
	t.consider(e)
	return e.handle, nil
}

func (t *table) onRequest(r request) error {
	e := t.find(r.handle)
	if e == nil {
		return t.onStaleRequest(r)
	}
	switch r.verb {
	case verbTerminate:
		t.terminate(e, "terminated")
	case verbStop:
		t.hold(e)
	case verbStart:
		return t.startNow(e)
	case verbRestart:
		t.restart(e)
	case verbSignal:
		if e.proc == nil {
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
	i, known := t.ended.infos[r.handle]
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
	if s == nil {
		return ErrNoSuchWorker
	}
	if s.entry != nil {
		return &NotStartable{s.entry.handle, s.entry.state}
	}
	return t.registerStatic(s)
}

func (t *table) onReady(ev ready) error {
	e := t.findRun(ev.run)
	if e == nil || !live(e.state) {
		return ErrNoSuchWorker
	}
	before := t.info(e)
	e.ready, e.readyText = true, ev.text
	if !before.Ready || before.ReadyText != ev.text {
		t.publish(Updated, e, before, false)
	}
	return nil
}

// successor returns h, or the handle of the static definition's newest
// registration when h has ended.
func (t *table) successor(h units.Handle) units.Handle {
	if i, ok := t.ended.infos[h]; ok {
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
	if e.proc != nil {
		t.end(e, e.worker.KillSignal, e.worker.KillTimeout, reason)
	}
}

// hold keeps e from running until startNow; its slot stays in use.
func (t *table) hold(e *entry) {
	if e.goal == goalEnd && live(e.state) || e.state == units.Held {
		return
	}
	if live(e.state) {
		e.goal = goalHold
		if e.proc != nil {
			t.end(e, e.worker.KillSignal, e.worker.KillTimeout, goalReasons[goalHold])
		}
		return
	}
	before := t.info(e)
	t.unready(e)
	t.set(e, units.Held, goalReasons[goalHold])
	t.publish(Updated, e, before, false)
}

// startNow releases a held registration and skips a pending restart time. What
// is about to be held starts again once it has ended.
func (t *table) startNow(e *entry) error {
	switch {
	case e.state == units.Stopping && e.goal == goalHold:
		e.goal = goalRestart
		return nil
	case e.state == units.Starting && e.goal == goalHold:
		e.goal = goalRun
		return nil
	case live(e.state):
		return &NotStartable{e.handle, e.state}
	}
	before := t.info(e)
	t.adopt(e)
	e.goal, e.failures = goalRun, 0
	t.set(e, units.Waiting, "start requested")
	t.publish(Updated, e, before, false)
	t.consider(e)
	return nil
}

// restart ends e's process and starts a new one at once.
func (t *table) restart(e *entry) {
	if !live(e.state) {
		_ = t.startNow(e) // what is not live can be started
		return
	}
	if e.goal == goalEnd {
		return
	}
	e.goal = goalRestart
	if e.proc != nil {
		t.end(e, e.worker.KillSignal, e.worker.KillTimeout, goalReasons[goalRestart])
	}
}

// ReloadResult says what a reload did, by label.
type ReloadResult struct {
	Added, Changed, Removed []string
	Skipped                 []string // found no free slot (BGW-022)
	Unchanged               int
}

func (r ReloadResult) String() string {
	s := fmt.Sprintf("%d unchanged", r.Unchanged)
	for _, p := range []struct {
		what   string
		labels []string
	}{{"added", r.Added}, {"changed", r.Changed}, {"removed", r.Removed}, {"skipped for want of a slot", r.Skipped}} {
		if len(p.labels) > 0 {
			s += fmt.Sprintf(", %d %s (%s)", len(p.labels), p.what, strings.Join(p.labels, " "))
		}
	}
	return s
}

// onReload makes workers the static definitions: what is the same keeps its
// process, what is changed restarts, what is gone is terminated, what is new
// is registered, dynamic registrations are untouched. The definitions are
// valid and their labels differ; the caller has seen to it.
func (t *table) onReload(workers []*units.Worker, s Settings) ReloadResult {
	t.settings = s
	r := ReloadResult{Removed: t.removeStatic(workers)}
	for _, w := range workers {
		switch old := t.labels[w.Label]; {
		case old == nil:
			if err := t.addStatic(w); err != nil {
				r.Skipped = append(r.Skipped, w.Label)
				t.do(publishEffect{Change{Kind: Skipped, Info: Info{Worker: w, Reason: err.Error()}}})
			} else {
				r.Added = append(r.Added, w.Label)
			}
		case old.worker.Equal(w):
			r.Unchanged++
		default:
			r.Changed = append(r.Changed, w.Label)
			t.redefine(old, w)
		}
	}
	t.considerAll()
	return r
}

// removeStatic terminates the static definitions that workers lacks.
func (t *table) removeStatic(workers []*units.Worker) (removed []string) {
	kept := map[string]bool{}
	for _, w := range workers {
		kept[w.Label] = true
	}
	for _, label := range slices.Sorted(maps.Keys(t.labels)) {
		if kept[label] {
			continue
		}
		old := t.labels[label]
		delete(t.labels, label)
		removed = append(removed, label)
		if old.entry != nil {
			t.terminate(old.entry, "its definition was removed")
		}
	}
	return removed
}

// addStatic defines and registers w. Where a process of a definition of that
// label, removed a moment ago, is still ending, its registration becomes w's,
// so that there are never two of one label.
func (t *table) addStatic(w *units.Worker) error {
	st := &static{worker: w}
	t.labels[w.Label] = st
	for _, e := range t.slots {
		if e != nil && !e.dynamic && e.worker.Label == w.Label {
			st.entry, st.last = e, e.handle
			e.next, e.goal = w, goalRestart
			return nil
		}
	}
	return t.registerStatic(st)
}

// registerStatic takes a slot for s (BGW-022: or says that there is none).
func (t *table) registerStatic(s *static) error {
	e, err := t.take(s.worker, false, Owner{})
	if err != nil {
		return err
	}
	s.entry, s.last = e, e.handle
	t.publish(Registered, e, Info{}, false)
	t.consider(e)
	return nil
}

// redefine gives s the definition w. A registration that has ended, by itself
// or by hand, begins anew: it is another worker now.
func (t *table) redefine(s *static, w *units.Worker) {
	s.worker = w
	e := s.entry
	if e == nil {
		_ = t.registerStatic(s) // without a slot it stays unregistered, as it was
		return
	}
	e.next = w
	switch {
	case e.goal == goalEnd:
	case live(e.state) && e.goal != goalHold:
		t.restart(e)
	case live(e.state): // held when it has ended, then redefined by startNow
	case e.state == units.Held:
		t.adopt(e)
	default:
		_ = t.startNow(e)
	}
}
