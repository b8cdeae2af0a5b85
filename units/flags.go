package units

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Flags are a definition's bgw_flags, with PostgreSQL's values.
type Flags uint32

// The flags.
const (
	ShmemAccess               Flags = 0x0001 // required, as in PostgreSQL since 15
	BackendDatabaseConnection Flags = 0x0002 // may connect to a database
	Interruptible             Flags = 0x0004 // may be asked to leave its database (19)
	ClassParallel             Flags = 0x0010 // counts against max_parallel_workers

	allFlags = ShmemAccess | BackendDatabaseConnection | Interruptible | ClassParallel
)

var flagNames = []struct {
	flag Flags
	name string
}{
	{ShmemAccess, "shmem_access"},
	{BackendDatabaseConnection, "backend_database_connection"},
	{Interruptible, "interruptible"},
	{ClassParallel, "class_parallel"},
}

// Names returns the names of the flags that are set, in the order of their
// values; bits that have no name are left out.
func (f Flags) Names() []string {
	var names []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

func (f Flags) String() string { return strings.Join(f.Names(), "|") }

// ParseFlag is the inverse of one of Names' elements.
func ParseFlag(s string) (Flags, bool) {
	for _, n := range flagNames {
		if n.name == s {
			return n.flag, true
		}
	}
	return 0, false
}

// FlagNames lists what ParseFlag takes.
func FlagNames() []string { return allFlags.Names() }

// StartTime is a definition's bgw_start_time, with PostgreSQL's values: the
// phase of its server from which on a worker may be started. It never says
// when to stop one.
type StartTime uint8

// The start times.
const (
	PostmasterStart  StartTime = 0 // from the moment the postmaster exists
	ConsistentState  StartTime = 1 // from the moment a standby takes queries
	RecoveryFinished StartTime = 2 // from the moment the server takes writes
)

var startTimeNames = []string{"postmaster_start", "consistent_state", "recovery_finished"}

func (t StartTime) String() string { return name(startTimeNames, int(t)) }

// ParseStartTime is the inverse of String.
func ParseStartTime(s string) (StartTime, bool) {
	i := slices.Index(startTimeNames, s)
	return StartTime(max(i, 0)), i >= 0
}

// StartTimeNames lists what ParseStartTime takes.
func StartTimeNames() []string { return slices.Clone(startTimeNames) }

// RestartTime is a definition's bgw_restart_time in seconds: the time from an
// exit with code 1 to the next start. 0 means at once (BGW-008).
type RestartTime int32

// Bounds of RestartTime.
const (
	NeverRestart   RestartTime = -1         // BGW_NEVER_RESTART
	MaxRestartTime RestartTime = 86_400_000 // BGW-009; unlike PostgreSQL all of it is waited for (BGW-057)
)

// Duration is the interval; it is only meaningful when t is not NeverRestart.
func (t RestartTime) Duration() time.Duration { return time.Duration(t) * time.Second }

func (t RestartTime) String() string {
	if t == NeverRestart {
		return "never"
	}
	return t.Duration().String()
}

// ParseRestartTime reads what HCL and the command line write: "never", a whole
// number of seconds, or a Go duration of whole seconds ("10s", "1m30s"). Only
// syntax is checked; the range is Validate's.
func ParseRestartTime(s string) (RestartTime, error) {
	if s == "never" {
		return NeverRestart, nil
	}
	d, err := ParseDuration(s)
	if err != nil {
		return 0, err
	}
	if d == Infinity {
		return 0, fmt.Errorf("%q is not an interval; write \"never\"", s)
	}
	if d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a whole number of seconds", s)
	}
	if sec := d / time.Second; sec <= 1<<31-1 {
		return RestartTime(sec), nil
	}
	return 0, fmt.Errorf("%q is above the limit of %d seconds", s, MaxRestartTime)
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}
