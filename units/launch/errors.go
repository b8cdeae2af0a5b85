package launch

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrClosed is returned by Start after Close.
var ErrClosed = errors.New("cannot start worker: the launcher is closed")

// A Step is what a start was doing when it failed. The values are those of
// enum step in cmd/pg-bgw-launcher/protocol.h.
type Step uint32

// The steps in the order in which they are taken.
const (
	StepNone       Step = iota
	StepRequest         // the launcher did not understand the request
	StepReceive         // the descriptors did not arrive
	StepClone           // clone3
	StepSession         // setsid
	StepFiles           // descriptors 0, 1, 2, ...
	StepOOMScore        // oom_score_adj
	StepNice            // setpriority
	StepRlimit          // setrlimit
	StepCredential      // setgroups, setgid, setuid
	StepPrivileges      // capabilities, no_new_privs
	StepSandbox         // Landlock
	StepDir             // chdir
	StepExec            // execve
)

var stepNames = [...]string{
	"", "read the request", "receive descriptors", "clone3", "start a session", "set up descriptors",
	"set oom_score_adj", "set nice value", "set resource limit", "set user and groups",
	"drop privileges", "apply the sandbox", "change directory to", "exec",
}

// String returns the step as it appears in error messages.
func (s Step) String() string {
	if int(s) < len(stepNames) {
		return stepNames[s]
	}
	return fmt.Sprintf("step %d", uint32(s))
}

// A StartError says which step of a start failed. Nothing of the start is left.
type StartError struct {
	ID     string // Spec.ID
	Step   Step
	Object string        // file or directory that the step was about, or ""
	Err    syscall.Errno // never 0
	Hint   string        // what would be right, or ""
}

func (e *StartError) Error() string {
	s := "cannot start worker " + e.ID + ": " + e.Step.String()
	if e.Object != "" {
		s += " " + e.Object
	}
	s += ": " + e.Err.Error()
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap returns the errno.
func (e *StartError) Unwrap() error { return e.Err }

// A SpecError is a field of a Spec that cannot be.
type SpecError struct {
	ID    string
	Field string // as in Go, "Argv[0]"
	Limit string // key of Limits that Field is about, or ""
	Why   string // what is wrong and what would be right
}

func badLimit(id, limit, why string) error {
	return &SpecError{ID: id, Field: "Limits[" + limit + "]", Limit: limit, Why: why}
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("cannot start worker %s: %s: %s", e.ID, e.Field, e.Why)
}
