package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/policy"
)

// patience bounds every wait of these tests: nothing is expected to take a noticeable part of it.
const patience = 2 * time.Minute

// fixture is one worker of a script's JSON file: dbusapi.WorkerInfo, and times relative to now in seconds.
type fixture struct {
	dbusapi.WorkerInfo
	Age    int64
	NextIn int64
}

// daemon is a dbusapi.Backend that behaves as a daemon does whose processes are of paper. Workers labelled "stuck"
// never get where they are told; those labelled "dies" exit with 3 as they start.
type daemon struct {
	uid    uint32 // whom callers are taken for; root, unless a script says otherwise
	self   uint32
	server *dbusapi.Server

	mu      sync.Mutex
	changed *sync.Cond // calls has grown
	calls   []string   // every method that was asked for; changes with their arguments after a space
	taken   int
	workers map[handle]workerInfo
	next    uint64 // generation
	manager dbusapi.ManagerInfo
	servers []serverInfo
}

// newDaemon reads a fixture; it panics on a bad one.
func newDaemon(text string) *daemon {
	var fs []fixture
	if err := json.Unmarshal([]byte(text), &fs); err != nil {
		panic(err)
	}
	d := &daemon{self: 117, workers: map[handle]workerInfo{}, next: 100}
	d.changed = sync.NewCond(&d.mu)
	now := time.Now()
	d.manager = dbusapi.ManagerInfo{Version: "9.9", MaxWorkerProcesses: 128, Workers: uint32(len(fs)), Standalone: true,
		Started: dbusapi.Timestamp{Realtime: uint64(now.Add(-90 * time.Second).UnixMicro())}, ConfigurationState: "ok"}
	for _, f := range fs {
		w := f.WorkerInfo
		if f.Age != 0 {
			w.Changed.Realtime = uint64(now.Add(-time.Duration(f.Age) * time.Second).UnixMicro())
		}
		if f.NextIn != 0 {
			w.NextStart = uint64(now.Add(time.Duration(f.NextIn) * time.Second).UnixMicro())
		}
		d.workers[w.Handle] = w
	}
	return d
}

func (d *daemon) start(address string) error {
	d.server = dbusapi.NewServer(d, dbusapi.Options{Address: address})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for { // the broker may not have seen yet that the daemon before has gone
		if err := d.server.Start(ctx); !errors.Is(err, dbusapi.ErrNameOwned) || ctx.Err() != nil {
			return err
		}
	}
}

func (d *daemon) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d.server.Close(ctx)
}

func (d *daemon) note(call string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
	d.changed.Broadcast()
}

// await returns when method is among the calls after the first n, with the number of calls up to it.
func (d *daemon) await(method string, n int) (int, error) {
	begun := time.Now()
	late := time.AfterFunc(patience, d.changed.Broadcast)
	defer late.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for i := n; i < len(d.calls); i++ {
			if name, _, _ := strings.Cut(d.calls[i], " "); name == method {
				return i + 1, nil
			}
		}
		if time.Since(begun) >= patience {
			return n, fmt.Errorf("nobody asked for %s", method)
		}
		d.changed.Wait()
	}
}

// takeCalls returns the changes asked for since the last time, one in a line.
func (d *daemon) takeCalls() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, c := range d.calls[d.taken:] {
		if strings.Contains(c, " ") {
			b.WriteString(c + "\n")
		}
	}
	d.taken = len(d.calls)
	return b.String()
}

// decide asks the policy as the real daemon does.
func (d *daemon) decide(action policy.Action) error {
	if err := policy.Decide(policy.Caller{UID: d.uid}, action, d.self); err != nil {
		return &dbusapi.Error{Name: dbusapi.ErrorAccessDenied, Message: err.Error()}
	}
	return nil
}

// step changes a worker and publishes it.
func (d *daemon) step(h handle, edit func(*workerInfo)) {
	d.mu.Lock()
	before := d.workers[h]
	after := before
	edit(&after)
	if after.State != before.State {
		after.Changed.Realtime = uint64(time.Now().UnixMicro())
	}
	d.workers[h] = after
	d.mu.Unlock()
	d.server.Changed(before, after)
}

