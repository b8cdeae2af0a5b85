package dbusapi

import (
	"context"
	"slices"
	"strconv"
	"sync"
)

// fake is a Backend that keeps what it is told and can be made to fail, block or panic.
type fake struct {
	gone chan string
	lost chan struct{}

	mu       sync.Mutex
	workers  map[Handle]WorkerInfo
	servers  []ServerInfo
	manager  ManagerInfo
	calls    []string // "Method detail"
	callers  []Caller
	defs     []Definition
	shared   []SharedObject
	flags    []RegisterFlags
	next     uint32
	onCall   func(ctx context.Context, method string) error // runs without mu
	lastText string
	read     chan Handle // if not nil, gets the handle of each worker read; under mu, so that no change comes between
}

func newFake() *fake {
	return &fake{
		gone: make(chan string, 5000), lost: make(chan struct{}, 100), workers: map[Handle]WorkerInfo{},
		manager: ManagerInfo{Version: "1.2", MaxWorkerProcesses: 128, Started: Timestamp{5, 6}, Phases: map[string]string{"main": "run"}, ConfigurationState: "ok"},
	}
}

func (f *fake) note(ctx context.Context, c Caller, method, detail string) error {
	f.mu.Lock()
	f.calls = append(f.calls, method+" "+detail)
	f.callers = append(f.callers, c)
	on := f.onCall
	f.mu.Unlock()
	if on != nil {
		return on(ctx, method)
	}
	return nil
}

// hook makes every method call on first.
func (f *fake) hook(on func(ctx context.Context, method string) error) {
	f.mu.Lock()
	f.onCall = on
	f.mu.Unlock()
}

func (f *fake) last() (string, Caller) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[len(f.calls)-1], f.callers[len(f.callers)-1]
}

// registered returns the definition of the nth registration.
func (f *fake) registered(n int) Definition {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.defs[n]
}

// put sets a worker.
func (f *fake) put(w WorkerInfo) WorkerInfo {
	f.mu.Lock()
	f.workers[w.Handle] = w
	f.mu.Unlock()
	return w
}

// serve sets the PostgreSQL servers.
func (f *fake) serve(servers ...ServerInfo) {
	f.mu.Lock()
	f.servers = servers
	f.mu.Unlock()
}

func (f *fake) remove(h Handle) {
	f.mu.Lock()
	delete(f.workers, h)
	f.mu.Unlock()
}

// change applies edit to a worker and publishes the transition.
func (f *fake) change(s *Server, h Handle, edit func(*WorkerInfo)) (before, after WorkerInfo) {
	f.mu.Lock()
	before = f.workers[h]
	after = before
	edit(&after)
	f.workers[h] = after
	f.mu.Unlock()
	s.Changed(before, after)
	return before, after
}

