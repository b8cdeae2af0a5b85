package launch

import (
	"context"
	"errors"
	"os"
	"syscall"
)

var errTODO = errors.New("not implemented yet")

// Options are what New may be told. The zero value is complete.
type Options struct {
	// Cgroups is where each worker gets a cgroup of its own; nil: none, and the
	// calling process becomes a child subreaper.
	Cgroups *Cgroups
	// Poller is shared with the rest of the daemon; nil: one of its own.
	Poller *Poller
	// Stderr is the launcher's standard error; nil: that of this process.
	Stderr *os.File
	// Notice is told what is worth a log line: that the launcher died and was
	// replaced, that a tree cannot be removed. It must not block. nil: nobody.
	Notice func(error)
}

// A Launcher starts processes. Its methods may be called from any goroutine.
type Launcher struct{}

// New starts the launcher program at path.
func New(path string, opts Options) (*Launcher, error) { return nil, errTODO }

// Start starts a worker and returns when it has executed its program.
//
// If Start returns an error, nothing of the worker is left and exited is never
// called. Otherwise exited is called exactly once, when the leader has exited
// and its whole tree is gone; that may be before Start has returned. It is
// called on the poller's goroutine, or another, and must not block.
//
// A ctx that ends first kills what there is of the worker.
//
// Errors: *SpecError, *StartError, ErrClosed, those of ctx, and others that
// nobody can decide on.
func (l *Launcher) Start(ctx context.Context, spec Spec, exited func(Exit)) (*Process, error) {
	return nil, errTODO
}

// Adopt takes over a worker that an earlier image of this process started:
// pid must be an unreaped child of this process and id the Spec.ID it was
// started with.
func (l *Launcher) Adopt(id string, pid int, exited func(Exit)) (*Process, error) {
	return nil, errTODO
}

// Close ends the launcher program. Live workers are untouched and their exits
// are still reported.
func (l *Launcher) Close() error { return nil }

// A Process is a worker's process, or what is left of it. Its methods may be
// called from any goroutine at any time; after the leader has exited they return
// os.ErrProcessDone.
type Process struct{}

// Pid returns the leader's process number, for display only.
func (p *Process) Pid() int { return 0 }

// Signal sends sig to the leader.
func (p *Process) Signal(sig syscall.Signal) error { return errTODO }

// SignalGroup sends sig to the leader and its process group, as PostgreSQL does
// with INT, TERM, QUIT, KILL and ABRT (BGW-065, BGW-108).
func (p *Process) SignalGroup(sig syscall.Signal) error { return errTODO }

// Kill kills the whole tree with SIGKILL. Unlike the others it also works on
// what has outlived the leader.
func (p *Process) Kill() error { return errTODO }
