package supervise

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
)

// static is a definition of the administrator's; it outlives its registration.
type static struct {
	worker  *units.Worker
	entry   *entry       // nil: not registered
	last    units.Handle // newest handle, once there was one
	skipped bool         // it found no slot (BGW-022)
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
// process, what is changed restarts, or is given its new limits if it runs and
// nothing else is changed, what is gone is terminated, what is new
// is registered, dynamic registrations are untouched. What found no slot
// before is tried again. The definitions are valid and their labels differ;
// the caller has seen to it.
func (t *table) onReload(workers []*units.Worker, s Settings) (ReloadResult, error) {
	if t.mode >= Fast {
		return ReloadResult{}, ErrShuttingDown
	}
	t.define(s)
	r := ReloadResult{Removed: t.removeStatic(workers)}
	leaving := t.leaving()
	for _, w := range workers {
		switch st := t.labels[w.Label]; {
		case st == nil:
			r.Added = append(r.Added, w.Label)
			t.addStatic(w, leaving[w.Label])
		case !st.worker.Equal(w):
			r.Changed = append(r.Changed, w.Label)
			t.redefine(st, w)
		case st.skipped:
			r.Added = append(r.Added, w.Label)
			_ = t.registerStatic(st) // it stays skipped
		default:
			r.Unchanged++
		}
	}
	skipped := func(label string) bool { return t.labels[label].skipped }
	r.Skipped = slices.DeleteFunc(slices.Concat(r.Added, r.Changed), func(l string) bool { return !skipped(l) })
	r.Added = slices.DeleteFunc(r.Added, skipped)
	r.Changed = slices.DeleteFunc(r.Changed, skipped)
	t.considerAll()
	return r, nil
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
		st := t.labels[label]
		delete(t.labels, label)
		t.ended.unpin(st.last)
		removed = append(removed, label)
		if e := st.entry; e != nil {
			e.removed = true
			t.terminate(e, "its definition was removed")
		}
	}
	return removed
}

// leaving returns the registrations whose definition was removed and whose
// process is still ending.
func (t *table) leaving() map[string]*entry {
	m := map[string]*entry{}
	for _, e := range t.slots {
		if e != nil && e.removed {
			m[e.worker.Label] = e
		}
	}
	return m
}

// addStatic defines and registers w. Where a process of a definition of that
// label, removed a moment ago, is still ending, its registration becomes w's,
// so that there are never two of one label.
func (t *table) addStatic(w *units.Worker, leaving *entry) {
	st := &static{worker: w}
	t.labels[w.Label] = st
	if e := leaving; e != nil {
		st.entry, st.last = e, e.handle
		e.next, e.goal, e.removed = w, goalRestart, false
		return
	}
	_ = t.registerStatic(st) // it is skipped then
}

// registerStatic takes a slot for s (BGW-022: or says that there is none).
func (t *table) registerStatic(s *static) error {
	e, err := t.take(s.worker, false, Owner{})
	s.skipped = err != nil
	if err != nil {
		t.do(publishEffect{&Change{Kind: Skipped, Info: Info{Worker: s.worker, Reason: err.Error()}}})
		return err
	}
	t.ended.unpin(s.last)
	s.entry, s.last = e, e.handle
	t.publish(Registered, e, Info{}, false)
	t.consider(e)
	return nil
}

// registerSkipped tries again what found no slot.
func (t *table) registerSkipped() {
	if t.mode >= Fast {
		return
	}
	for _, label := range slices.Sorted(maps.Keys(t.labels)) {
		if s := t.labels[label]; s.skipped && t.freeSlot() >= 0 {
			_ = t.registerStatic(s) // it stays skipped
		}
	}
}

// redefine gives s the definition w. A registration that has ended or is
// ending, by itself or by hand, begins anew: it is another worker now. One that
// is held stays held.
func (t *table) redefine(s *static, w *units.Worker) {
	s.worker = w
	e := s.entry
	if e == nil {
		_ = t.registerStatic(s) // it is skipped then
		return
	}
	if e.state == units.Running && e.goal == goalRun && w.EqualButLimits(e.worker) {
		before := t.info(e)
		e.worker = w
		t.limit(e)
		t.publish(Updated, e, before, false)
		return
	}
	e.next = w
	switch {
	case e.state == units.Held:
		before := t.info(e)
		t.adopt(e)
		t.publish(Updated, e, before, false)
	case !live(e.state):
		t.unhold(e, "its definition changed")
	case e.goal == goalHold: // adopted by unhold, or when it starts again
	default:
		e.goal = goalRestart
		t.end(e, askedEnd, "its definition changed")
	}
}

// limit gives e's process the limits of e's definition, unless it is being given
// some: then that has to end first, so that the newest hold.
func (t *table) limit(e *entry) {
	if e.limiting == nil {
		e.limiting = e.worker
		t.do(limitEffect{e.proc, e.run(), e.worker.Resources})
	}
}

// onLimited restarts a worker that could not be given its limits: its start will
// have them, or say why not.
func (t *table) onLimited(ev limited) {
	e := t.findRun(ev.run)
	if e == nil || e.limiting == nil {
		return
	}
	set := e.limiting
	e.limiting = nil
	switch {
	case e.state != units.Running || e.goal != goalRun: // it is ending
	case ev.err != nil:
		e.goal = goalRestart
		t.end(e, askedEnd, ev.err.Error())
	case e.worker != set:
		t.limit(e)
	}
}
