package shm

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrNotWorker is returned by Open in a process that was not started by a
	// supervisor: the program may then run on its own, or say how it is
	// started.
	ErrNotWorker = errors.New("not started by pg-bgw: PGBGW_FDS is not set")

	// ErrDamaged is wrapped by every error about shared memory that does not
	// hold what it should: damaged, foreign, not sealed, or of another version.
	ErrDamaged = errors.New("damaged or foreign shared memory")

	// ErrAreaSize is wrapped when an area exists with another size (BGW-133).
	ErrAreaSize = errors.New("the area has another size")

	// ErrNotAttached is returned by what needs the segment's memory before
	// Attach and after Detach.
	ErrNotAttached = errors.New("not attached to a segment: call Attach first")

	// ErrSupervisorDied is returned by requests to a supervisor that is gone.
	ErrSupervisorDied = errors.New("the supervisor died")

	// ErrDetached is returned by a queue whose other side has detached, has
	// ended, or will never come (SHM_MQ_DETACHED); a receiver gets it after
	// all that was sent.
	ErrDetached = errors.New("the queue is detached")

	// ErrWouldBlock is returned by TrySend and TryReceive
	// (SHM_MQ_WOULD_BLOCK). The own latch is set when it is worth another try.
	ErrWouldBlock = errors.New("the queue would block")

	// ErrTaken is wrapped when a queue has a sender, or a receiver, already.
	ErrTaken = errors.New("taken")

	// ErrUnfinished is wrapped when a message is sent while another one is
	// sent in part: repeat the call that did not finish, or detach.
	ErrUnfinished = errors.New("another message is unfinished")

	// ErrMessageSize is wrapped when a message has more than MaxMessage bytes.
	ErrMessageSize = errors.New("message too large")

	// ErrNoPeer is returned instead of a wait without an end: nobody has
	// attached to the other side, no worker was named (Expect), and the
	// context never ends.
	ErrNoPeer = errors.New("nobody is at the other side of the queue, and nobody is expected")

	// ErrClosed is returned by everything on a closed Worker.
	ErrClosed = errors.New("worker is closed")
)

// A RefusedError is the supervisor's answer that it will not do what was asked.
// errors.Is finds its errno: see package control for what each means.
type RefusedError struct {
	Request string // "Register"
	Errno   syscall.Errno
	Reason  string // for a person; may be empty
}

func (e *RefusedError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("supervisor refused %s: %v", e.Request, e.Errno)
	}
	return fmt.Sprintf("supervisor refused %s: %s", e.Request, e.Reason)
}

func (e *RefusedError) Unwrap() error { return e.Errno }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
