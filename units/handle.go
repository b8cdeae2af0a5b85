package units

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Handle names one registration: a slot and the generation of its use. The
// generation grows with each registration in the slot (BGW-026) and never
// falls, not even over lives of the daemon: its upper 32 bits are the epoch
// of the daemon's life. The zero Handle names nothing.
type Handle struct {
	Slot       uint32
	Generation uint64
}

// IsZero reports whether h names nothing.
func (h Handle) IsZero() bool { return h.Generation == 0 }

// String is "3.17": slot and generation.
func (h Handle) String() string { return string(h.append(make([]byte, 0, 32))) }

func (h Handle) append(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(h.Slot), 10)
	return strconv.AppendUint(append(b, '.'), h.Generation, 10)
}

// ParseHandle is the inverse of String.
func ParseHandle(s string) (Handle, bool) {
	slot, gen, ok := strings.Cut(s, ".")
	if !ok {
		return Handle{}, false
	}
	sl, err1 := strconv.ParseUint(slot, 10, 32)
	g, err2 := strconv.ParseUint(gen, 10, 64)
	return Handle{Slot: uint32(sl), Generation: g}, err1 == nil && err2 == nil && g != 0
}

// A Run names one process of a registration: the start number counts the
// starts from 1. A zero Start means that none has been tried.
type Run struct {
	Handle
	Start uint64
}

// String is "3.17.2": slot, generation and start number, as in the name of the
// process's cgroup.
func (r Run) String() string {
	b := append(r.Handle.append(make([]byte, 0, 56)), '.')
	return string(strconv.AppendUint(b, r.Start, 10))
}

// State is what a registration is doing.
type State uint8

// The states. A slot is in use in all of them but Ended.
const (
	Waiting    State = iota // not started yet, or its server's phase does not permit it
	Starting                // the launcher has been asked
	Running                 // its process runs
	Stopping                // its process has been asked to end, by us or a crash of its segment
	Restarting              // it ended and its restart time has not passed
	Held                    // stopped by the administrator; Start releases it
	Ended                   // unregistered; the slot is free, the handle stays readable for a while
)

var stateNames = []string{"waiting", "starting", "running", "stopping", "restarting", "held", "ended"}

func (s State) String() string { return name(stateNames, int(s)) }

// Status is what GetBackgroundWorkerPid says, with PostgreSQL's values.
type Status uint8

// The statuses (BgwHandleStatus).
const (
	StatusStarted        Status = 0 // BGWH_STARTED: it runs, the pid is valid
	StatusNotYetStarted  Status = 1 // BGWH_NOT_YET_STARTED
	StatusStopped        Status = 2 // BGWH_STOPPED: ended, waiting for a restart, or a stale handle
	StatusPostmasterDied Status = 3 // BGWH_POSTMASTER_DIED: only clients say it, of a daemon that is gone
)

var statusNames = []string{"started", "not_yet_started", "stopped", "postmaster_died"}

func (s Status) String() string { return name(statusNames, int(s)) }

// An Exit is how a process ended. The zero Exit means that none has.
type Exit struct {
	Pid      int
	Code     int            // exit code, when Signal is 0
	Signal   syscall.Signal // the signal that killed it, or 0
	CoreDump bool
	OOM      bool      // the kernel's out-of-memory killer was at work in its cgroup
	At       time.Time // when the process ended, not when the rest of its tree did
}

// Abnormal reports whether PostgreSQL would call it a crash from the status
// alone: anything but exit codes 0 and 1 (BGW-058 to BGW-060).
func (e Exit) Abnormal() bool { return e.Signal != 0 || e.Code > 1 }

// String is PostgreSQL's wording.
func (e Exit) String() string {
	switch {
	case e.Signal != 0 && e.OOM:
		return fmt.Sprintf("was terminated by signal %d: %s (out of memory)", int(e.Signal), e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("was terminated by signal %d: %s", int(e.Signal), e.Signal)
	default:
		return fmt.Sprintf("exited with exit code %d", e.Code)
	}
}
