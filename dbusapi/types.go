package dbusapi

import "os"

// Status is what a registrant learns about its worker, in the words of PostgreSQL's BgwHandleStatus.
type Status string

// The four statuses. PostmasterDied is never sent: a client says it when the bus name has lost its owner (BGW-043).
const (
	StatusStarted        Status = "started"         // BGWH_STARTED: there is a process
	StatusNotYetStarted  Status = "not_yet_started" // BGWH_NOT_YET_STARTED: registered, never started
	StatusStopped        Status = "stopped"         // BGWH_STOPPED: waits for a restart, ended, or unknown
	StatusPostmasterDied Status = "postmaster_died" // BGWH_POSTMASTER_DIED
)

// RegisterFlags is the flags argument of RegisterDynamicBackgroundWorker, its plural and Instantiate. Unknown bits are
// refused.
type RegisterFlags uint64

// Registration is what has become of one definition of RegisterDynamicBackgroundWorkers.
type Registration struct {
	Handle Handle // of the worker, zero if Err is not nil
	Err    error  // why it is not registered
}

// MaxRegistrations is how many definitions one RegisterDynamicBackgroundWorkers may have.
const MaxRegistrations = 1024

// RegisterSignalCaller asks for SIGUSR1 to the calling process beside each notification, as PostgreSQL sends it.
const RegisterSignalCaller RegisterFlags = 1 << 0

// ShutdownMode is PostgreSQL's: how Shutdown ends the workers.
type ShutdownMode string

// The three modes; the Server refuses any other.
const (
	ShutdownSmart     ShutdownMode = "smart"
	ShutdownFast      ShutdownMode = "fast"
	ShutdownImmediate ShutdownMode = "immediate"
)

// Caller is who sent a call, as the broker vouches for it.
type Caller struct {
	Name string // unique name, ":1.42"; valid until OwnerGone(Name) or BusLost
	UID  uint32 // of the process when it connected
	PID  uint32 // of the process when it connected, 0 when the broker does not say

	// PIDFD refers to that very process. It is set only in a registration with RegisterSignalCaller. A Backend that
	// returns success, of many registrations for one at least, owns it from then on; otherwise the Server closes it.
	PIDFD *os.File
}

// Timestamp is one moment on both clocks, in microseconds; zero for never.
type Timestamp struct {
	Realtime  uint64 // CLOCK_REALTIME
	Monotonic uint64 // CLOCK_MONOTONIC
}

// WorkerInfo is one worker as the bus sees it: what its properties are made from. A value, never shared for writing.
type WorkerInfo struct {
	Handle     Handle
	Label      string // label in the configuration, or what the daemon chose for a dynamic worker; need not be unique
	Definition Definition

	User     string // user the worker runs as
	Attach   string // "auto", "always" or "never"
	Template string // label of the template it was instantiated from, "" for none
	Dynamic  bool   // registered while the daemon ran

	State  string // the word of units.State
	Status Status // never StatusPostmasterDied
	Reason string // why it is in this state, for a person
	// WaitsFor is what of its server it waits for, "recovery_finished of main: hot_standby"; "" for nothing.
	WaitsFor string
	Held     bool   // stopped by the administrator
	Owner    string // unique name or worker label that is notified, "" for nobody

	MainPID     uint32    // 0 without a process
	StartNumber uint64    // of the last process started for this registration, 0 before the first
	Restarts    uint64    // starts after the first
	Changed     Timestamp // when State became what it is
	NextStart   uint64    // CLOCK_REALTIME µs of the next start, 0 when none is due
	ExitCode    int32     // of the last process: 0 to 255, -1 while there was none or it died of a signal
	ExitSignal  int32     // of the last process: its signal, 0 otherwise
	ExitOOM     bool      // of the last process: the kernel took it, or one of its tree, for want of memory
	Attached    bool      // attached to its segment
	StatusText  string    // what its process says of itself, up to 1,024 bytes; "" for nothing
}

// ManagerInfo is what the properties of the manager object are made from.
type ManagerInfo struct {
	Version            string
	MaxWorkerProcesses uint32
	Workers            uint32 // slots in use
	Running            uint32 // with a process
	Started            Timestamp
	Standalone         bool              // no PostgreSQL server is configured
	Phases             map[string]string // server label to its phase; read-only
	ConfigurationState string            // outcome of the last load: "ok", or the first line of what was wrong
}

// StateChange is the content of one WorkerStateChanged signal.
type StateChange struct {
	Handle      Handle
	State       string
	Status      Status
	PID         uint32
	ExitCode    int32
	ExitSignal  int32
	Reason      string
	StartNumber uint64
}

// ChangeOf returns the signal that announces w as it is now.
func ChangeOf(w WorkerInfo) StateChange {
	return StateChange{
		Handle: w.Handle, State: w.State, Status: w.Status, PID: w.MainPID, ExitCode: w.ExitCode,
		ExitSignal: w.ExitSignal, Reason: w.Reason, StartNumber: w.StartNumber,
	}
}