// run starts the process of a worker.
func (d *daemon) run(h handle) {
	stuck, dies := false, false
	d.step(h, func(w *workerInfo) {
		stuck, dies = w.Label == "stuck", w.Label == "dies"
		w.Held, w.Reason = false, ""
		w.State, w.Status = "waiting", dbusapi.StatusNotYetStarted
	})
	if stuck {
		return
	}
	d.step(h, func(w *workerInfo) { w.State, w.StartNumber = "starting", w.StartNumber+1 })
	d.step(h, func(w *workerInfo) {
		w.State, w.Status, w.MainPID = "running", dbusapi.StatusStarted, 4000+uint32(w.StartNumber)
	})
	if dies {
		d.step(h, func(w *workerInfo) {
			w.State, w.Status, w.MainPID, w.ExitCode, w.Reason = "restarting", dbusapi.StatusStopped, 0, 3, "crashed"
		})
	}
}

// halt ends the process of a worker and leaves it in state.
func (d *daemon) halt(h handle, state, reason string) {
	stuck := false
	d.step(h, func(w *workerInfo) { w.State, stuck = "stopping", w.Label == "stuck" })
	if stuck {
		return
	}
	d.step(h, func(w *workerInfo) {
		w.State, w.Status, w.MainPID, w.ExitCode, w.ExitSignal, w.Reason = state, dbusapi.StatusStopped, 0, -1, 15, reason
		w.Held = state == "held"
	})
}

// set is a change that nobody asked for.
func (d *daemon) set(label, state string) error {
	d.mu.Lock()
	var found *handle
	for h, w := range d.workers {
		if w.Label == label {
			found = &h
		}
	}
	d.mu.Unlock()
	if found == nil {
		return fmt.Errorf("no worker %q", label)
	}
	switch state {
	case "running":
		d.run(*found)
	default:
		d.halt(*found, state, "by itself")
	}
	return nil
}

func (d *daemon) Register(ctx context.Context, c dbusapi.Caller, def dbusapi.Definition, _ dbusapi.RegisterFlags) (handle, error) {
	if err := d.decide(policy.Register); err != nil {
		return handle{}, err
	}
	wire, _ := json.Marshal(dbusapi.EncodeDefinition(def))
	d.note("Register " + string(wire) + " " + def.Set.String())
	return d.add(def, "", def.Name, true), nil
}

func (d *daemon) RegisterAll(ctx context.Context, c dbusapi.Caller, defs []dbusapi.Definition, flags dbusapi.RegisterFlags) ([]dbusapi.Registration, error) {
	answers := make([]dbusapi.Registration, len(defs))
	for i, def := range defs {
		answers[i].Handle, answers[i].Err = d.Register(ctx, c, def, flags)
	}
	return answers, nil
}

func (d *daemon) Instantiate(_ context.Context, c dbusapi.Caller, template, argument string, over dbusapi.Definition, _ dbusapi.RegisterFlags) (handle, error) {
	if err := d.decide(policy.Instantiate); err != nil {
		return handle{}, err
	}
	if template == "missing" {
		return handle{}, dbusapi.Errorf(dbusapi.ErrorNoSuchTemplate, "there is no template %q", template)
	}
	d.note(fmt.Sprintf("Instantiate %s %q %s", template, argument, over.Set))
	over.Name = template + "@" + argument
	return d.add(over, template, over.Name, true), nil
}

func (d *daemon) add(def dbusapi.Definition, template, label string, dynamic bool) handle {
	d.mu.Lock()
	d.next++
	h := handle{Slot: uint32(d.next % 128), Generation: d.next}
	w := workerInfo{Handle: h, Label: label, Template: template, Definition: def, Dynamic: dynamic, State: "waiting",
		Status: dbusapi.StatusNotYetStarted, ExitCode: -1}
	d.workers[h] = w
	d.mu.Unlock()
	d.server.Added(w)
	d.run(h)
	return h
}

