package daemon

import (
	"context"
	"errors"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// statusPause is how long changes are gathered before the manager is told of
// them: a thousand restarts are one message.
const statusPause = 100 * time.Millisecond

// A heap that has grown by trimWorth changes is given back once nothing has
// changed for trimAfter.
const (
	trimAfter = 500 * time.Millisecond
	trimWorth = 64
)

// healthyTime is how long the daemon has to run for a failure to be a first one.
const healthyTime = 5 * time.Minute

// statusChanged says that the status line is not true any more.
func (d *Daemon) statusChanged() {
	d.changes.Add(1)
	select {
	case d.dirty <- struct{}{}:
	default:
	}
}

// keepStatus tells the manager and the bus of the totals after they have
// changed, until ctx ends. It sleeps while nothing happens.
func (d *Daemon) keepStatus(ctx context.Context) {
	before := d.managerInfo()
	var trimmed uint64
	trim := time.NewTimer(trimAfter)
	trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-trim.C:
			trimmed = d.changes.Load()
			debug.FreeOSMemory()
			continue
		case <-d.dirty:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(statusPause):
		}
		d.sendStatus()
		d.relaxWatching()
		if d.bus != nil {
			after := d.managerInfo()
			d.bus.ManagerChanged(before, after)
			before = after
		}
		if d.changes.Load()-trimmed >= trimWorth {
			trim.Reset(trimAfter)
		}
	}
}

func (d *Daemon) sendStatus() { d.tell(d.notifier.Status(d.statusLine())) }

// tell logs what could not be said to the manager: nothing depends on it.
func (d *Daemon) tell(err error) {
	if err != nil {
		d.log.Debug("the service manager was not told", "error", err)
	}
}

// watchdog tells the manager that the loop answers, as long as it does.
func (d *Daemon) watchdog(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, ok := d.supervisor.Counts(); ok {
				d.tell(d.notifier.Watchdog())
			}
		}
	}
}

// drainNotice is how long the manager is asked to wait at a time while workers
// end that may take longer than the unit's TimeoutStopSec.
const drainNotice = 20 * time.Second

// shutdown begins or upgrades the end.
func (d *Daemon) shutdown(m supervise.Mode) {
	if d.announceStop() {
		d.log.Info("shutting down", "mode", m.String())
		go d.extendStop()
	}
	d.supervisor.Shutdown(m)
	if m != supervise.Smart {
		d.modules.abandon()
	}
	if m == supervise.Smart {
		d.countClients()
	}
}

func (d *Daemon) extendStop() {
	t := time.NewTicker(drainNotice / 2)
	defer t.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-t.C:
			if _, ok := d.supervisor.Counts(); ok { // a loop that hangs gets no respite
				d.tell(d.notifier.ExtendTimeout(drainNotice))
			}
		}
	}
}

// announceReload tells the manager that a reload begins, and reports whether
// there is one to begin: once the end is announced nothing takes it back
// (sd_notify(3), STOPPING=1).
func (d *Daemon) announceReload() bool {
	d.announce.Lock()
	defer d.announce.Unlock()
	d.unready++
	if !d.stopping {
		d.tell(d.notifier.Reloading())
	}
	return !d.stopping
}

// announceReady ends a start or a reload, unless the daemon ends. Without this
// message the manager ends the daemon for not being ready in time, and anybody may
// fill its socket: so it is sent again until it fits.
func (d *Daemon) announceReady() {
	d.announce.Lock()
	of := d.unready
	d.announce.Unlock()
	if d.readySent(of) {
		return
	}
	go func() {
		for !d.readySent(of) { // each waits for a second in the kernel
		}
	}()
}

// readySent sends the message that ends the start or reload of that number, and
// reports whether there is no more to be done: the daemon ends, another reload has
// begun, or it was sent, or never will be.
func (d *Daemon) readySent(of int) bool {
	d.announce.Lock()
	defer d.announce.Unlock()
	if d.stopping || d.unready != of {
		return true
	}
	err := d.notifier.Ready()
	d.tell(err)
	return !errors.Is(err, syscall.EAGAIN)
}

// announceStop tells the manager of the end, and reports whether it was the
// first to do so.
func (d *Daemon) announceStop() (first bool) {
	d.announce.Lock()
	defer d.announce.Unlock()
	if d.stopping {
		return false
	}
	d.stopping = true
	d.tell(d.notifier.Stopping())
	return true
}
