package units

import (
	"maps"
	"slices"
	"time"
)

// Limits of a definition, in bytes without a terminating NUL unless said
// otherwise. The sizes are those of the newest PostgreSQL release.
const (
	MaxName     = 95   // bgw_name, bgw_type, bgw_function_name: BGW_MAXLEN - 1
	MaxLibrary  = 1023 // bgw_library_name: MAXPGPATH - 1
	MaxExtra    = 128  // bgw_extra: BGW_EXTRALEN, no NUL needed
	MaxLabel    = 63   // a label is part of cgroup names, object paths and log fields
	MaxIdent    = 63   // database, role: NAMEDATALEN - 1
	MaxArgs     = 1024 // elements of command
	MaxArgBytes = 64 << 10
	MaxEnv      = 1024 // entries of environment
)

// DefaultSegment is the segment of a worker that names none.
const DefaultSegment = "main"

// DefaultKillTimeout is how long a worker may take to answer its kill signal
// before its whole tree is killed (deviation from BGW-039 and BGW-091).
const DefaultKillTimeout = 30 * time.Second

// Infinity is a timeout that never ends.
const Infinity = time.Duration(1<<63 - 1)

// A Worker is one definition: what PostgreSQL calls a BackgroundWorker.
// Values are compared by [Worker.Equal] and never changed once registered.
type Worker struct {
	Label string // identifier given by the administrator; empty in dynamic workers
	Name  string // bgw_name: log lines and listings, 1..95 bytes
	Type  string // bgw_type: the same for all workers of a kind; empty means Name (BGW-012)

	Flags       Flags
	StartTime   StartTime
	RestartTime RestartTime

	// Either a module's library and function, or a command.
	LibraryName  string
	FunctionName string
	Command      []string // argv; Command[0] is an absolute path

	MainArg uint64 // bgw_main_arg: 64 bits, passed unchanged (BGW-019)
	Extra   []byte // bgw_extra: at most 128 bytes, passed unchanged (BGW-018)

	Connection  *Connection       // nil: the flag's defaults
	Resources   Resources         // limits of the worker's cgroup
	Sandbox     Sandbox           // what the process may do
	Environment map[string]string // added to the environment that pg-bgw makes
	KillSignal  Signal            // 0 means SIGTERM
	KillTimeout time.Duration     // 0 means DefaultKillTimeout; Infinity: never escalate
	Backoff     *Backoff          // nil: RestartTime, constant and without a limit (BGW-056)
	Segment     string            // empty means DefaultSegment
	Attach      Attach
	Server      string // label of a server block; empty: the only one, or standalone
	User        string // empty: the daemon's own

	OnServerStop   OnServerStop
	OnServerCrash  OnServerCrash
	StopOnDemotion Demotion
	Logs           Logs

	Template      string // label of the template that it was made from; only told, never obeyed
	StopWithOwner bool   // dynamic only: terminate it when its owner goes
}

// Resources are limits of the worker's cgroup, by cgroup v2 file name
// ("memory.max", "cpu.weight"), in the form that the kernel reads. An absent
// key leaves the kernel's default.
type Resources struct {
	Cgroup      map[string]string
	OOMScoreAdj int // -1000..1000; 0 is the default for a worker
	Nice        int // -20..19; 0: the daemon's
	NoFile      uint64
	Core        *uint64 // largest core dump in bytes, as of RLIMIT_CORE; 0: none, ^uint64(0): any; nil: the daemon's limit
}

// A Sandbox is what the launcher takes from the process before it runs.
type Sandbox struct {
	NoNewPrivileges bool
	ReadOnlyPaths   []string
	ReadWritePaths  []string
}

// Logs says how a worker's standard output and error reach the journal.
type Logs struct {
	Identifier    string // SYSLOG_IDENTIFIER; empty: the worker's type
	NoLevelPrefix bool   // true: do not read "<3>" at the start of a line as a priority
}

// A Backoff lengthens the restart interval from the worker's RestartTime on.
type Backoff struct {
	Factor  float64       // the interval is multiplied by it after each failure, 1..10
	Max     time.Duration // ceiling of the interval
	Jitter  float64       // 0..1: share of the interval that is taken off at random
	Healthy time.Duration // a run at least this long resets the interval
}

// Attach says whether a worker gets the segment and when it counts as
// attached, that is, when its abnormal end is a crash of the whole segment.
type Attach uint8

