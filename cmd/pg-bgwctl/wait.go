package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

// waitFlag is --wait[=TIMEOUT] of the verbs that change a worker.
type waitFlag struct {
	text    string
	timeout time.Duration // 0: do not wait
}

func (f *waitFlag) register(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.text, "wait", "", "wait until "+what+`, or at most a time such as "30s"`)
	cmd.Flags().Lookup("wait").NoOptDefVal = "infinity"
	cmd.Flags().Lookup("wait").DefValue = "do not wait"
}

// parse reads the flag, where the verb has it; --wait alone waits without a limit.
func (f *waitFlag) parse(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("wait") {
		return nil
	}
	d, err := units.ParseDuration(f.text)
	if err != nil {
		return &failure{code: codeUsage, text: "--wait: " + err.Error(), hint: "write --wait or --wait=30s"}
	}
	f.timeout = max(d, 1)
	return nil
}

// outcome judges a worker that is waited for: done, or why it will not be done any more. It is asked again after each
// change and keeps nothing but what it was made with.
type outcome func(w *workerInfo) (done bool, err error)

// target is one worker that is waited for.
type target struct {
	handle  dbusapi.Handle
	name    string // for messages, safe
	reached outcome
	gone    error // what it means that the worker's object is no more; nil: done
	last    *workerInfo
}

// watch is a subscription to the daemon's events, taken before the change whose outcome it waits for, so that none is
// missed.
type watch struct {
	bus     *bus
	events  <-chan dbusapi.Event
	ctx     context.Context
	cancel  context.CancelFunc
	timeout time.Duration
}

// watch subscribes; nil if the flag is not given. Its owner calls close.
func (b *bus) watch(f *waitFlag, doing string) (*watch, error) {
	if f.timeout == 0 {
		return nil, nil
	}
	w := &watch{bus: b, timeout: f.timeout}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	slow := time.AfterFunc(callTimeout, w.cancel)
	defer slow.Stop()
	var err error
	if w.events, err = b.Events(w.ctx, true); err != nil {
		if w.ctx.Err() != nil {
			err = context.DeadlineExceeded
		}
		w.cancel()
		return nil, explain(err, doing)
	}
	return w, nil
}

// close ends the subscription; of a nil watch it does nothing.
func (w *watch) close() {
	if w != nil {
		w.cancel()
	}
}

// await waits until each target is reached or cannot be any more, and no longer than the timeout after a first look at all
// of them. The errors are in the order of the targets, nil for those that were reached.
func (w *watch) await(targets []*target) []error {
	errs := make([]error, len(targets))
	open := map[int]bool{}
	for i := range targets {
		open[i] = true
	}
	ctx := w.ctx
	look := func(touched func(dbusapi.Handle) bool) {
		for i, t := range targets {
			if open[i] && touched(t.handle) {
				var done bool
				done, errs[i] = w.look(ctx, t)
				open[i] = !done && errs[i] == nil
			}
		}
	}
	fail := func(err func(*target) error) {
		for i, t := range targets {
			if open[i] {
				errs[i] = err(t)
			}
		}
		clear(open)
	}
	all := func(dbusapi.Handle) bool { return true }
	look(all)
	if w.timeout != units.Infinity {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(w.ctx, w.timeout)
		defer cancel()
	}
	for anyOpen(open) {
		select {
		case <-ctx.Done():
			fail(w.late)
		case e, ok := <-w.events:
			switch {
			case ctx.Err() != nil:
				fail(w.late)
			case !ok:
				fail(lostBus)
			case e.Kind == dbusapi.EventDaemonGone, e.Kind == dbusapi.EventDaemonBack:
				fail(lostDaemon)
			case e.Kind == dbusapi.EventMissed:
				look(all)
			default:
				look(func(h dbusapi.Handle) bool { return h == e.Handle })
			}
		}
	}
	return errs
}

func anyOpen(open map[int]bool) bool {
	for _, is := range open {
		if is {
			return true
		}
	}
	return false
}

// look reads a target's worker and judges it.
func (w *watch) look(ctx context.Context, t *target) (done bool, err error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := w.bus.Worker(limited, t.handle)
	switch {
	case isGone(err):
		return t.gone == nil, t.gone
	case ctx.Err() != nil:
		return false, w.late(t)
	case left(err):
		return false, lostDaemon(t)
	case err != nil:
		return false, explain(err, "wait for worker "+t.name)
	}
	t.last = &info
	return t.reached(&info)
}

func isGone(err error) bool {
	e, ok := errors.AsType[*dbusapi.Error](err)
	return ok && slices.Contains([]string{dbusapi.ErrorUnknownObject, dbusapi.ErrorNoSuchWorker, dbusapi.ErrorStaleHandle}, e.Name)
}

func (w *watch) late(t *target) error {
	text := fmt.Sprintf("worker %s: waited %v in vain", t.name, w.timeout)
	if t.last != nil {
		text += ": it is " + safe(t.last.State) + reasonText(t.last)
	}
	return &failure{code: codeFailed, text: text, hint: "it goes on without you; look again: pg-bgwctl status " + handleText(t.handle)}
}

func lostDaemon(t *target) error {
	return &failure{code: codeFailed, text: fmt.Sprintf("worker %s: the pg-bgw service ended", t.name),
		hint: "see why: systemctl status pg-bgw; journalctl -u pg-bgw"}
}

func lostBus(t *target) error {
	return &failure{code: codeFailed, text: fmt.Sprintf("worker %s: the bus was lost", t.name),
		hint: "see: systemctl status dbus; then pg-bgwctl status " + handleText(t.handle)}
}

func reasonText(w *workerInfo) string {
	if w.Reason == "" {
		return ""
	}
	return " (" + safe(w.Reason) + ")"
}

// started is the outcome of a start: a process after number base runs, or it ended with 0. While the worker has not got
// that far it is waited for, unless somebody holds it or ends it after its process was tried.
func started(base uint64) outcome {
	return func(w *workerInfo) (bool, error) {
		tried := w.StartNumber > base
		switch w.State {
		case units.Running.String():
			return tried, nil
		case units.Starting.String(), units.Stopping.String():
			return false, nil
		case units.Ended.String():
			if tried && w.ExitCode == 0 && w.ExitSignal == 0 {
				return true, nil
			}
		default:
			if !tried {
				return false, nil
			}
		}
		text := fmt.Sprintf("worker %s did not stay: it is %s%s", safe(title(w)), safe(w.State), reasonText(w))
		if exit := exitText(w); tried && exit != "" {
			text += "; its process " + exit
		}
		return false, &failure{code: codeFailed, text: text, hint: "see what it wrote: " + logsCommand(w)}
	}
}

// stopped is the outcome of a stop: held or ended, and no process.
func stopped(w *workerInfo) (bool, error) {
	return w.MainPID == 0 && (w.State == units.Held.String() || hasEnded(w)), nil
}

// unregistered is the outcome of a termination.
func unregistered(w *workerInfo) (bool, error) { return hasEnded(w), nil }
