package supervise

import (
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// A Launcher starts processes.
type Launcher interface {
	// Start begins the start of s. It is called in the order of the starts, on
	// one goroutine, and may block it only for preparation, never for the
	// process. It calls started exactly once, and, when that had no error,
	// exited exactly once, when the process and its whole tree are gone.
	// exited may be called before started. Both may be called before Start
	// returns and on any goroutine. What the process has said over its control
	// socket, Detach above all, is handed over before exited is called: a detach
	// that comes later is a crash (BGW-061).
	Start(s Start, started func(Process, error), exited func(units.Exit))
}

// A Start is what a Launcher is asked for.
type Start struct {
	Run         units.Run
	Worker      *units.Worker // with defaults applied; not to be changed
	Incarnation uint64        // of the worker's segment; grows when it is renewed
	Owner       Owner         // whom PGBGW_NOTIFY_PID names
}

// A Process is a started process. Its methods do not block, but for Limit, and
// are safe, and without effect, when it has ended.
type Process interface {
	Pid() int
	// Signal signals the process alone.
	Signal(units.Signal) error
	// SignalGroup signals the process and its group (BGW-065, BGW-108).
	SignalGroup(units.Signal) error
	// Kill ends the process and its whole tree by SIGKILL.
	Kill() error
	// Limit gives the process and its tree the limits of r (Resources.Cgroup) and
	// the kernel's defaults for what r does not limit. It is no error if it has
	// ended. Alone of these methods it may block, and is called on a goroutine of
	// its own, once at a time.
	Limit(r units.Resources) error
}

// A Sink is told of every change, in order, on one goroutine. It may take its
// time: the loop does not wait for it.
type Sink interface {
	Publish(Change)
}

// OwnerKind says what an owner is.
type OwnerKind uint8

// The kinds of owner.
const (
	NoOwner     OwnerKind = iota
	BusOwner              // a connection on the bus
	WorkerOwner           // a process of another registration
)

// An Owner is who is told of a registration's starts and exits: what
// PostgreSQL calls bgw_notify_pid. The zero Owner is nobody.
type Owner struct {
	Kind   OwnerKind
	Bus    string    // unique name, of a BusOwner
	Run    units.Run // of a WorkerOwner
	Pid    uint32    // for the worker's environment and listings
	UID    uint32    // who is charged
	Signal bool      // send SIGUSR1 as well
}

func (o Owner) same(p Owner) bool {
	return o.Kind == p.Kind && o.Bus == p.Bus && o.Run == p.Run
}

// Info is what can be known of a registration at one moment.
type Info struct {
	Handle      units.Handle
	Worker      *units.Worker // with defaults applied; not to be changed
	Dynamic     bool
	Owner       Owner
	State       units.State
	Status      units.Status
	Start       uint64 // number of the newest start; 0: none was tried
	Pid         int    // 0: no process
	Exit        units.Exit
	Reason      string    // why it is in this state, for people; may be empty
	Since       time.Time // when it came to this state
	NextStart   time.Time // of a Restarting one, and of a Waiting one whose start is spread
	Restarts    uint64    // starts after the first
	Attached    bool
	Ready       bool   // its process has said so
	ReadyText   string // what it said with it
	Incarnation uint64 // of its segment, at its newest start
}

// Kind says what a Change is.
type Kind uint8

// The kinds of change.
const (
	Registered   Kind = iota // a slot was taken
	Started                  // a process runs
	StartFailed              // a start was answered with an error
	Exited                   // a process and its tree are gone
	Updated                  // anything else about a registration
	Unregistered             // the slot is free again
	Renewed                  // a segment was renewed after a crash: only Segment and Incarnation hold
	Crashed                  // a segment's crash began with Info's exit, or that of Server
	Skipped                  // a static worker found no slot (BGW-022): only Info.Worker holds
	Retired                  // nothing uses a segment that is not defined any more: only Segment and Incarnation, of what comes after it, hold
)

// ofOne says whether such a change is of one registration.
func (k Kind) ofOne() bool { return k <= Unregistered }

// A Change is one transition, published after it has happened: who asks the
// Supervisor on being told sees the new state or a newer one.
type Change struct {
	Kind        Kind
	Before      Info // zero for Registered
	Info        Info // as it is now
	Notify      Owner
	Segment     string
	Incarnation uint64
	Server      string // of Crashed: the server whose crash it is; Info is then of one of its attached workers
}
