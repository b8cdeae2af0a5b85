package supervise

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// ofServer returns a table of n registered workers of a server that is down.
func ofServer(server string, n int, s Settings) *table {
	s.MaxWorkerProcesses = MaxSlots
	t := newTable(1, 1, s)
	w := (units.Worker{Name: "w", Server: server, Command: []string{"/bin/w"}}).WithDefaults()
	for range n {
		t.step(epoch0, register{&w, Owner{}, make(chan registered, 1)})
	}
	return t
}

func starts(effects []effect) (runs []units.Run) {
	for _, e := range effects {
		if st, ok := e.(startEffect); ok {
			runs = append(runs, st.start.Run)
		}
	}
	return runs
}

// TestStartingBound: a server that comes up meets at most maxStarting starts
// at a time, the newest registrations first; whoever is answered, ended or
// fails makes room, and nobody is forgotten when the server goes meanwhile.
func TestStartingBound(t *testing.T) {
	const n = 100
	tb := ofServer("a", n, Settings{})
	pending := starts(tb.step(epoch0, phase{"a", units.PhaseRunning}))
	if len(pending) != maxStarting || pending[0].Slot != n-1 {
		t.Fatalf("%d starts, first %v", len(pending), pending[0])
	}
	if _, due := tb.next(); due {
		t.Error("the loop would not sleep while starts wait for room")
	}
	tb.step(epoch0, request{verb: verbTerminate, handle: tb.slots[n-40].handle, reply: make(chan error, 1)}) // one that waits for room
	for i := 0; len(pending) > 0; i++ {
		run := pending[0]
		ev := started{run, fakeProcess(1), nil}
		if i == 10 {
			tb.step(epoch0, phase{"a", units.PhaseDown})
			tb.step(epoch0, phase{"a", units.PhaseRunning})
		}
		next := starts(tb.step(epoch0, ev))
		if err := tb.check(); err != nil {
			t.Fatal(err)
		}
		if len(next) > 1 || len(next) == 1 && next[0].Slot >= pending[len(pending)-1].Slot {
			t.Fatalf("%d starts after one was answered: %v", len(next), next)
		}
		pending = append(pending[1:], next...)
	}
	if c := tb.counts(); c.Running != n-1 {
		t.Errorf("%d of %d run", c.Running, n-1)
	}
	if got := len(starts(ofServer("", n, Settings{}).step(epoch0, phase{"", units.PhaseRunning}))); got != n {
		t.Errorf("%d starts where there is no server to spare", got)
	}
}

// TestStartingBoundForgetsNobody: who waits for room while those that are
// Starting come to nothing, all of them, starts when its server is back.
func TestStartingBoundForgetsNobody(t *testing.T) {
	const n = 3 * maxStarting
	tb := ofServer("a", n, Settings{})
	pending := starts(tb.step(epoch0, phase{"a", units.PhaseRunning}))
	tb.step(epoch0, phase{"a", units.PhaseDown})
	for _, r := range pending {
		tb.step(epoch0, started{r, fakeProcess(1), nil})
		tb.step(epoch0, request{verb: verbTerminate, handle: r.Handle, reply: make(chan error, 1)})
		tb.step(epoch0, exited{r, units.Exit{Code: 1, At: epoch0}})
		if err := tb.check(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(starts(tb.step(epoch0, phase{"a", units.PhaseRunning}))); got != maxStarting {
		t.Errorf("%d start when the server is back", got)
	}
}

// TestSpread: starts are spread over the whole of StartSplay.
func TestSpread(t *testing.T) {
	const n, parts = 1000, 10
	tb := ofServer("a", n, Settings{StartSplay: parts * time.Second})
	if got := starts(tb.step(epoch0, phase{"a", units.PhaseRunning})); len(got) > 0 {
		t.Fatalf("%d start at once", len(got))
	}
	var counts [parts]int
	for _, e := range tb.slots {
		counts[e.due.Sub(epoch0)/time.Second]++
	}
	for i, c := range counts {
		if c < n/parts/2 || c > n/parts*2 {
			t.Errorf("second %d: %d of %d", i, c, n)
		}
	}
}

func TestLoopOutage(t *testing.T) { // BGW-078, BGW-086
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		f.Phase("a", units.PhaseRunning)
		h := f.register(t, units.Worker{Server: "a", RestartTime: 3600, StartTime: units.ConsistentState})
		p := f.next(t)
		f.Phase("a", units.PhaseDown)
		if s := <-p.signals; s != units.SIGTERM {
			t.Errorf("signal %v", s)
		}
		p.exit(2)
		if i, _ := f.Lookup(h); i.State != units.Waiting || i.Reason != "its server is down" || !i.NextStart.IsZero() {
			t.Errorf("%v, %q, next start %v", i.State, i.Reason, i.NextStart)
		}
		f.Phase("a", units.PhaseStarted)
		up := time.Now()
		f.Phase("a", units.PhaseConsistent)
		p = f.next(t)
		if d := time.Since(up); d != 0 {
			t.Errorf("started again after %v", d)
		}
		f.Phase("a", units.PhaseConsistent|units.SmartStop)
		begun := time.Now()
		if <-p.signals; time.Since(begun) != 30*time.Second {
			t.Errorf("a smart stop was outlasted by %v", time.Since(begun))
		}
		p.exit(0)
		f.end(t)
	})
}

