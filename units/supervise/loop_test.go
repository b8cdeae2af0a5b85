package supervise

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

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

// TestShownBeforeAnswers: what a change has come to is shown before anybody is
// answered who may go by it, though the sink has not been told yet (BGW-041, BGW-042).
func TestShownBeforeAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		shown := map[units.Handle]Info{}
		told := make(chan struct{})
		f := startWith(t, Options{
			Sink: sinkFunc(func(Change) { <-told }),
			Show: func(i Info) { mu.Lock(); shown[i.Handle] = i; mu.Unlock() },
		})
		see := func(what string, want Info) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if got := shown[want.Handle]; got.Status != want.Status || got.Pid != want.Pid {
				t.Errorf("%s: answered %v, %d; shown %v, %d", what, want.Status, want.Pid, got.Status, got.Pid)
			}
		}
		h := f.register(t, units.Worker{})
		p := f.next(t)
		see("startup", f.WaitStartup(t.Context(), h))
		if i, ok := f.Lookup(h); !ok || i.Status != units.StatusStarted {
			t.Fatalf("%v, %v", i, ok)
		} else {
			see("look", i)
		}
		go p.exit(0)
		see("shutdown", f.WaitShutdown(t.Context(), h))
		close(told)
		f.cancel()
		<-f.result
	})
}
