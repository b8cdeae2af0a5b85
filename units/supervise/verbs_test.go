package supervise

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pg-bgw/pg-bgw/units"
)

// TestLoopVerbs sends each of an administrator's verbs through the loop to a
// process and back.
func TestLoopVerbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		h := f.register(t, units.Worker{RestartTime: 5})
		p := f.next(t)
		wants := func(p *process, want units.Signal) {
			t.Helper()
			if got := <-p.signals; got != want {
				t.Errorf("%v got %v, want %v", p.Run, got, want)
			}
		}
		if err := errors.Join(f.Signal(h, units.SIGUSR1), f.SignalRun(p.Run, units.SIGINT)); err != nil {
			t.Fatal(err)
		}
		wants(p, units.SIGUSR1)
		wants(p, units.SIGINT)
		if err := f.Restart(h); err != nil {
			t.Fatal(err)
		}
		wants(p, units.SIGTERM)
		p.exit(1)
		old := p.Run
		p = f.next(t)
		if err := f.SignalRun(old, units.SIGUSR1); !errors.Is(err, ErrNotRunning) {
			t.Errorf("a signal for the process of before: %v", err)
		}
		if err := f.Stop(h); err != nil {
			t.Fatal(err)
		}
		wants(p, units.SIGTERM)
		p.exit(0)
		if is := f.List(); len(is) != 1 || is[0].State != units.Held || is[0].Handle != h {
			t.Errorf("%+v", is)
		}
		if c, _ := f.Counts(); c.String() != "0 of 1 workers running, 1 held" {
			t.Error(c)
		}
		if now, err := f.Start(h); err != nil || now != h {
			t.Errorf("%v %v", now, err)
		}
		if now, err := f.Start(h); err != nil || now != h {
			t.Errorf("a start of what starts already: %v %v", now, err)
		}
		p = f.next(t)
		if is := f.ByLabel("w"); len(is) != 1 || is[0].Pid != p.Pid() || is[0].Restarts != 2 || is[0].Start != 3 {
			t.Errorf("%+v", is)
		}
		if d := f.Dump(); !strings.Contains(d, "w running started start 3") {
			t.Error(d)
		}
		if err := f.Terminate(h); err != nil {
			t.Fatal(err)
		}
		wants(p, units.SIGTERM)
		p.exit(0)
		f.end(t)
	})
}

func TestParseMode(t *testing.T) {
	for _, m := range []Mode{Smart, Fast, Immediate} {
		if got, err := ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%v: %v %v", m, got, err)
		}
	}
	for _, bad := range []string{"", "quick", "FAST"} {
		if _, err := ParseMode(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestLoopLauncherAnswersAtOnce: a launcher may answer, and say that the
// process is gone, before Start returns; that blocks nothing.
func TestLoopLauncherAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan Change, 100)
		s := New(Options{
			Launcher: atOnce{}, Sink: sink(told), Epoch: 1,
			Settings: Settings{MaxWorkerProcesses: 8, RestartAfterCrash: true},
		})
		result := make(chan error)
		go func() { result <- s.Run(t.Context()) }()
		s.Phase("", units.PhaseRunning)
		w := (units.Worker{RestartTime: 1, Command: []string{"/bin/w"}}).WithDefaults()
		h, err := s.Register(&w, Owner{})
		if err != nil {
			t.Fatal(err)
		}
		if i := s.WaitStartup(t.Context(), h); i.Status != units.StatusStopped { // BGW-041
			t.Errorf("%v", i.Status)
		}
		s.Shutdown(Fast)
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

type atOnce struct{}

func (atOnce) Start(s Start, started func(Process, error), exited func(units.Exit)) {
	exited(units.Exit{Code: 0, Pid: 7})
	started(fakeProcess(7), nil)
}
