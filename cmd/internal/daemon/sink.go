package daemon

import (
	"log/slog"
	"syscall"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// show writes what others read, before any of them is told or answered: whoever
// is reads the new state (BGW-044).
func (d *Daemon) show(i supervise.Info) { d.slots.Set(i.Handle.Slot, slotEntry(i)) }

// Publish implements supervise.Sink.
func (d *Daemon) Publish(c supervise.Change) {
	if c.Kind == supervise.Renewed {
		d.dynamics.renewed(c.Segment, c.Incarnation)
		d.modules.renewed(c.Segment, c.Incarnation)
	}
	if c.Kind == supervise.Retired {
		d.retired(c.Segment, c.Incarnation)
	}
	switch c.Kind {
	case supervise.Renewed, supervise.Crashed, supervise.Skipped, supervise.Retired:
		d.logChange(c)
		return
	}
	d.census.change(c.Before, c.Info)
	d.publishBus(c)
	d.suspect(c)
	d.notify(c)
	d.logChange(c)
	d.statusChanged()
}

// retired gives up everything of a segment before that incarnation.
func (d *Daemon) retired(segment string, incarnation uint64) {
	d.dynamics.renewed(segment, incarnation)
	d.modules.retired(segment, incarnation)
	if d.segments.retire(segment, incarnation) {
		d.log.Log(d.ctx, journal.LevelNotice, "segment removed", "segment", segment)
	}
}

func (d *Daemon) publishBus(c supervise.Change) {
	if d.bus == nil {
		return
	}
	after := d.workerInfo(c.Info)
	if c.Kind == supervise.Registered {
		d.bus.Added(after)
		return
	}
	d.bus.Changed(d.workerInfo(c.Before), after)
	if c.Kind == supervise.Unregistered {
		d.bus.Removed(after.Handle)
	}
}

// notify tells the owner. It is a hint: truth is what the owner then reads.
func (d *Daemon) notify(c supervise.Change) {
	switch o := c.Notify; o.Kind {
	case supervise.BusOwner:
		if d.bus != nil {
			d.bus.NotifyOwner(o.Bus, dbusapi.ChangeOf(d.workerInfo(c.Info)))
		}
		if o.Signal {
			d.owners.signal(o.Bus)
		}
	case supervise.WorkerOwner:
		d.control.tell(o.Run, stateEvent(c.Info))
		d.segments.wake(o.Run.Slot)
		if o.Signal {
			_ = d.supervisor.SignalRun(o.Run, units.SIGUSR1) // BGW-048: never its successor
		}
	}
}

// logChange writes one line for what an administrator wants to know.
func (d *Daemon) logChange(c supervise.Change) {
	i := c.Info
	switch c.Kind {
	case supervise.Started:
		d.worker(i, journal.LevelNotice, journal.WorkerStarted, "worker started")
	case supervise.StartFailed:
		d.worker(i, slog.LevelWarn, journal.WorkerStartFailed, "worker could not be started")
	case supervise.Exited:
		d.logExit(c)
	case supervise.Updated:
		if i.State == units.Held && c.Before.State != units.Held { // with a process, its exit says so
			d.log.LogAttrs(d.ctx, journal.LevelNotice, "worker held", workerAttrs(i)...)
		}
	case supervise.Unregistered:
		level := journal.LevelNotice
		if c.Before.State == units.Ended { // its exit was logged
			level = slog.LevelDebug
		}
		if d.log.Enabled(d.ctx, level) {
			d.log.LogAttrs(d.ctx, level, "worker unregistered", workerAttrs(i)...)
		}
	case supervise.Crashed:
		d.logCrash(c)
	case supervise.Renewed:
		d.log.Log(d.ctx, slog.LevelWarn, "segment renewed", journal.Event(journal.SegmentReset), slog.String("segment", c.Segment),
			slog.Uint64("incarnation", c.Incarnation))
	case supervise.Skipped: // BGW-022
		d.log.Error("worker skipped: "+i.Reason, "worker", i.Worker.Label)
	}
}

// logCrash says why a segment's workers are ended: one of them, or their server.
func (d *Daemon) logCrash(c supervise.Change) {
	if c.Server != "" {
		d.log.Warn("a server crashed: every attached worker of the segment is ended", "server", c.Server, "segment", c.Segment)
		return
	}
	d.log.LogAttrs(d.ctx, slog.LevelWarn, "a worker ended while it was attached: every other attached worker of its segment is ended",
		append(workerAttrs(c.Info), slog.String("segment", c.Segment))...)
}

// logExit follows PostgreSQL: exit code 0 only at debug level (BGW-116).
func (d *Daemon) logExit(c supervise.Change) {
	i := c.Info
	switch asked := c.Before.State == units.Stopping; {
	case i.Exit.Code == 0 && i.Exit.Signal == 0:
		d.worker(i, slog.LevelDebug, journal.WorkerExited, "worker "+i.Exit.String())
	case i.Exit.Abnormal() && !asked, i.Exit.Signal == syscall.SIGKILL:
		d.worker(i, slog.LevelWarn, journal.WorkerCrashed, "worker "+i.Exit.String())
	default:
		d.worker(i, journal.LevelNotice, journal.WorkerExited, "worker "+i.Exit.String())
	}
}

func (d *Daemon) worker(i supervise.Info, l slog.Level, id journal.MessageID, text string) {
	if d.log.Enabled(d.ctx, l) {
		d.log.LogAttrs(d.ctx, l, text, append(workerAttrs(i), journal.Event(id))...)
	}
}

// workerAttrs has room for one more.
func workerAttrs(i supervise.Info) []slog.Attr {
	label := i.Worker.Label
	if label == "" {
		label = i.Worker.Name
	}
	attrs := append(make([]slog.Attr, 0, 12),
		journal.Worker(label), journal.Type(i.Worker.Type), journal.Slot(i.Handle.Slot), journal.Generation(i.Handle.Generation),
		journal.StartNumber(i.Start), journal.State(i.State.String()),
	)
	pid := i.Pid
	if pid == 0 && !i.Exit.At.IsZero() {
		pid = i.Exit.Pid
		attrs = append(attrs, journal.ExitCode(i.Exit.Code), journal.ExitSignal(int(i.Exit.Signal)))
		if i.Exit.OOM {
			attrs = append(attrs, journal.ExitOOM())
		}
	}
	if pid != 0 {
		attrs = append(attrs, journal.PID(pid))
	}
	if i.Reason != "" {
		attrs = append(attrs, journal.Reason(i.Reason))
	}
	return attrs
}
