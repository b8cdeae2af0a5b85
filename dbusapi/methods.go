package dbusapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// methods has the code of every method in the XML, by interface and member.
var methods map[string]func(*request) ([]any, error)

func init() {
	methods = map[string]func(*request) ([]any, error){
		ManagerInterface + ".RegisterDynamicBackgroundWorker":       (*request).registerWorker,
		ManagerInterface + ".RegisterDynamicBackgroundWorkers":      (*request).registerWorkers,
		ManagerInterface + ".Instantiate":                           (*request).instantiate,
		ManagerInterface + ".GetBackgroundWorkerPid":                (*request).getPid,
		ManagerInterface + ".WaitForBackgroundWorkerStartup":        (*request).waitStartup,
		ManagerInterface + ".WaitForBackgroundWorkerShutdown":       (*request).waitShutdown,
		ManagerInterface + ".TerminateBackgroundWorker":             (*request).terminateWorker,
		ManagerInterface + ".TerminateBackgroundWorkersForDatabase": (*request).terminateForDatabase,
		ManagerInterface + ".ListWorkers":                           (*request).listWorkers,
		ManagerInterface + ".ListSharedMemory":                      (*request).listSharedMemory,
		ManagerInterface + ".ListServers":                           (*request).listServers,
		ManagerInterface + ".GetWorker":                             (*request).getWorker,
		ManagerInterface + ".Subscribe":                             (*request).subscribe,
		ManagerInterface + ".Unsubscribe":                           (*request).unsubscribe,
		ManagerInterface + ".Reload":                                (*request).reload,
		ManagerInterface + ".Dump":                                  (*request).dump,
		ManagerInterface + ".Shutdown":                              (*request).shutdown,

		WorkerInterface + ".Stop":      (*request).stop,
		WorkerInterface + ".Start":     (*request).start,
		WorkerInterface + ".Restart":   (*request).restart,
		WorkerInterface + ".Terminate": (*request).terminate,
		WorkerInterface + ".Signal":    (*request).signal,

		peerInterface + ".Ping":                       (*request).ping,
		peerInterface + ".GetMachineId":               (*request).machineID,
		introspectInterface + ".Introspect":           (*request).introspect,
		propertiesInterface + ".Get":                  (*request).get,
		propertiesInterface + ".GetAll":               (*request).getAll,
		propertiesInterface + ".Set":                  (*request).set,
		objectManagerInterface + ".GetManagedObjects": (*request).managedObjects,
	}
	for _, i := range interfaces {
		for name, m := range i.methods {
			m.run = methods[i.name+"."+name]
			i.methods[name] = m
		}
	}
}

func (r *request) getPid() ([]any, error) {
	h, err := r.handleArg()
	if err != nil {
		return nil, err
	}
	w, err := r.current(h)
	if err != nil {
		return nil, err
	}
	return []any{string(w.Status), w.MainPID}, nil
}

// current returns the worker, or one that is stopped for a handle that matches nothing (BGW-032).
func (r *request) current(h Handle) (WorkerInfo, error) {
	w, err := r.server.backend.Worker(r, r.caller, h)
	if isStale(err) {
		return WorkerInfo{Handle: h, Status: StatusStopped}, nil
	}
	if w.Status != StatusStarted {
		w.MainPID = 0
	}
	return w, err
}

// isStale reports whether err says that a handle matches nothing.
func isStale(err error) bool {
	return IsError(err, ErrorStaleHandle) || IsError(err, ErrorNoSuchWorker)
}

func (r *request) waitStartup() ([]any, error) {
	status, pid := StatusNotYetStarted, uint32(0)
	err := r.wait(func(w *wait, base WorkerInfo) bool {
		if base.Status != StatusNotYetStarted {
			status, pid = base.Status, base.MainPID
			return true
		}
		s, p, ok := r.server.waits.startTried(w)
		if ok {
			status, pid = s, p
		}
		return ok
	})
	return []any{string(status), pid}, err
}

func (r *request) waitShutdown() ([]any, error) {
	var status Status
	err := r.wait(func(w *wait, base WorkerInfo) bool {
		if status = base.Status; status == StatusStopped {
			return true
		}
		if r.server.waits.ended(w, base) {
			status = StatusStopped
			return true
		}
		return false
	})
	if err == nil && status == StatusNotYetStarted {
		h, _ := ParseHandle(r.args[0].(dbus.ObjectPath)) // it may have started meanwhile
		var now WorkerInfo
		if now, err = r.current(h); err == nil {
			status = now.Status
		}
	}
	return []any{string(status)}, err
}

// wait calls done with the worker as it was at first, now and after each transition, until it returns true or the
// timeout is over: the argument timeout_usec, 20 s at most.
func (r *request) wait(done func(*wait, WorkerInfo) bool) error {
	h, err := r.handleArg()
	if err != nil {
		return err
	}
	if err := r.session.beginWait(r.peer); err != nil {
		return err
	}
	defer r.session.endWait(r.peer)
	w := r.server.waits.begin(h)
	defer r.server.waits.end(h, w)
	base, err := r.current(h)
	if err != nil {
		return err
	}
	timer := time.NewTimer(waitTime(r.args[1].(uint64)))
	defer timer.Stop()
	for !done(w, base) {
		select {
		case <-w.news:
		case <-timer.C:
			return nil
		case <-r.Done():
			return context.Cause(r)
		}
	}
	return nil
}