// The attach modes.
const (
	AttachAuto   Attach = iota // the descriptor is passed; attached from its Attach message on
	AttachAlways               // attached from the first instruction on
	AttachNever                // no descriptor, never attached
)

var attachNames = []string{"auto", "always", "never"}

func (a Attach) String() string { return name(attachNames, int(a)) }

// ParseAttach is the inverse of String.
func ParseAttach(s string) (Attach, bool) {
	i := slices.Index(attachNames, s)
	return Attach(max(i, 0)), i >= 0
}

// AttachNames lists what ParseAttach takes.
func AttachNames() []string { return slices.Clone(attachNames) }

// Never reports whether w is gone for good after its first end, whatever its
// exit code was.
func (w *Worker) Never() bool { return w.RestartTime == NeverRestart }

// Module reports whether w is a function of a library.
func (w *Worker) Module() bool { return len(w.Command) == 0 }

// Connects reports whether w may connect to its server, so that it can be
// expected to end when the server does.
func (w *Worker) Connects() bool { return w.Flags&BackendDatabaseConnection != 0 }

// WithDefaults returns a copy of w in which every field that may be left out
// has the value that it then means.
func (w Worker) WithDefaults() Worker {
	w.Name = cmp(w.Name, w.Label)
	w.Type = cmp(w.Type, w.Name) // BGW-012
	w.Segment = cmp(w.Segment, DefaultSegment)
	w.KillSignal = cmp(w.KillSignal, SIGTERM)
	w.KillTimeout = cmp(w.KillTimeout, DefaultKillTimeout)
	w.Logs.Identifier = cmp(w.Logs.Identifier, w.Type)
	if w.Module() && w.Attach == AttachAuto {
		w.Attach = AttachAlways
	}
	w.StopOnDemotion = cmp(w.StopOnDemotion, w.demotion())
	return w
}

// demotion is what DemotionDefault means for w.
func (w *Worker) demotion() Demotion {
	if w.StartTime == RecoveryFinished && w.Connects() {
		return DemotionStop
	}
	return DemotionKeep
}

func cmp[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Equal reports whether a and b define the same worker, so that a reload which
// brings b in place of a has nothing to do.
func (w *Worker) Equal(o *Worker) bool {
	a, b := w.WithDefaults(), o.WithDefaults()
	return a.Label == b.Label && a.Name == b.Name && a.Type == b.Type &&
		a.Flags == b.Flags && a.StartTime == b.StartTime && a.RestartTime == b.RestartTime &&
		a.LibraryName == b.LibraryName && a.FunctionName == b.FunctionName &&
		slices.Equal(a.Command, b.Command) && a.MainArg == b.MainArg && slices.Equal(a.Extra, b.Extra) &&
		equalPtr(a.Connection, b.Connection) && a.Resources.equal(b.Resources) && a.Sandbox.equal(b.Sandbox) &&
		maps.Equal(a.Environment, b.Environment) && a.KillSignal == b.KillSignal && a.KillTimeout == b.KillTimeout &&
		equalPtr(a.Backoff, b.Backoff) && a.Segment == b.Segment && a.Attach == b.Attach &&
		a.Server == b.Server && a.OnServerStop == b.OnServerStop && a.OnServerCrash == b.OnServerCrash &&
		a.StopOnDemotion == b.StopOnDemotion && a.User == b.User && a.Logs == b.Logs && a.StopWithOwner == b.StopWithOwner
}

// EqualButLimits reports whether w and o differ in nothing but the limits of
// their cgroups, which can be changed while a worker runs.
func (w *Worker) EqualButLimits(o *Worker) bool {
	same := *o
	same.Resources.Cgroup = w.Resources.Cgroup
	return w.Equal(&same)
}

func equalPtr[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func (r Resources) equal(o Resources) bool {
	return maps.Equal(r.Cgroup, o.Cgroup) && r.OOMScoreAdj == o.OOMScoreAdj &&
		r.Nice == o.Nice && r.NoFile == o.NoFile && equalPtr(r.Core, o.Core)
}

func (s Sandbox) equal(o Sandbox) bool {
	return s.NoNewPrivileges == o.NoNewPrivileges &&
		slices.Equal(s.ReadOnlyPaths, o.ReadOnlyPaths) && slices.Equal(s.ReadWritePaths, o.ReadWritePaths)
}
