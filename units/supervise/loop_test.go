package supervise

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
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
	f := fixture{launcher: make(launcher, 256), result: make(chan error, 1)}
	if to == nil {
		to = sinkFunc(func(Change) {})
	}
	f.Supervisor = New(Options{Launcher: f.launcher, Sink: to, Epoch: 3,
		Settings: Settings{MaxWorkerProcesses: 200, MaxParallelWorkers: 8, RestartAfterCrash: true, SmartStopGrace: 30 * time.Second}})
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

func TestLoopRestartInterval(t *testing.T) { // BGW-053, BGW-056
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		h := f.register(t, units.Worker{RestartTime: 60})
		p := f.next(t)
		for n := range 3 {
			p.exit(1)
			ended := time.Now()
			if i, _ := f.Lookup(h); i.State != units.Restarting || !i.NextStart.Equal(ended.Add(time.Minute)) {
				t.Fatalf("%d: %v, next start %v", n, i.State, i.NextStart)
			}
			p = f.next(t)
			if d := time.Since(ended); d != time.Minute {
				t.Errorf("%d: started again after %v", n, d)
			}
		}
		if p.Run.Start != 4 {
			t.Errorf("start number %d", p.Run.Start)
		}
		f.end(t, p)
	})
}

func TestLoopShutdownInOrder(t *testing.T) { // BGW-088, BGW-091
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		f.register(t, units.Worker{KillTimeout: 7 * time.Second})
		deaf := f.next(t)
		f.register(t, units.Worker{})
		other := f.next(t)
		f.cancel()
		for _, p := range []*process{deaf, other} {
			if s := <-p.signals; s != units.SIGTERM {
				t.Errorf("%v got %v", p.Run, s)
			}
		}
		other.exit(1)
		asked := time.Now()
		<-deaf.kills
		if d := time.Since(asked); d != 7*time.Second {
			t.Errorf("killed after %v", d)
		}
		select {
		case err := <-f.result:
			t.Fatalf("Run returned %v before the last process was gone", err)
		default:
		}
		deaf.exited(units.Exit{Signal: 9, At: time.Now()})
		if err := <-f.result; err != nil {
			t.Error(err)
		}
		select {
		case p := <-f.launcher:
			t.Errorf("%v was started during a shutdown", p.Run)
		default:
		}
	})
}

func TestLoopCrashEndsRun(t *testing.T) { // BGW-073
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		if _, err := f.Reload(nil, Settings{MaxWorkerProcesses: 8}); err != nil {
			t.Fatal(err)
		}
		f.register(t, units.Worker{Attach: units.AttachAlways})
		f.next(t).exit(2)
		if err := <-f.result; !errors.Is(err, ErrCrashed) {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestLoopWaits(t *testing.T) { // BGW-040, BGW-042
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		h := f.register(t, units.Worker{RestartTime: 10})
		p := <-f.launcher
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		asked := time.Now()
		if i := f.WaitStartup(ctx, h); i.Status != units.StatusNotYetStarted || time.Since(asked) != 20*time.Second {
			t.Errorf("%v after %v", i.Status, time.Since(asked))
		}
		if i := f.WaitStartup(ctx, h); i.Status != units.StatusNotYetStarted {
			t.Errorf("with a context that has ended: %v", i.Status)
		}
		answers := make(chan Info)
		go func() { answers <- f.WaitStartup(t.Context(), h) }()
		synctest.Wait()
		p.started(p, nil)
		if i := <-answers; i.Status != units.StatusStarted || i.Pid != p.Pid() {
			t.Errorf("%v %d", i.Status, i.Pid)
		}
		go func() { answers <- f.WaitShutdown(t.Context(), h) }()
		synctest.Wait()
		p.exit(1)
		if i := <-answers; i.Status != units.StatusStopped || i.State != units.Restarting {
			t.Errorf("%v %v", i.Status, i.State)
		}
		if f.query(func(tb *table) {
			if len(tb.waits) != 0 {
				t.Errorf("%d waits are left", len(tb.waits))
			}
		}); t.Failed() {
			return
		}
		f.end(t)
	})
}

