package daemon

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

var update = flag.Bool("update", false, "write the table of README.md")

// A readmeRow is one row of README.md's table of what pg-bgw does when a server
// does something: what was seen of it before, and what then is. That this is
// seen so, TestReadme of units/server shows.
type readmeRow struct {
	title        string
	before, then []server.State
}

func is(k server.Kind) server.State { return server.State{Kind: k, Clients: -1} }

func demoted(k server.Kind) server.State { return server.State{Kind: k, Clients: -1, Demoted: true} }

func smart(clients int) server.State {
	return server.State{Kind: server.SmartStop, Reached: units.PhaseRunning, Clients: clients}
}

// readmeRows are in the order of the table.
func readmeRows() []readmeRow {
	up := []server.State{is(server.Down), is(server.Starting), is(server.Running)}
	and := func(more ...server.State) []server.State { return append(up[:3:3], more...) }
	states := func(all ...server.State) []server.State { return all }
	return []readmeRow{
		{"is not there", nil, states(is(server.Down))},
		{"starts", states(is(server.Down)), states(is(server.Starting))},
		{"recovers, and accepts no sessions (yet)", states(is(server.Down), is(server.Starting)), states(is(server.Recovering))},
		{"is a hot standby", states(is(server.Down), is(server.Starting), is(server.Recovering)), states(is(server.HotStandby))},
		{"is promoted", states(is(server.Starting), is(server.HotStandby)), states(is(server.Running))},
		{"is ready as a primary", states(is(server.Down), is(server.Starting)), states(is(server.Running))},
		{"stops smartly, and has other clients", up, states(smart(-1), smart(1))},
		{"stops smartly, and only pg-bgw is left", and(smart(1)), states(smart(0))},
		{"stops fast", up, states(is(server.Stopping))},
		{"stops immediately, or is killed", up, states(is(server.Unknown), is(server.Down))},
		{"is back after a stop", and(is(server.Stopping), is(server.Down), is(server.Starting)), states(is(server.Running))},
		{"is back as a standby", and(is(server.Stopping), is(server.Down), demoted(server.Starting)), states(demoted(server.HotStandby))},
		{"is back as a standby, and its stop was not seen", and(is(server.Unknown)), states(demoted(server.HotStandby))},
		{"crashes and begins anew", up, states(is(server.CrashRestart))},
		{"is back after a crash", and(is(server.CrashRestart), is(server.Starting)), states(is(server.Running))},
		{"ends our session, for whatever reason", up, states(is(server.Unknown))},
		{"does not answer (SIGSTOP, network)", up, states(is(server.Unreachable))},
		{"answers again", and(is(server.Unreachable)), states(is(server.Running))},
		{"has no connection to spare, or refuses our credentials; before, it let us in", up, states(is(server.Running))},
		{"does that, and has never let us in", nil, states(server.State{Kind: server.Unknown, Reached: units.PhaseConsistent, Clients: -1})},
		{"has TLS that we cannot agree with, and has never let us in", nil, states(server.State{Kind: server.Unknown, Reached: units.PhaseStarted, Clients: -1})},
		{"cannot be asked: its conninfo is wrong", nil, states(is(server.Unknown))},
	}
}

// TestReadme holds the table in README.md against what the daemon does with
// each state of a server, in that order and with workers of each kind; with
// -update it writes the table.
func TestReadme(t *testing.T) {
	const file, begin, end = "../../../README.md", "<!-- servers: made by the test of cmd/internal/daemon -->\n", "<!-- servers: end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	want := "| when the server | `status` says | `\"postmaster_start\"` | `\"consistent_state\"` | `\"recovery_finished\"` |\n|---|---|---|---|---|\n"
	for _, r := range readmeRows() {
		want += fmt.Sprintf("| %s | %s | %s |\n", r.title, r.then[len(r.then)-1].Kind, strings.Join(outcome(t, r), " | "))
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, want); diff != "" {
		t.Errorf("the table of README.md is out of date; run: go test ./cmd/internal/daemon -run TestReadme -update\n%s", diff)
	}
}

// outcome says what becomes of a worker of each start time; all but the first
// have a connection. restart_time is an hour, and nothing here waits for it.
func outcome(t *testing.T, r readmeRow) (cells []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &Daemon{ctx: t.Context(), log: slog.New(slog.DiscardHandler), dirty: make(chan struct{}, 1), clock: newClock(),
			servers: servers{watched: map[string]*watched{}}}
		d.supervisor = supervise.New(supervise.Options{Launcher: paper{}, Sink: paper{}})
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go d.supervisor.Run(ctx)
		var workers []*units.Worker
		for at := units.PostmasterStart; at <= units.RecoveryFinished; at++ {
			w := units.Worker{Label: at.String(), Command: []string{"/bin/w"}, StartTime: at, Server: "main", RestartTime: 3600}
			if at > units.PostmasterStart {
				w.Flags = units.BackendDatabaseConnection
			}
			w = w.WithDefaults()
			workers = append(workers, &w)
		}
		if _, err := d.supervisor.Reload(workers, supervise.Settings{MaxWorkerProcesses: 8, RestartAfterCrash: true, SmartStopGrace: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		w := &watched{}
		see := func(states []server.State) []supervise.Info {
			for _, st := range states {
				st.Label = "main"
				d.serverChanged(w, st)
				synctest.Wait()
			}
			return d.supervisor.List()
		}
		before := see(r.before)
		for n, after := range see(r.then) {
			cells = append(cells, change(before[n], after))
		}
	})
	return cells
}

func change(before, after supervise.Info) string {
	switch runs, ran := after.State == units.Running, before.State == units.Running; {
	case runs && ran && before.Start == after.Start:
		return "runs on"
	case runs && ran:
		return "is ended, and starts"
	case runs:
		return "starts"
	case after.State == units.Waiting && ran:
		return "is ended, and waits"
	case after.State == units.Waiting:
		return "waits"
	}
	return after.State.String()
}

// paper is a launcher whose processes obey every signal at once, and a sink.
type paper struct{ gone func(units.Exit) }

func (paper) Publish(supervise.Change) {}

func (paper) Start(_ supervise.Start, started func(supervise.Process, error), exited func(units.Exit)) {
	started(paper{exited}, nil)
}

func (paper) Pid() int                    { return 1 }
func (paper) Signal(units.Signal) error   { return nil }
func (paper) Kill() error                 { return nil }
func (paper) Limit(units.Resources) error { return nil }

func (p paper) SignalGroup(s units.Signal) error {
	go p.gone(units.Exit{Signal: syscall.Signal(s), At: time.Now()})
	return nil
}
