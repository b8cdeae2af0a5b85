package shm

import "time"

// State is what a slot's worker is doing, as the slot table and
// control.WorkerStateChanged give it.
type State uint32

// The states.
const (
	StateFree       State = iota // never used
	StateWaiting                 // registered; its start time has not come
	StateStarting                // the launcher has been asked
	StateRunning                 // its process runs
	StateStopping                // its process has been asked to end
	StateRestarting              // it ended, its restart time has not passed
	StateHeld                    // stopped by the administrator
	StateEnded                   // unregistered; the slot may be used again
)

var stateNames = [...]string{"free", "waiting", "starting", "running", "stopping", "restarting", "held", "ended"}

// String is the state's word, as the bus has it.
func (s State) String() string {
	if int64(s) < int64(len(stateNames)) {
		return stateNames[s]
	}
	return "unknown"
}

// Status is PostgreSQL's BgwHandleStatus, numbers included.
type Status uint32

// The statuses.
const (
	StatusStarted        Status = iota // its process runs
	StatusNotYetStarted                // it was not started yet
	StatusStopped                      // ended, waiting for a restart, or the handle names nothing any more
	StatusPostmasterDied               // the supervisor is gone
)

var statusNames = [...]string{"started", "not_yet_started", "stopped", "postmaster_died"}

// String is the status's word, as the bus has it.
func (s Status) String() string {
	if int64(s) < int64(len(statusNames)) {
		return statusNames[s]
	}
	return "unknown"
}

// EntryFlags are further facts about a slot's worker.
type EntryFlags uint32

// The flags.
const (
	EntryAttached EntryFlags = 1 << iota // it is attached to its segment
	EntryDynamic                         // it was registered at run time
	EntryReady                           // it has said Ready
)

// Entry is one slot of the table.
type Entry struct {
	Generation uint64
	Start      uint64 // start number of the current or last process; 0: none yet
	Pid        int32  // as PostgreSQL: -1 not yet started, 0 dead
	State      State
	Status     Status
	Flags      EntryFlags
	ExitCode   int32 // of the last process; -1: none, or ended by a signal
	ExitSignal int32 // 0: none
	Restarts   uint64
	Registered time.Time // microseconds; zero: never, as the next two
	Changed    time.Time // when State last changed
	NextStart  time.Time
	Name       string // at most MaxName bytes; what is longer is cut
	Type       string // at most MaxName bytes
	Segment    string // at most MaxSegmentName bytes; "" for a worker without one
}

// Handle names the registration that the entry describes, which has this slot.
func (e *Entry) Handle(slot uint32) Handle { return Handle{Slot: slot, Generation: e.Generation} }

func (e *Entry) encode() (w slotEntry) {
	w = slotEntry{
		generation: e.Generation, start: e.Start, pid: e.Pid, state: uint32(e.State), status: uint32(e.Status),
		flags: uint32(e.Flags), exitCode: e.ExitCode, exitSignal: e.ExitSignal, restarts: e.Restarts,
		registered: toMicro(e.Registered), changed: toMicro(e.Changed), nextStart: toMicro(e.NextStart),
	}
	copy(w.name[:MaxName], e.Name)
	copy(w.kind[:MaxName], e.Type)
	copy(w.segment[:MaxSegmentName], e.Segment)
	return w
}

func (e *Entry) decode(w *slotEntry) {
	*e = Entry{
		Generation: w.generation, Start: w.start, Pid: w.pid, State: State(w.state), Status: Status(w.status),
		Flags: EntryFlags(w.flags), ExitCode: w.exitCode, ExitSignal: w.exitSignal, Restarts: w.restarts,
		Registered: fromMicro(w.registered), Changed: fromMicro(w.changed), NextStart: fromMicro(w.nextStart),
		Name: cString(w.name[:]), Type: cString(w.kind[:]), Segment: cString(w.segment[:]),
	}
}

func toMicro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