// TestLoopWaitCanceledAsItIsAnswered: whichever comes first, there is one
// answer and it is true.
func TestLoopWaitCanceledAsItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		for range 100 {
			h := f.register(t, units.Worker{RestartTime: units.NeverRestart})
			p := <-f.launcher
			ctx, cancel := context.WithCancel(t.Context())
			answer := make(chan Info)
			go func() { answer <- f.WaitStartup(ctx, h) }()
			synctest.Wait()
			go cancel()
			p.started(p, nil)
			i := <-answer
			if i.Handle != h || i.Status == units.StatusStopped {
				t.Fatalf("%v", i)
			}
			p.exit(0)
		}
		f.end(t)
	})
}

func TestLoopAfterRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		h := f.register(t, units.Worker{})
		p := f.next(t)
		f.end(t, p)
		if _, err := f.Register(&units.Worker{}, Owner{}); !errors.Is(err, ErrShuttingDown) {
			t.Errorf("Register: %v", err)
		}
		if err := f.Terminate(h); !errors.Is(err, ErrShuttingDown) {
			t.Errorf("Terminate: %v", err)
		}
		if err := f.Attach(p.Run); !errors.Is(err, ErrShuttingDown) {
			t.Errorf("Attach: %v", err)
		}
		if _, err := f.Reload(nil, Settings{}); !errors.Is(err, ErrShuttingDown) {
			t.Errorf("Reload: %v", err)
		}
		if i := f.WaitShutdown(t.Context(), h); i.Status != units.StatusStopped {
			t.Errorf("WaitShutdown: %v", i.Status)
		}
		if i, ok := f.Lookup(h); ok || i.Status != units.StatusStopped {
			t.Errorf("Lookup: %v %v", i.Status, ok)
		}
		if _, ok := f.Counts(); ok || len(f.List()) != 0 || f.Dump() != "" {
			t.Error("there is a table after Run")
		}
		f.Shutdown(Immediate) // and none of these blocks
		f.Phase("", units.PhaseDown)
		f.OwnerGone(":1.1", false)
		p.exit(0)
	})
}

// TestLoopSinkBlocks: a sink that never returns stops neither starts nor
// requests, and is told everything, in order, once it goes on.
func TestLoopSinkBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := make(sink)
		f := start(t, changes)
		var ps []*process
		for range 100 {
			f.register(t, units.Worker{})
			ps = append(ps, f.next(t))
		}
		synctest.Wait()
		if c, ok := f.Counts(); !ok || c.Running != 100 {
			t.Fatalf("%v", c)
		}
		f.cancel()
		for _, p := range ps {
			<-p.signals
			p.exit(0)
		}
		seen := map[units.Handle]Info{}
		ended := 0
		for {
			select {
			case c := <-changes:
				if seen[c.Info.Handle] != c.Before {
					t.Fatalf("%v: out of order", c.Info.Handle)
				}
				if seen[c.Info.Handle] = c.Info; c.Kind == Unregistered {
					ended++
				}
				continue
			case err := <-f.result:
				if err != nil || ended != 100 {
					t.Errorf("Run: %v, %d told", err, ended)
				}
			}
			return
		}
	})
}

// TestLoopSinkAsks: a sink may ask the Supervisor about what it is told, the
// last change of a shutdown too, and sees that state or a newer one.
func TestLoopSinkAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fixture
		ready := make(chan struct{})
		last := make(chan units.State, 1)
		f = start(t, sinkFunc(func(c Change) {
			<-ready
			if c.Kind == Unregistered {
				i, ok := f.Lookup(c.Info.Handle)
				if !ok {
					t.Error("it is not known any more")
				}
				last <- i.State
			}
		}))
		close(ready)
		f.register(t, units.Worker{})
		f.end(t, f.next(t))
		if s := <-last; s != units.Ended {
			t.Error(s)
		}
	})
}

