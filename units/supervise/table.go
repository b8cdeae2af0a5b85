package supervise

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// MaxSlots bounds max_worker_processes: the slot table that workers map has
// this many entries.
const MaxSlots = 16384

// Settings are the limits that a reload may change.
type Settings struct {
	MaxWorkerProcesses int  // 1..MaxSlots
	MaxParallelWorkers int  // 0..1024
	RestartAfterCrash  bool // false: a crash ends the supervisor (BGW-073)
}

// goal is what is wanted of a registration.
type goal uint8

const (
	goalRun     goal = iota // run by the rules
	goalRestart             // end the process, then start at once
	goalHold                // end the process, then be Held
	goalEnd                 // end the process, then be unregistered
)

// An entry is one registration in a slot. Only step reads and writes it.
type entry struct {
	handle  units.Handle
	seq     uint64 // order of registration
	worker  *units.Worker
	next    *units.Worker // what a reload brings in once the process has ended
	dynamic bool
	owner   Owner
	owns    int // registrations whose owner is this one's process

	state  units.State
	goal   goal
	since  time.Time
	reason string

	start    uint64 // number of the newest start
	ran      bool   // a process has run since registration or the segment's renewal
	starts   uint64 // processes that ran
	startAt  time.Time
	proc     Process
	pid      int
	early    *units.Exit // an exit that came before the answer to the start
	signaled bool        // the process has been asked to end
	exit     units.Exit
	failures int // in a row, for Backoff

	ready     bool // the process has said so
	readyText string

	attached    bool
	spoke       bool   // it attached by message: only a detach makes its end clean
	incarnation uint64 // of the segment that the newest process was given

	deadline time.Time // Restarting: of the start; Stopping: of the kill; zero: none
	di       int       // index in table.deadlines, -1: not there
	ri       int       // index in table.ready, -1: not there
}

// A table is the whole state of the supervisor.
type table struct {
	settings    Settings
	epoch       uint32 // upper half of every generation of this life
	slots       []*entry // nil: free
	generations []uint64 // the newest generation of each slot
	used        int      // slots in use
	parallel    int      // registrations with ClassParallel (BGW-118)
	live        int      // Starting, Running and Stopping
	seq         uint64
	labels      map[string]*static
	phases      map[string]units.Phase
	segments    map[string]*segment
	ended       ended
	waits       map[units.Handle][]wait
	ready       readyHeap
	deadlines   deadlineHeap
	mode        Mode // of the shutdown; NotShutdown: none
	crashed     bool // a crash ends the supervisor
	random      *rand.Rand
	effects     []effect // of the step under way
	now         time.Time
}

// static is a definition of the administrator's; it outlives its registration.
type static struct {
	worker *units.Worker
	entry  *entry       // nil: not registered
	last   units.Handle // newest handle, once there was one
}

// newTable returns an empty table whose generations start above epoch<<32.
func newTable(epoch uint32, seed uint64, s Settings) *table {
	return &table{
		settings:    s,
		epoch:       epoch,
		labels:      map[string]*static{},
		phases:      map[string]units.Phase{},
		segments:    map[string]*segment{},
		ended:       newEnded(),
		waits:       map[units.Handle][]wait{},
		random:      rand.New(rand.NewPCG(seed, uint64(epoch))),
	}
}

// find returns the entry of h, or nil when h is stale: the one place where
// late events are dropped.
func (t *table) find(h units.Handle) *entry {
	if int64(h.Slot) < int64(len(t.slots)) {
		if e := t.slots[h.Slot]; e != nil && e.handle == h {
			return e
		}
	}
	return nil
}

// findRun is find for an event of one process.
func (t *table) findRun(r units.Run) *entry {
	if e := t.find(r.Handle); e != nil && e.start == r.Start {
		return e
	}
	return nil
}

// take puts w into the lowest free slot (BGW-025), with a generation one
// higher than that slot ever had (BGW-026).
func (t *table) take(w *units.Worker, dynamic bool, o Owner) (*entry, error) {
	if t.mode >= Fast {
		return nil, ErrShuttingDown
	}
	if w.Flags&units.ClassParallel != 0 && t.parallel >= t.settings.MaxParallelWorkers {
		return nil, ErrParallelLimit
	}
	slot := t.freeSlot()
	if slot < 0 {
		return nil, ErrNoFreeSlot
	}
	t.generations[slot]++
	t.seq++
	e := &entry{
		handle: units.Handle{Slot: uint32(slot), Generation: t.generations[slot]},
		seq:    t.seq, worker: w, dynamic: dynamic, since: t.now, di: -1, ri: -1,
	}
	t.slots[slot] = e
	t.used++
	if w.Flags&units.ClassParallel != 0 {
		t.parallel++
	}
	t.segment(w.Segment).members++
	t.own(e, o)
	return e, nil
}

