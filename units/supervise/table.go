package supervise

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// Settings are the limits that a reload may change.
type Settings struct {
	MaxWorkerProcesses int  // 1..MaxSlots; lowering it ends nobody (BGW-117)
	MaxParallelWorkers int  // 0..1024
	RestartAfterCrash  bool // false: a worker's crash ends the supervisor (BGW-073)

	// Segments are those that the administrator has defined; nil: any there may be.
	Segments map[string]bool

	// StartSplay is the time over which the starts that a phase brings about are
	// spread; 0: all at once.
	StartSplay time.Duration

	// SmartStopGrace is how long workers outlast the beginning of a smart stop of
	// their server, or Smart, while the server's clients are not counted; 0: not
	// at all, units.Infinity: without a limit.
	SmartStopGrace time.Duration
}

// goal is what is wanted of a registration.
type goal uint8

const (
	goalRun     goal = iota // run by the rules
	goalWait                // end the process, then wait for the server; stays until the next start
	goalRestart             // end the process, if there is one, then start at once
	goalHold                // end the process, then be Held
	goalEnd                 // end the process, then be unregistered
)

// asked is how hard a process has been asked to end. It only grows, and each
// step is taken at most once.
type asked uint8

const (
	askedNot  asked = iota
	askedEnd        // by its kill signal, with its kill timeout
	askedQuit       // by SIGQUIT, with crashTimeout
	killed          // its whole tree, by SIGKILL
)

// An entry is one registration in a slot. Only step reads and writes it.
type entry struct {
	handle  units.Handle
	seq     uint64 // order of registration
	worker  *units.Worker
	next    *units.Worker // what a reload brings in once the process has ended; then goal is not goalRun
	dynamic bool
	removed bool // its definition is gone
	owner   Owner
	sponsor bool // its process has registered others: they may name it as owner

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
	ready    bool // the process has said so, with the words said
	said     string
	early    *units.Exit   // an exit that came before the answer to the start
	asked    asked         // of the process
	limiting *units.Worker // whose limits its process is being given; nil: none
	exit     units.Exit
	failures int // in a row, for Backoff

	attached    bool
	spoke       bool   // it detaches by message: only that makes its end clean
	incarnation uint64 // of the segment that the newest process was given

	server *server
	barred bool      // its server's smart stop keeps it from starting
	why    string    // with goalWait: what its server does
	doubt  time.Time // when it ended by itself, or perhaps by its server's end; zero: no doubt
	calm   int       // failures before that
	doomed bool      // Restarting: never restarts, and ends unless its server turns out to be gone

	due      time.Time // of the next start; stays when that has come
	deadline time.Time // Waiting, Restarting: of the start; Stopping: of the kill; zero: none
	di       int       // index in table.deadlines, -1: not there
	ri       int       // index in table.ready, or server.parked; -1: not there
	parked   bool      // which of the two
	counted  *server   // Starting: where it is counted
}

// A table is the whole state of the supervisor.
type table struct {
	settings    Settings
	epoch       uint32   // upper half of every generation of this life
	slots       []*entry // nil: free
	generations []uint64 // the newest generation of each slot
	inUse       slotSet
	used        int // slots in use
	parallel    int // registrations with ClassParallel (BGW-118)
	live        int // Starting, Running and Stopping
	starting    int // Starting
	seq         uint64
	labels      map[string]*static
	servers     []*server // few, in the order in which they were named
	segments    map[string]*segment
	putOff      []string // segments whose renewal is
	retiring    []string // segments that the step under way has left without registrations and definition
	ended       ended
	waits       map[units.Handle][]wait
	ready       readyHeap
	deadlines   deadlineHeap
	mode        Mode // of the shutdown; NotShutdown: none
	smartSince  time.Time
	crashed     bool // a crash ends the supervisor
	random      *rand.Rand
	effects     []effect // of the step under way
	now         time.Time
}

// newTable returns an empty table whose generations start above epoch<<32.
func newTable(epoch uint32, seed uint64, s Settings) *table {
	return &table{
		settings: s,
		epoch:    epoch,
		labels:   map[string]*static{},
		segments: map[string]*segment{},
		ended:    newEnded(),
		waits:    map[units.Handle][]wait{},
		random:   rand.New(rand.NewPCG(seed, uint64(epoch))),
	}
}

func (t *table) info(e *entry) Info {
	i := Info{
		Handle: e.handle, Worker: e.worker, Dynamic: e.dynamic, Owner: e.owner,
		State: e.state, Status: e.status(), Start: e.start, Pid: e.pid, Exit: e.exit,
		Ready: e.ready, ReadyText: e.said, Reason: e.reason, Since: e.since, Attached: e.attached, Incarnation: e.incarnation,
		NextStart: e.due,
	}
	if e.starts > 0 {
		i.Restarts = e.starts - 1
	}
	return i
}

// status is PostgreSQL's view (BGW-027 to BGW-032): a process is STARTED until
// it is gone, and a worker that has run is STOPPED until it runs again. One
// that is held is STOPPED as well, whether it has run or not: nothing will
// start it, and who waits for its start must not wait for ever. The same holds
// for one that a smart stop of its server keeps from starting (BGW-094).
func (e *entry) status() units.Status {
	switch {
	case e.proc != nil:
		return units.StatusStarted
	case e.ran || e.state == units.Ended || e.state == units.Held || e.barred && !live(e.state):
		return units.StatusStopped
	default:
		return units.StatusNotYetStarted
	}
}

func (t *table) do(e effect) { t.effects = append(t.effects, e) }

// publish tells the sink of e's change from before, and who waits for it: of a
// start only when it is not known already that the process is gone (BGW-041).
func (t *table) publish(k Kind, e *entry, before Info, notify bool) {
	c := &Change{Kind: k, Before: before, Info: t.info(e)}
	if notify {
		c.Notify = before.Owner // of the moment before: a release forgets the owner
	}
	t.do(publishEffect{c})
	if e.early == nil {
		t.answerWaits(&c.Info)
	}
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
	if len(t.ready) > 0 || t.roomy() {
		return t.now, true
	}
	next, ok := t.smartNext()
	if at, due := t.renewNext(); due && (!ok || at.Before(next)) {
		next, ok = at, true
	}
	if len(t.deadlines) > 0 && (!ok || t.deadlines[0].deadline.Before(next)) {
		return t.deadlines[0].deadline, true
	}
	return next, ok
}