// TestLoopManyStarts: 250 startable workers, at most 100 in a step (BGW-076),
// and all of them start without another event (BGW-050).
func TestLoopManyStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		f.Phase("", units.PhaseDown)
		if _, err := f.Reload(nil, Settings{MaxWorkerProcesses: 250, RestartAfterCrash: true}); err != nil {
			t.Fatal(err)
		}
		for range 250 {
			f.register(t, units.Worker{})
		}
		go f.Phase("", units.PhaseRunning)
		var ps []*process
		for range 250 {
			ps = append(ps, f.next(t))
		}
		f.end(t, ps...)
	})
}

// TestLoopRestartNewHandle: Start of a definition that has ended says under
// which handle it runs now.
func TestLoopRestartNewHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		w := (units.Worker{Label: "a", Command: []string{"/bin/a"}}).WithDefaults()
		if _, err := f.Reload([]*units.Worker{&w}, Settings{MaxWorkerProcesses: 8, RestartAfterCrash: true}); err != nil {
			t.Fatal(err)
		}
		p := f.next(t)
		p.exit(0)
		if is := f.ByLabel("a"); len(is) != 1 || is[0].State != units.Ended {
			t.Fatalf("%v", is)
		}
		h, err := f.Start(p.Run.Handle)
		if err != nil || h.Slot != p.Run.Slot || h.Generation != p.Run.Generation+1 {
			t.Errorf("%v %v", h, err)
		}
		f.end(t, f.next(t))
	})
}

// TestLoopNewsIsBounded: a worker that attaches, detaches and says that it is
// ready as fast as it can does not make the queue to a slow sink grow.
func TestLoopNewsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := make(sink)
		f := start(t, changes)
		f.register(t, units.Worker{})
		f.register(t, units.Worker{})
		a, b := f.next(t), f.next(t)
		for range 1000 {
			for _, p := range []*process{a, b} {
				if err := errors.Join(f.Attach(p.Run), f.Detach(p.Run), f.Ready(p.Run, time.Now().String())); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond) // another text each time
			}
		}
		f.news.mu.Lock()
		if n := len(f.news.changes); n > 16 {
			t.Errorf("%d changes are queued", n)
		}
		f.news.mu.Unlock()
		go func() {
			for range changes {
			}
		}()
		f.end(t, a, b)
		close(changes)
	})
}

// TestNews: what is merged still makes a chain in which each change begins
// where the one before ended.
func TestNews(t *testing.T) {
	h := units.Handle{Slot: 1, Generation: 1}
	state := func(s units.State, text string) Info { return Info{Handle: h, State: s, ReadyText: text} }
	n := newNews()
	for _, c := range []Change{
		{Kind: Registered, Info: state(units.Waiting, "")},
		{Kind: Updated, Before: state(units.Waiting, ""), Info: state(units.Starting, "")},
		{Kind: Updated, Before: state(units.Starting, ""), Info: state(units.Starting, "a")},
		{Kind: Updated, Before: state(units.Starting, "a"), Info: state(units.Starting, "b")},
		{Kind: Updated, Info: Info{Handle: units.Handle{Slot: 2}}},
		{Kind: Updated, Before: state(units.Starting, "b"), Info: state(units.Starting, "c")},
		{Kind: Crashed},
		{Kind: Updated, Before: state(units.Starting, "c"), Info: state(units.Starting, "d")},
		{Kind: Started, Before: state(units.Starting, "d"), Info: state(units.Running, "d"), Notify: Owner{Kind: BusOwner}},
		{Kind: Updated, Before: state(units.Running, "d"), Info: state(units.Running, "e")},
	} {
		n.put(&c)
	}
	n.close()
	var kinds []Kind
	var last Info
	n.drain(func(c Change) {
		if kinds = append(kinds, c.Kind); c.Info.Handle != h {
			return
		}
		if c.Before != last {
			t.Errorf("begins at %+v, not %+v", c.Before, last)
		}
		last = c.Info
	})
	if want := []Kind{Registered, Updated, Updated, Updated, Crashed, Updated, Started, Updated}; !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if last.ReadyText != "e" {
		t.Errorf("the last is %+v", last)
	}
}
