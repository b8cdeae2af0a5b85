package supervise

import (
	"context"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// launcher is a Launcher that hands each start to the test. Everything passes
// over channels, so that the race detector sees what the test may rely on.
type launcher chan *process

func (l launcher) Start(s Start, started func(Process, error), exited func(units.Exit)) {
	l <- &process{Start: s, started: started, exited: exited, signals: make(chan units.Signal, 8), kills: make(chan struct{}, 8), limits: make(chan units.Resources)}
}

// process is one start; the test says how it goes.
type process struct {
	Start
	started func(Process, error)
	exited  func(units.Exit)
	signals chan units.Signal
	kills   chan struct{}
	limits  chan units.Resources
}

func (p *process) Pid() int                         { return 1000 + int(p.Run.Start) }
func (p *process) Signal(s units.Signal) error      { p.signals <- s; return nil }
func (p *process) SignalGroup(s units.Signal) error { p.signals <- s; return nil }
func (p *process) Kill() error                      { p.kills <- struct{}{}; return nil }
func (p *process) Limit(r units.Resources) error    { p.limits <- r; return nil }
func (p *process) exit(code int)                    { p.exited(units.Exit{Pid: p.Pid(), Code: code, At: time.Now()}) }

// sink is a Sink that is read, or not, by the test.
type sink chan Change

func (s sink) Publish(c Change) { s <- c }

type sinkFunc func(Change)

func (f sinkFunc) Publish(c Change) { f(c) }

// fixture is a running Supervisor whose server is up.
type fixture struct {
	*Supervisor
	launcher launcher
	result   chan error
	cancel   context.CancelFunc
}

func start(t *testing.T, to Sink) fixture {
	t.Helper()
	return startWith(t, Options{Sink: to})
}

// startWith fills in what o leaves out.
func startWith(t *testing.T, o Options) fixture {
	t.Helper()
	f := fixture{launcher: make(launcher, 256), result: make(chan error, 1)}
	if o.Sink == nil {
		o.Sink = sinkFunc(func(Change) {})
	}
	o.Launcher, o.Epoch = f.launcher, 3
	o.Settings = Settings{MaxWorkerProcesses: 200, MaxParallelWorkers: 8, RestartAfterCrash: true, SmartStopGrace: 30 * time.Second}
	f.Supervisor = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	go func() { f.result <- f.Run(ctx) }()
	f.Phase("", units.PhaseRunning)
	return f
}

func (f fixture) register(t *testing.T, w units.Worker) units.Handle {
	t.Helper()
	w.Name, w.Flags, w.Command = "w", units.ShmemAccess, []string{"/bin/w"}
	w = w.WithDefaults()
	h, err := f.Register(&w, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// next is the next start, which is answered.
func (f fixture) next(t *testing.T) *process {
	t.Helper()
	p := <-f.launcher
	p.started(p, nil)
	return p
}

// end shuts down at once, with every process in ps exiting.
func (f fixture) end(t *testing.T, ps ...*process) {
	t.Helper()
	f.cancel()
	for _, p := range ps {
		if s := <-p.signals; s != units.SIGTERM {
			t.Errorf("%v got %v", p.Run, s)
		}
		p.exit(0)
	}
	if err := <-f.result; err != nil {
		t.Errorf("Run: %v", err)
	}
}
