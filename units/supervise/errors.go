package supervise

import (
	"errors"
	"fmt"

	"github.com/pg-bgw/pg-bgw/units"
)

// The refusals that callers decide on. Each names its reason, where PostgreSQL
// returns a bare false (BGW-024).
var (
	ErrNoFreeSlot     = errors.New("no free slot: max_worker_processes workers are registered")
	ErrParallelLimit  = errors.New("max_parallel_workers parallel workers are registered")
	ErrShuttingDown   = errors.New("the supervisor is shutting down")
	ErrNoSuchWorker   = errors.New("no such worker")
	ErrNotRunning     = errors.New("the worker is not running")
	ErrTerminating    = errors.New("the worker is being terminated: wait until it has ended")
	ErrDynamicEnded   = errors.New("a dynamic worker that has ended cannot be started: register it again")
	ErrSegmentRenewed = errors.New("the segment has been renewed after a crash")
	ErrNoSegment      = errors.New("the worker has no segment: its definition says attach = \"never\"")
	ErrUnknownSegment = errors.New("no segment of that name is configured")
	ErrOwnerGone      = errors.New("the process that the worker would be stopped with is gone")
	ErrCrashed        = errors.New("a worker crashed and restart_after_crash is off")
)

// NotStartable says why an ended registration is not started again: its
// definition has a later one.
type NotStartable struct {
	Handle units.Handle
	State  units.State
}

func (e *NotStartable) Error() string {
	return fmt.Sprintf("worker %s is %s already", e.Handle, e.State)
}
