package launch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pidfdSignalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9).
const pidfdSignalProcessGroup = 1 << 2

// noGroupSignal is set once the kernel has refused pidfdSignalProcessGroup.
var noGroupSignal atomic.Bool

// A Process is a worker's process, or what is left of it. Its methods may be
// called from any goroutine at any time; after the leader has exited they return
// os.ErrProcessDone.
type Process struct {
	l      *Launcher
	id     string
	exited func(Exit)

	// mu is held by whoever uses the pidfd or the number, and by whoever makes them
	// invalid: nobody signals a number that has been given back to the kernel.
	mu    sync.Mutex
	pid   int32 // 0: not known yet
	pidfd int32 // -1: not open, or closed again
	phase phase
	start *start // nil once Start has its answer and no failure is to be reported
	exit  *Exit  // set when the leader has been reaped
}

// A phase is how far the end of a Process has come.
type phase uint8

const (
	live    phase = iota
	dead          // the leader has exited; its tree may be alive
	cleared       // nothing is left
)

// Pid returns the leader's process number, for display only.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.pid)
}

// Signal sends sig to the leader.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signal(sig, 0)
}

// SignalGroup sends sig to the leader and its process group, as PostgreSQL does
// with INT, TERM, QUIT, KILL and ABRT (BGW-065, BGW-108).
func (p *Process) SignalGroup(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signalGroup(sig)
}

// Kill kills the whole tree with SIGKILL. Unlike the others it also works on
// what has outlived the leader.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == cleared {
		return os.ErrProcessDone
	}
	if p.l.cgroups != nil {
		return p.l.cgroups.kill(p.id)
	}
	if p.phase == dead {
		return nil // the sweep is at it
	}
	return p.signalGroup(unix.SIGKILL) // and the leader's end starts the sweep
}

// SetLimits makes limits, which have the shape of Spec.Limits, those of the whole
// tree in place of all that it had. It waits for the kernel, which first takes
// memory away from a tree that is above a new limit, and kills in it if that does
// not do. After an error some may be set and others not.
func (p *Process) SetLimits(limits map[string]string) error {
	for name, value := range limits {
		if err := checkLimit(name, value); err != "" {
			return fmt.Errorf("cannot limit worker %s: %s: %s", p.id, name, err)
		}
	}
	err := p.l.cgroups.relimit(p.id, limits)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase != live {
		return os.ErrProcessDone
	}
	return err
}

func (p *Process) signalGroup(sig syscall.Signal) error {
	if !noGroupSignal.Load() {
		err := p.signal(sig, pidfdSignalProcessGroup)
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		if err := p.signal(sig, 0); err != nil {
			return err // it was sig that is invalid
		}
		noGroupSignal.Store(true)
	}
	if p.phase != live || p.pidfd < 0 {
		return os.ErrProcessDone
	}
	// The leader leads a session, so its group has its number and it cannot leave it.
	// The number is its own as long as it has not been reaped.
	return signalError(unix.Kill(-int(p.pid), sig))
}

// signal sends through the pidfd. p.mu is held.
func (p *Process) signal(sig syscall.Signal, flags int) error {
	if p.phase != live || p.pidfd < 0 {
		return os.ErrProcessDone
	}
	return signalError(unix.PidfdSendSignal(int(p.pidfd), sig, nil, flags))
}

func signalError(err error) error {
	if err == unix.ESRCH {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("signal", err)
}

// onExit runs on the poller's goroutine when the leader has exited.
func (p *Process) onExit(uint32) {
	p.mu.Lock()
	p.phase = dead
	if p.l.cgroups == nil { // reaped later
		p.l.poller.Remove(int(p.pidfd))
	}
	p.mu.Unlock()
	p.leaderDead()
}

// leaderDead begins the end of the tree.
func (p *Process) leaderDead() {
	p.exit = &Exit{Pid: int(p.pid), At: time.Now()}
	if p.l.cgroups == nil {
		// The leader stays unreaped until its tree is gone, so that its session and
		// group keep their number.
		kin.sweep(p)
		return
	}
	p.reap()
	p.clearCgroup(false)
}

// reap takes the leader's status and gives its number back to the kernel.
func (p *Process) reap() {
	p.mu.Lock()
	idType, id := unix.P_PIDFD, int(p.pidfd)
	if p.pidfd < 0 {
		idType, id = unix.P_PID, int(p.pid)
	}
	status, rusage, err := wait(idType, id, false)
	if p.pidfd >= 0 {
		p.l.poller.Discard(int(p.pidfd))
		p.pidfd = -1
	}
	p.mu.Unlock()
	if err != nil {
		// Somebody else in this process waits for children that are not his.
		p.l.opts.Notice(fmt.Errorf("the exit status of worker %s is lost and taken for SIGKILL: %w", p.id, os.NewSyscallError("waitid", err)))
		status = syscall.WaitStatus(unix.SIGKILL)
	}
	p.exit.Status, p.exit.Rusage = status, rusage
	kin.forget(int(p.pid))
}

// ended runs once, when nothing of the worker is left.
func (p *Process) ended(oom bool) {
	p.exit.OOM = oom
	p.mu.Lock()
	p.phase = cleared
	st := p.start
	p.start = nil
	p.mu.Unlock()
	if st != nil {
		st.answer(p, st.failure)
		return
	}
	p.exited(*p.exit)
}