func (d *daemon) find(h handle) (workerInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, ok := d.workers[h]
	if !ok {
		return w, dbusapi.Errorf(dbusapi.ErrorNoSuchWorker, "no worker has the handle %s", h)
	}
	return w, nil
}

func (d *daemon) Worker(_ context.Context, _ dbusapi.Caller, h handle) (workerInfo, error) {
	d.note("Worker")
	return d.find(h)
}

func (d *daemon) Workers(context.Context, dbusapi.Caller) ([]workerInfo, error) {
	d.note("Workers")
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []workerInfo
	for _, w := range d.workers {
		if w.Label != "unlisted" {
			all = append(all, w)
		}
	}
	return all, nil
}

// Labelled returns the workers of one label, unlisted ones included.
func (d *daemon) Labelled(_ context.Context, _ dbusapi.Caller, label string) ([]workerInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return workers(mapped(d.workers)).where(func(w *workerInfo) bool { return w.Label == label }), nil
}

func (d *daemon) Manager(context.Context, dbusapi.Caller) (dbusapi.ManagerInfo, error) {
	d.note("Manager")
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.manager, nil
}

// control is the common part of what changes one worker.
func (d *daemon) control(c dbusapi.Caller, action policy.Action, method string, h handle) (workerInfo, error) {
	if err := d.decide(action); err != nil {
		return workerInfo{}, err
	}
	d.note(method + " " + h.String())
	return d.find(h)
}

func (d *daemon) Terminate(_ context.Context, c dbusapi.Caller, h handle) error {
	_, err := d.control(c, policy.Terminate, "Terminate", h)
	if err == nil {
		d.halt(h, "ended", "terminated")
	}
	return err
}

func (d *daemon) Stop(_ context.Context, c dbusapi.Caller, h handle) error {
	_, err := d.control(c, policy.Control, "Stop", h)
	if err == nil {
		d.halt(h, "held", "stopped by the administrator")
	}
	return err
}

func (d *daemon) Start(_ context.Context, c dbusapi.Caller, h handle) (handle, error) {
	w, err := d.control(c, policy.Control, "Start", h)
	switch {
	case err != nil || runs(&w):
		return h, err
	case hasEnded(&w):
		return d.add(w.Definition, "", w.Label, w.Dynamic), nil
	}
	d.run(h)
	return h, nil
}

func (d *daemon) Restart(_ context.Context, c dbusapi.Caller, h handle) error {
	_, err := d.control(c, policy.Control, "Restart", h)
	if err == nil {
		d.halt(h, "restarting", "restarted by the administrator")
		d.run(h)
	}
	return err
}

func (d *daemon) Signal(_ context.Context, c dbusapi.Caller, h handle, sig int32) error {
	_, err := d.control(c, policy.Signal, fmt.Sprintf("Signal %d", sig), h)
	return err
}

func (d *daemon) Reload(_ context.Context, c dbusapi.Caller) error {
	if err := d.decide(policy.Reload); err != nil {
		return err
	}
	d.note("Reload now")
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(mapped(d.workers), func(w workerInfo) bool { return w.Label == "badconfig" }) {
		return dbusapi.Errorf(dbusapi.ErrorConfigurationInvalid, "Error: unknown attribute\x1b[31m\n\n  on x.hcl:3:5\n")
	}
	return nil
}

func mapped(m map[handle]workerInfo) []workerInfo {
	var out []workerInfo
	for _, w := range m {
		out = append(out, w)
	}
	return out
}

func (d *daemon) Dump(_ context.Context, c dbusapi.Caller) (string, error) {
	return "slot 1: cron\n\tname \x1b]0;pwned\x07\n", d.decide(policy.Dump)
}

func (d *daemon) Shutdown(_ context.Context, c dbusapi.Caller, mode dbusapi.ShutdownMode) error {
	if err := d.decide(policy.Shutdown); err != nil {
		return err
	}
	d.note("Shutdown " + string(mode))
	return nil
}

func (d *daemon) OwnerGone(string) {}
func (d *daemon) BusLost()         {}