func (f *fake) register(ctx context.Context, c Caller, method string, def Definition, flags RegisterFlags) (Handle, error) {
	if err := f.note(ctx, c, method, def.Name); err != nil {
		return Handle{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h := Handle{f.next, uint64(1)<<32 | 7}
	f.next++
	f.defs, f.flags = append(f.defs, def), append(f.flags, flags)
	f.workers[h] = WorkerInfo{Handle: h, Label: def.Name, Definition: def, State: "waiting", Status: StatusNotYetStarted, Owner: c.Name, Dynamic: true}
	return h, nil
}

func (f *fake) Register(ctx context.Context, c Caller, def Definition, flags RegisterFlags) (Handle, error) {
	return f.register(ctx, c, "Register", def, flags)
}

// RegisterAll registers one after the other; one named "refused" is.
func (f *fake) RegisterAll(ctx context.Context, c Caller, defs []Definition, flags RegisterFlags) ([]Registration, error) {
	if err := f.note(ctx, c, "RegisterAll", strconv.Itoa(len(defs))); err != nil {
		return nil, err
	}
	answers := make([]Registration, len(defs))
	for i, def := range defs {
		if def.Name == "refused" {
			answers[i].Err = Errorf(ErrorNoFreeSlot, "no free slot for %q", def.Name)
			continue
		}
		answers[i].Handle, answers[i].Err = f.register(ctx, c, "Register", def, flags)
	}
	return answers, nil
}

func (f *fake) Instantiate(ctx context.Context, c Caller, template, argument string, overrides Definition, flags RegisterFlags) (Handle, error) {
	overrides.Name = template + "@" + argument
	return f.register(ctx, c, "Instantiate", overrides, flags)
}

func (f *fake) Worker(ctx context.Context, c Caller, h Handle) (WorkerInfo, error) {
	if err := f.note(ctx, c, "Worker", h.String()); err != nil {
		return WorkerInfo{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read != nil {
		f.read <- h
	}
	w, ok := f.workers[h]
	if !ok {
		return WorkerInfo{}, Errorf(ErrorStaleHandle, "%s is stale", h)
	}
	return w, nil
}

func (f *fake) Labelled(ctx context.Context, c Caller, label string) ([]WorkerInfo, error) {
	all, err := f.Workers(ctx, c)
	return slices.DeleteFunc(all, func(w WorkerInfo) bool { return w.Label != label }), err
}

func (f *fake) Workers(ctx context.Context, c Caller) ([]WorkerInfo, error) {
	if err := f.note(ctx, c, "Workers", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []WorkerInfo
	for _, w := range f.workers {
		all = append(all, w)
	}
	return all, nil
}

func (f *fake) Manager(ctx context.Context, c Caller) (ManagerInfo, error) {
	err := f.note(ctx, c, "Manager", "")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manager, err
}

func (f *fake) Servers(ctx context.Context, c Caller) ([]ServerInfo, error) {
	err := f.note(ctx, c, "Servers", "")
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.servers), err
}

func (f *fake) TerminateForDatabase(ctx context.Context, c Caller, server, database string) (terminated, remaining []Handle, err error) {
	return []Handle{{1, 2}}, []Handle{{3, 4}, {5, 6}}, f.note(ctx, c, "TerminateForDatabase", server+" "+database)
}

func (f *fake) known(h Handle) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.workers[h]; !ok {
		return Errorf(ErrorStaleHandle, "%s is stale", h)
	}
	return nil
}

func (f *fake) Terminate(ctx context.Context, c Caller, h Handle) error {
	if err := f.note(ctx, c, "Terminate", h.String()); err != nil {
		return err
	}
	return f.known(h)
}

func (f *fake) Stop(ctx context.Context, c Caller, h Handle) error {
	if err := f.note(ctx, c, "Stop", h.String()); err != nil {
		return err
	}
	return f.known(h)
}

func (f *fake) Start(ctx context.Context, c Caller, h Handle) (Handle, error) {
	if err := f.note(ctx, c, "Start", h.String()); err != nil {
		return Handle{}, err
	}
	return h, f.known(h)
}

func (f *fake) Restart(ctx context.Context, c Caller, h Handle) error {
	if err := f.note(ctx, c, "Restart", h.String()); err != nil {
		return err
	}
	return f.known(h)
}

func (f *fake) Signal(ctx context.Context, c Caller, h Handle, sig int32) error {
	if err := f.note(ctx, c, "Signal", h.String()); err != nil {
		return err
	}
	return f.known(h)
}

func (f *fake) Reload(ctx context.Context, c Caller) error { return f.note(ctx, c, "Reload", "") }

func (f *fake) Dump(ctx context.Context, c Caller) (string, error) {
	err := f.note(ctx, c, "Dump", "")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastText, err
}

func (f *fake) Shutdown(ctx context.Context, c Caller, mode ShutdownMode) error {
	return f.note(ctx, c, "Shutdown", string(mode))
}

func (f *fake) OwnerGone(name string) { f.gone <- name }
func (f *fake) BusLost()              { f.lost <- struct{}{} }

// full returns a worker in which every property differs from its zero value.
func full(h Handle) WorkerInfo {
	return WorkerInfo{
		Handle: h, Label: "alpha",
		Definition: Definition{
			Set: allKeys, Name: "n", Type: "ty", Flags: []string{"shmem_access"}, StartTime: "postmaster_start", RestartTime: -1,
			LibraryName: "lib", FunctionName: "fn", Command: []string{"/bin/true", "x"}, MainArg: 1 << 63, Extra: []byte{0, 255},
			NotifyPid: 9, Database: "db", Role: "ro", Environment: map[string]string{"A": "b"}, Segment: "main", KillSignal: "SIGTERM",
			KillTimeoutUSec: ^uint64(0), StopWithOwner: true, Server: "s",
		},
		User: "u", Attach: "auto", Template: "te", Dynamic: true, State: "running", Status: StatusStarted,
		Reason: "r", Held: true, Owner: ":1.9", MainPID: 77, StartNumber: 3, Restarts: 2, Changed: Timestamp{10, 11}, NextStart: 12,
		ExitCode: 1, ExitSignal: 9, ExitOOM: true, Attached: true, StatusText: "st", WaitsFor: "w",
	}
}

// fullServer returns a server in which every property differs from its zero value.
func fullServer(name string) ServerInfo {
	return ServerInfo{
		Name: name, Phase: "running", Evidence: "e", Changed: Timestamp{10, 11}, Permits: []string{"postmaster_start"}, Demoted: true,
		Clients: -1, Version: "15.1", PostmasterPID: 7, Conninfo: "host=/run",
	}
}

func (f *fake) SharedMemory(ctx context.Context, c Caller, segment string) ([]SharedObject, error) {
	if err := f.note(ctx, c, "SharedMemory", segment); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.shared), nil
}