func TestLoopSmart(t *testing.T) { // BGW-084, BGW-086
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		f.Phase("a", units.PhaseRunning)
		f.register(t, units.Worker{Server: "a"})
		p := f.next(t)
		f.Shutdown(Smart)
		f.Clients("a", 3)
		time.Sleep(time.Hour)
		f.Clients("a", 0)
		begun := time.Now()
		if <-p.signals; time.Since(begun) != 0 {
			t.Errorf("ended %v after the last client", time.Since(begun))
		}
		p.exit(0)
		if err := <-f.result; err != nil {
			t.Error(err)
		}
	})
}

// TestFlap: a server that changes twenty times a minute, in whatever way,
// while processes start and end in their own time: never two of one worker,
// and in the end all run.
func TestFlap(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			const n = 40
			f := start(t, nil)
			for range n {
				w := units.Worker{Server: "a", RestartTime: 1, StartTime: units.RecoveryFinished, StopOnDemotion: units.DemotionStop}
				f.register(t, w)
			}
			var alive [n]atomic.Int32 // processes of each slot
			stop, done := make(chan struct{}), make(chan struct{})
			go func() { // the processes
				defer close(done)
				for {
					select {
					case <-stop:
						return
					case p := <-f.launcher:
						go live1(t, p, &alive[p.Run.Slot], time.Duration(p.Run.Start*7919%900)*time.Millisecond)
					}
				}
			}()
			r := rand.New(rand.NewPCG(seed, 2))
			for range 20 {
				f.Phase("a", units.Phase(r.IntN(6))|[]units.Phase{0, 0, 0, units.SmartStop, units.Demoted}[r.IntN(5)])
				time.Sleep(time.Duration(r.IntN(6000)) * time.Millisecond)
			}
			f.Phase("a", units.PhaseRunning)
			time.Sleep(10 * time.Second)
			is := f.List()
			if len(is) != n {
				t.Errorf("seed %d: %d of %d are left", seed, len(is), n)
			}
			for _, i := range is {
				if i.State != units.Running {
					t.Errorf("seed %d: %v is %v: %s", seed, i.Handle, i.State, i.Reason)
				}
			}
			f.cancel()
			if err := <-f.result; err != nil {
				t.Error(err)
			}
			close(stop)
			<-done
		})
	}
}

// live1 is the life of a process that takes its time to start and to end.
func live1(t *testing.T, p *process, alive *atomic.Int32, slow time.Duration) {
	if alive.Add(1) > 1 {
		t.Errorf("%v runs beside another", p.Run)
	}
	time.Sleep(slow)
	p.started(p, nil)
	select {
	case <-p.signals:
	case <-p.kills:
	}
	time.Sleep(slow)
	alive.Add(-1)
	p.exit(1)
}
