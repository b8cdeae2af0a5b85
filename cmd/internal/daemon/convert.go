package daemon

import (
	"errors"
	"math"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// clock turns times of this process into both clocks of the bus.
type clock struct {
	base time.Time // with the monotonic reading
	mono int64     // CLOCK_MONOTONIC at base, in microseconds
}

func newClock() clock {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return clock{base: time.Now(), mono: ts.Nano() / 1000}
}

func (c clock) stamp(t time.Time) dbusapi.Timestamp {
	if t.IsZero() {
		return dbusapi.Timestamp{}
	}
	return dbusapi.Timestamp{Realtime: uint64(t.UnixMicro()), Monotonic: uint64(c.mono + t.Sub(c.base).Microseconds())}
}

// workerInfo is a registration as the bus shows it.
func (d *Daemon) workerInfo(i supervise.Info) dbusapi.WorkerInfo {
	w := dbusapi.WorkerInfo{
		Handle: dbusapi.Handle(i.Handle), Dynamic: i.Dynamic,
		State: i.State.String(), Status: dbusapi.Status(i.Status.String()), Reason: i.Reason,
		Held: i.State == units.Held, Owner: i.Owner.Bus,
		MainPID: uint32(i.Pid), StartNumber: i.Start, Restarts: i.Restarts,
		Changed: d.clock.stamp(i.Since), NextStart: d.clock.stamp(i.NextStart).Realtime,
		ExitOOM: i.Exit.OOM, Attached: i.Attached, StatusText: i.ReadyText, WaitsFor: d.waitsFor(i),
	}
	w.ExitCode, w.ExitSignal = exitNumbers(i.Exit)
	if i.Owner.Kind == supervise.WorkerOwner {
		w.Owner = i.Owner.Run.Handle.String()
	}
	if i.Worker != nil {
		w.Label = i.Worker.Label
		if w.Label == "" {
			w.Label = i.Worker.Name
		}
		w.User, w.Attach, w.Template = i.Worker.User, i.Worker.Attach.String(), i.Worker.Template
		w.Definition = definitionOf(i.Worker, i.Owner)
	}
	return w
}

// exitNumbers are an exit as the wire formats have it: code -1 with a signal,
// signal 0 without.
func exitNumbers(x units.Exit) (code, sig int32) {
	if x.At.IsZero() {
		return -1, 0
	}
	if x.Signal != 0 {
		return -1, int32(x.Signal)
	}
	return int32(x.Code), 0
}

func microseconds(t time.Duration) uint64 {
	if t == units.Infinity {
		return math.MaxUint64
	}
	return uint64(t.Microseconds())
}

// slotEntry is a registration as workers see it in the slot table.
func slotEntry(i supervise.Info) shm.Entry {
	e := shm.Entry{
		Generation: i.Handle.Generation, Start: i.Start, Pid: int32(i.Pid),
		State: slotStates[i.State], Status: shm.Status(i.Status), Restarts: i.Restarts,
		Changed: i.Since, NextStart: i.NextStart,
		Name: i.Worker.Name, Type: i.Worker.Type, Segment: i.Worker.Segment,
	}
	e.ExitCode, e.ExitSignal = exitNumbers(i.Exit)
	if i.Status == units.StatusNotYetStarted {
		e.Pid = -1
	}
	if i.Attached {
		e.Flags |= shm.EntryAttached
	}
	if i.Dynamic {
		e.Flags |= shm.EntryDynamic
	}
	return e
}

var slotStates = [...]shm.State{
	units.Waiting: shm.StateWaiting, units.Starting: shm.StateStarting, units.Running: shm.StateRunning,
	units.Stopping: shm.StateStopping, units.Restarting: shm.StateRestarting, units.Held: shm.StateHeld,
	units.Ended: shm.StateEnded,
}

// stateEvent is a change as a worker that owns the registration is told of it.
func stateEvent(i supervise.Info) control.Record {
	r := control.Record{
		Type: control.WorkerStateChanged, Handle: control.Handle(i.Handle), Start: i.Start,
		State: uint32(slotStates[i.State]), Status: uint32(i.Status), Pid: int32(i.Pid), Text: i.Reason,
	}
	r.ExitCode, r.ExitSignal = exitNumbers(i.Exit)
	return r
}

// errnoOf is a refusal as the control socket answers it.
func errnoOf(err error) syscall.Errno {
	for _, c := range refusals {
		if errors.Is(err, c.err) {
			return c.errno
		}
	}
	return syscall.EINVAL
}
