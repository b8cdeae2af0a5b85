package shm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

// Words of a Definition.
const (
	FlagShmemAccess        = "shmem_access" // required in every definition
	FlagDatabaseConnection = "backend_database_connection"
	FlagInterruptible      = "interruptible"
	FlagClassParallel      = "class_parallel"

	StartPostmasterStart  = "postmaster_start"
	StartConsistentState  = "consistent_state"
	StartRecoveryFinished = "recovery_finished"
)

// NotifyNobody as NotifyPid asks that nobody is told of start and exit.
const NotifyNobody = -1

// RestartTime is bgw_restart_time. The zero value is not set, and refused:
// there is no silent default.
type RestartTime struct {
	set     bool
	seconds int64
}

// NeverRestart is BGW_NEVER_RESTART.
var NeverRestart = RestartTime{set: true, seconds: -1}

// RestartAfter is an interval in whole seconds; parts of a second count as one,
// and a negative interval is 0.
func RestartAfter(d time.Duration) RestartTime {
	d = max(d, 0)
	seconds := int64(d / time.Second)
	if d%time.Second != 0 {
		seconds++
	}
	return RestartTime{set: true, seconds: seconds}
}

// String is "10s", "never" or "not set".
func (r RestartTime) String() string {
	switch {
	case !r.set:
		return "not set"
	case r.seconds < 0:
		return "never"
	}
	return fmt.Sprintf("%ds", r.seconds)
}

// Definition is a worker to be registered: the fields of PostgreSQL's
// BackgroundWorker, and what the bus has beside them. Empty fields are not
// sent, and the supervisor's default counts. The supervisor checks all of it.
type Definition struct {
	Name         string
	Type         string // default: Name
	Flags        []string
	StartTime    string
	RestartTime  RestartTime
	LibraryName  string   // with FunctionName, or Command
	FunctionName string   //
	Command      []string // absolute path and arguments
	MainArg      uint64
	Extra        []byte // at most MaxExtra bytes
	NotifyPid    int    // 0: this worker; or NotifyNobody
	Database     string
	Role         string
	Environment  []string // NAME=value
	Segment      string
	Server       string        // that the worker follows; default: the only one
	KillSignal   string        // "SIGINT"
	KillTimeout  time.Duration // 0: the supervisor's default; negative: for ever

	StopWithOwner bool // stop it when this worker is gone
}

// pairs is the definition as Register carries it.
func (d *Definition) pairs() ([]control.Pair, error) {
	if !d.RestartTime.set {
		return nil, errors.New("RestartTime is not set: use RestartAfter or NeverRestart")
	}
	p := make([]control.Pair, 0, 8)
	add := func(key string, set bool, value any) {
		if set {
			p = append(p, control.Pair{Key: key, Value: value})
		}
	}
	text := func(key, value string) { add(key, value != "", value) }
	text(control.KeyName, d.Name)
	text(control.KeyType, d.Type)
	add(control.KeyFlags, d.Flags != nil, d.Flags)
	text(control.KeyStartTime, d.StartTime)
	add(control.KeyRestartTime, true, d.RestartTime.seconds)
	text(control.KeyLibraryName, d.LibraryName)
	text(control.KeyFunctionName, d.FunctionName)
	add(control.KeyCommand, d.Command != nil, d.Command)
	add(control.KeyMainArg, d.MainArg != 0, d.MainArg)
	add(control.KeyExtra, len(d.Extra) != 0, d.Extra)
	add(control.KeyNotifyPid, d.NotifyPid != 0, uint64(max(d.NotifyPid, 0)))
	text(control.KeyDatabase, d.Database)
	text(control.KeyRole, d.Role)
	add(control.KeyEnvironment, d.Environment != nil, d.Environment)
	text(control.KeySegment, d.Segment)
	text(control.KeyServer, d.Server)
	text(control.KeyKillSignal, d.KillSignal)
	add(control.KeyKillTimeout, d.KillTimeout != 0, timeoutUSec(d.KillTimeout))
	add(control.KeyStopWithOwner, d.StopWithOwner, uint64(1))
	return p, nil
}

// timeoutUSec is d in microseconds, rounded up; a negative one is for ever.
func timeoutUSec(d time.Duration) uint64 {
	if d < 0 {
		return math.MaxUint64
	}
	us := uint64(d / time.Microsecond)
	if d%time.Microsecond != 0 {
		us++
	}
	return us
}

// A StateChange says that a worker that this process registered changed its
// state. It is a hint: what counts is what Pid and the slot table say.
type StateChange struct {
	Handle     Handle
	Start      uint64
	State      State
	Status     Status
	Pid        int
	ExitCode   int            // -1: none
	ExitSignal syscall.Signal // 0: none
	Reason     string
}

// Changes are the state changes of the workers that this process registered;
// each also sets its latch. The oldest of 256 unread ones is dropped for a new
// one. The channel is never closed. It is nil without a control socket.
func (w *Worker) Changes() <-chan StateChange {
	if w.client == nil {
		return nil
	}
	return w.client.changes
}