// waitTime returns the timeout of a wait from its argument in µs.
func waitTime(usec uint64) time.Duration {
	return time.Duration(min(usec, uint64(maxWait/time.Microsecond))) * time.Microsecond
}

func (r *request) terminateWorker() ([]any, error) {
	h, err := r.handleArg()
	if err != nil {
		return nil, err
	}
	return r.terminateHandle(h)
}

func (r *request) terminateHandle(h Handle) ([]any, error) {
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	if err := r.server.backend.Terminate(r, r.caller, h); !isStale(err) {
		return nil, err
	}
	return nil, nil
}

func (r *request) terminateForDatabase() ([]any, error) {
	server, database := r.args[0].(string), r.args[1].(string)
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	for _, a := range []struct{ name, text string }{{"server", server}, {"database", database}} {
		if len(a.text) > maxText {
			return nil, Errorf(ErrorInvalidArgs, "%s: %d bytes are too long, at most %d", a.name, len(a.text), maxText)
		}
	}
	if database == "" {
		return nil, Errorf(ErrorInvalidArgs, "database: the name of a database is missing")
	}
	terminated, remaining, err := r.server.backend.TerminateForDatabase(r, r.caller, server, database)
	return []any{paths(terminated), paths(remaining)}, err
}

func paths(handles []Handle) []dbus.ObjectPath {
	out := make([]dbus.ObjectPath, len(handles))
	for i, h := range handles {
		out[i] = h.Path()
	}
	return out
}

func (r *request) listWorkers() ([]any, error) {
	workers, err := r.workers()
	if err != nil {
		return nil, err
	}
	rows := make([]listRow, len(workers))
	for i, w := range workers {
		rows[i] = listRow{
			Handle: w.Handle.Path(), Label: clean(w.Label, maxName), Name: clean(w.Definition.Name, maxName),
			Type: clean(w.Definition.Type, maxName), State: clean(w.State, maxName), PID: w.MainPID,
			Segment: clean(w.Definition.Segment, maxName), Since: w.Changed.Realtime,
		}
	}
	return []any{rows}, nil
}

// maxName bounds a name in ListWorkers, in bytes: 16,384 rows stay below a system bus's 32 MiB.
const maxName = 255

// registered returns the workers that are objects, in the order of their handles: those that have not ended.
func (r *request) registered() ([]WorkerInfo, error) {
	workers, err := r.workers()
	return slices.DeleteFunc(workers, func(w WorkerInfo) bool { return w.State == stateEnded }), err
}

// stateEnded is the state of a worker that is not registered any more and only still readable.
const stateEnded = "ended"

// workers returns all workers, ended ones too, in the order of their handles.
func (r *request) workers() ([]WorkerInfo, error) {
	workers, err := r.server.backend.Workers(r, r.caller)
	slices.SortFunc(workers, func(a, b WorkerInfo) int { return a.Handle.compare(b.Handle) })
	return workers, err
}

func (r *request) getWorker() ([]any, error) {
	label := r.args[0].(string)
	workers, err := r.server.backend.Labelled(r, r.caller, label)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, w := range workers {
		found = append(found, string(w.Handle.Path()))
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return nil, Errorf(ErrorNoSuchWorker, "no worker has the label %q", bounded(label, maxName))
	case 1:
		return []any{dbus.ObjectPath(found[0])}, nil
	}
	return nil, Errorf(ErrorAmbiguousLabel, "%d workers have the label %q, name one by its handle: %s",
		len(found), bounded(label, maxName), strings.Join(found, ", "))
}

func (r *request) subscribe() ([]any, error) {
	r.session.subscribe(r.peer, true)
	return nil, nil
}

func (r *request) unsubscribe() ([]any, error) {
	r.session.subscribe(r.peer, false)
	return nil, nil
}

func (r *request) reload() ([]any, error) { return nil, r.server.backend.Reload(r, r.caller) }

func (r *request) dump() ([]any, error) {
	text, err := r.server.backend.Dump(r, r.caller)
	return []any{clean(text, maxDump)}, err
}

func (r *request) shutdown() ([]any, error) {
	mode := ShutdownMode(r.args[0].(string))
	switch mode {
	case ShutdownSmart, ShutdownFast, ShutdownImmediate:
	default:
		return nil, Errorf(ErrorInvalidArgs, "mode: %q is none of \"smart\", \"fast\" and \"immediate\"", bounded(string(mode), maxName))
	}
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	return nil, r.server.backend.Shutdown(r, r.caller, mode)
}

// handleArg returns the handle that is the first argument.
func (r *request) handleArg() (Handle, error) { return ParseHandle(r.args[0].(dbus.ObjectPath)) }

// noFlags refuses every bit of a flags argument, the last, that means nothing yet.
func (r *request) noFlags() error {
	if flags := r.args[len(r.args)-1].(uint64); flags != 0 {
		return Errorf(ErrorInvalidArgs, "flags: %#x has unknown bits; expected 0", flags)
	}
	return nil
}