// freeSlot returns the lowest free slot below the limit, or -1.
func (t *table) freeSlot() int {
	limit := min(t.settings.MaxWorkerProcesses, MaxSlots)
	if t.used < len(t.slots) {
		for i := range min(limit, len(t.slots)) {
			if t.slots[i] == nil {
				return i
			}
		}
	}
	if len(t.slots) >= limit {
		return -1
	}
	t.slots = append(t.slots, nil)
	t.generations = append(t.generations, uint64(t.epoch)<<32)
	return len(t.slots) - 1
}

// release frees e's slot and keeps what is known of it readable. The change is
// published by unregister.
func (t *table) release(e *entry) {
	t.slots[e.handle.Slot] = nil
	t.used--
	if e.worker.Flags&units.ClassParallel != 0 {
		t.parallel--
	}
	t.setDeadline(e, time.Time{})
	t.unready(e)
	t.leaveSegment(e)
	if s := t.labels[e.worker.Label]; s != nil && s.entry == e {
		s.entry = nil
	}
	e.state, e.since = units.Ended, t.now
	t.ended.add(t.info(e), t.now)
	t.own(e, Owner{})
}

// own makes o the owner of e.
func (t *table) own(e *entry, o Owner) {
	if old := t.findRun(e.owner.Run); e.owner.Kind == WorkerOwner && old != nil {
		old.owns--
	}
	if o.Kind == WorkerOwner {
		p := t.findRun(o.Run)
		if p == nil {
			o = Owner{UID: o.UID} // the process is gone already (BGW-047, BGW-048)
		} else {
			p.owns++
		}
	}
	e.owner = o
}

func (t *table) info(e *entry) Info {
	i := Info{
		Handle: e.handle, Worker: e.worker, Dynamic: e.dynamic, Owner: e.owner,
		State: e.state, Status: e.status(), Start: e.start, Pid: e.pid, Exit: e.exit,
		Reason: e.reason, Since: e.since, Attached: e.attached, Incarnation: e.incarnation,
		Ready: e.ready, ReadyText: e.readyText,
	}
	if e.state == units.Restarting {
		i.NextStart = e.deadline
	}
	if e.starts > 0 {
		i.Restarts = e.starts - 1
	}
	return i
}

// status is PostgreSQL's view (BGW-027 to BGW-032): a process is STARTED until
// it is gone, and a worker that has run is STOPPED until it runs again.
func (e *entry) status() units.Status {
	switch {
	case e.pid != 0:
		return units.StatusStarted
	case e.state == units.Ended || e.ran:
		return units.StatusStopped
	default:
		return units.StatusNotYetStarted
	}
}

// set changes e's state; every change of state goes through it.
func (t *table) set(e *entry, s units.State, reason string) {
	wasLive, isLive := live(e.state), live(s)
	if isLive && !wasLive {
		t.live++
	} else if wasLive && !isLive {
		t.live--
	}
	if e.state != s {
		e.since = t.now
	}
	e.state, e.reason = s, reason
	if s != units.Restarting && s != units.Stopping {
		t.setDeadline(e, time.Time{})
	}
}

// live reports whether a process may exist in state s.
func live(s units.State) bool {
	return s == units.Starting || s == units.Running || s == units.Stopping
}

func (t *table) do(e effect) { t.effects = append(t.effects, e) }

// publish tells the sink of e's change from before, and who waits for it.
func (t *table) publish(k Kind, e *entry, before Info, notify bool) {
	c := Change{Kind: k, Before: before, Info: t.info(e)}
	if notify {
		c.Notify = before.Owner // of the moment before: a release forgets the owner
	}
	t.do(publishEffect{c})
	t.answerWaits(c.Info)
}

func (t *table) setDeadline(e *entry, at time.Time) {
	e.deadline = at
	switch {
	case at.IsZero() && e.di >= 0:
		heap.Remove(&t.deadlines, e.di)
	case at.IsZero():
	case e.di >= 0:
		heap.Fix(&t.deadlines, e.di)
	default:
		heap.Push(&t.deadlines, e)
	}
}

// next returns when tick is due, if it is at all.
func (t *table) next() (time.Time, bool) {
	if len(t.ready) > 0 {
		return t.now, true
	}
	if len(t.deadlines) > 0 {
		return t.deadlines[0].deadline, true
	}
	return time.Time{}, false
}