var errNoControl = errors.New("this worker has no control socket: PGBGW_FDS names no control")

func (w *Worker) call(ctx context.Context, r control.Record) (reply, error) {
	if w.client == nil {
		return reply{}, errNoControl
	}
	return w.client.call(ctx, r)
}

// plain is call for answers without a descriptor.
func (w *Worker) plain(ctx context.Context, r control.Record) (control.Record, error) {
	a, err := w.call(ctx, r)
	if err == nil {
		closeFd(a.fd)
	}
	return a.record, err
}

// Ready says that this worker has done what it needs to before it is of use,
// with a text of at most 1,024 bytes for the administrator, which may be empty:
// StatusText on the bus. It may be said again to change the text.
func (w *Worker) Ready(ctx context.Context, status string) error {
	if _, err := w.plain(ctx, control.Record{Type: control.Ready, Text: status}); err != nil {
		return fmt.Errorf("cannot report as ready: %w", err)
	}
	return nil
}

// Register is RegisterDynamicBackgroundWorker. A RefusedError says why not: its
// Reason names the field, its errno is EINVAL, EAGAIN (no free slot), EDQUOT,
// ESHUTDOWN or EPERM.
func (w *Worker) Register(ctx context.Context, d Definition) (Handle, error) {
	p, err := d.pairs()
	if err != nil {
		return Handle{}, fmt.Errorf("cannot register worker %q: %w", d.Name, err)
	}
	a, err := w.plain(ctx, control.Record{Type: control.Register, Pairs: p})
	if err != nil {
		return Handle{}, fmt.Errorf("cannot register worker %q: %w", d.Name, err)
	}
	return a.Handle, nil
}

// Pid is GetBackgroundWorkerPid: pid is not 0 only with StatusStarted. A handle
// that names nothing any more is StatusStopped. After the supervisor's death it
// is StatusPostmasterDied, without an error.
func (w *Worker) Pid(ctx context.Context, h Handle) (Status, int, error) {
	return w.status(ctx, control.Record{Type: control.GetPid, Handle: h})
}

// WaitStartup is WaitForBackgroundWorkerStartup: it waits until the supervisor
// has tried, and returns StatusStarted with the pid, StatusStopped, or
// StatusPostmasterDied (BGW-043). When ctx ends it returns ctx's error.
func (w *Worker) WaitStartup(ctx context.Context, h Handle) (Status, int, error) {
	return w.wait(ctx, control.WaitStartup, h, func(s Status) bool { return s == StatusNotYetStarted })
}

// WaitShutdown is WaitForBackgroundWorkerShutdown: StatusStopped or
// StatusPostmasterDied. It returns at the first exit, although the worker may
// be started again.
func (w *Worker) WaitShutdown(ctx context.Context, h Handle) (Status, error) {
	s, _, err := w.wait(ctx, control.WaitShutdown, h, func(s Status) bool { return s == StatusStarted || s == StatusNotYetStarted })
	return s, err
}

// waitStep is how long one wait may last in the supervisor, which answers
// within 20 s anyhow.
const waitStep = 20 * time.Second

// wait repeats a wait as long as the answer is that it is not over.
func (w *Worker) wait(ctx context.Context, t control.Type, h Handle, more func(Status) bool) (Status, int, error) {
	for {
		s, pid, err := w.status(ctx, control.Record{Type: t, Handle: h, TimeoutUSec: timeoutUSec(waitStep)})
		if err != nil || !more(s) {
			return s, pid, err
		}
	}
}

func (w *Worker) status(ctx context.Context, r control.Record) (Status, int, error) {
	a, err := w.plain(ctx, r)
	if errors.Is(err, ErrSupervisorDied) {
		return StatusPostmasterDied, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("cannot ask for worker %d.%d: %w", r.Handle.Slot, r.Handle.Generation, err)
	}
	return Status(a.Status), int(a.Pid), nil
}

// Terminate is TerminateBackgroundWorker: the worker is asked to end and then
// unregistered. A handle that names nothing any more is no error.
func (w *Worker) Terminate(ctx context.Context, h Handle) error {
	if _, err := w.plain(ctx, control.Record{Type: control.Terminate, Handle: h}); err != nil {
		return fmt.Errorf("cannot terminate worker %d.%d: %w", h.Slot, h.Generation, err)
	}
	return nil
}

// PeerLatch asks for the latch of the slot's worker, whoever that is at the
// time of a Set. While this process is attached, setting it costs a system call
// only if its owner sleeps, or is not attached to the same segment. The caller
// closes it.
func (w *Worker) PeerLatch(ctx context.Context, slot uint32) (*PeerLatch, error) {
	a, err := w.call(ctx, control.Record{Type: control.Latch, Slot: slot})
	if err == nil && a.fd < 0 {
		err = errors.New("the supervisor's answer has no descriptor")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get the latch of slot %d: %w", slot, err)
	}
	b := newOtherBell(a.fd)
	if a := w.inside(); a != nil {
		b.where = a.latchWord(slot)
	}
	return &PeerLatch{bell: b}, nil
}
