package units_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/units"
	"pgregory.net/rapid"
)

// TestFlags: the values are PostgreSQL's, and names and values are two ways to
// say the same.
func TestFlags(t *testing.T) {
	for name, value := range map[string]units.Flags{"shmem_access": 1, "backend_database_connection": 2, "interruptible": 4, "class_parallel": 0x10} {
		if got, ok := units.ParseFlag(name); !ok || got != value {
			t.Errorf("%s is %#x, %v", name, uint32(got), ok)
		}
	}
	for f := range units.Flags(32) {
		var back units.Flags
		for _, n := range f.Names() {
			flag, ok := units.ParseFlag(n)
			if !ok {
				t.Errorf("%q of %#x is unknown", n, uint32(f))
			}
			back |= flag
		}
		if back != f&^0x08 {
			t.Errorf("%#x became %#x", uint32(f), uint32(back))
		}
	}
	if _, ok := units.ParseFlag("shmem_access|interruptible"); ok {
		t.Error("two flags are one")
	}
}

// TestWords: every enumeration is read back from its own words.
func TestWords(t *testing.T) {
	for i, s := range units.StartTimeNames() {
		if got, ok := units.ParseStartTime(s); !ok || got != units.StartTime(i) || got.String() != s {
			t.Errorf("start time %q is %d", s, got)
		}
	}
	for i, s := range units.AttachNames() {
		if got, ok := units.ParseAttach(s); !ok || got != units.Attach(i) || got.String() != s {
			t.Errorf("attach %q is %d", s, got)
		}
	}
	for _, bad := range []string{"", "Auto", "0", "invalid(7)"} {
		if _, ok := units.ParseAttach(bad); ok {
			t.Errorf("attach %q was accepted", bad)
		}
		if _, ok := units.ParseStartTime(bad); ok {
			t.Errorf("start time %q was accepted", bad)
		}
	}
	if got := units.StartTime(9).String(); got != "invalid(9)" {
		t.Errorf("start time 9 is %q", got)
	}
	names := units.FlagNames()
	names[0] = "changed"
	if units.FlagNames()[0] == "changed" {
		t.Error("the list of names is not the caller's own")
	}
}

func TestHandles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := units.Handle{Slot: rapid.Uint32().Draw(t, "slot"), Generation: rapid.Uint64Min(1).Draw(t, "generation")}
		if got, ok := units.ParseHandle(h.String()); !ok || got != h {
			t.Fatalf("%v became %v, %v", h, got, ok)
		}
	})
	for _, bad := range []string{"", ".", "3", "3.", ".17", "3.0", "-1.5", "3.17.2", "4294967296.1", "3.18446744073709551616", "3. 17", "0x3.17"} {
		if h, ok := units.ParseHandle(bad); ok {
			t.Errorf("%q is %v", bad, h)
		}
	}
	if got := (units.Run{Handle: units.Handle{Slot: 3, Generation: 17}, Start: 2}).String(); got != "3.17.2" {
		t.Errorf("run %q", got)
	}
}

// TestPermits: each phase permits what the ones before it do, and none permits
// what is to wait (the start times of BGW-077 to BGW-083).
func TestPermits(t *testing.T) {
	all := []units.StartTime{units.PostmasterStart, units.ConsistentState, units.RecoveryFinished}
	for phase, n := range map[units.Phase]int{
		units.PhaseUnknown: 0, units.PhaseDown: 0, units.PhaseCrashed: 0, units.PhaseStarted: 1, units.PhaseConsistent: 2, units.PhaseRunning: 3,
	} {
		for i, start := range all {
			for _, p := range []units.Phase{phase, phase | units.SmartStop, phase | units.Demoted} {
				if p.Permits(start) != (i < n) || p.Rejects(start) != (i >= n && phase != units.PhaseUnknown) {
					t.Errorf("%v permits %v: %v, rejects %v", p, start, p.Permits(start), p.Rejects(start))
				}
				if p.Up() != (n > 0) || p.Base() != phase {
					t.Errorf("%v: up %v, base %v", p, p.Up(), p.Base())
				}
			}
		}
	}
}

// TestPhaseWords: what is added to a phase is said.
func TestPhaseWords(t *testing.T) {
	for p, want := range map[units.Phase]string{
		0: "unknown", units.PhaseDown: "down", units.PhaseCrashed | units.Demoted: "crashed, demoted",
		units.PhaseStarted: "started", units.PhaseConsistent | units.SmartStop: "consistent, smart stop", units.PhaseRunning: "recovery_finished",
		units.PhaseStarted | units.SmartStop | units.Demoted: "started, smart stop, demoted", 6: "invalid(6)",
	} {
		if p.String() != want {
			t.Errorf("%d is %q, want %q", p, p, want)
		}
	}
	if p := units.Phase(units.PhaseUnknown | units.SmartStop); p.Up() || p.Rejects(units.PostmasterStart) {
		t.Error("a server of which nothing is known counts as known")
	}
}

// TestExit: what PostgreSQL calls a crash (BGW-058 to BGW-060), in its words.
func TestExit(t *testing.T) {
	for _, tt := range []struct {
		exit     units.Exit
		abnormal bool
		text     string
	}{
		{units.Exit{Code: 0}, false, "exited with exit code 0"},
		{units.Exit{Code: 1}, false, "exited with exit code 1"},
		{units.Exit{Code: 2}, true, "exited with exit code 2"},
		{units.Exit{Code: 255}, true, "exited with exit code 255"},
		{units.Exit{Signal: 15}, true, "was terminated by signal 15: terminated"},
		{units.Exit{Signal: 9, OOM: true}, true, "was terminated by signal 9: killed (out of memory)"},
	} {
		if tt.exit.Abnormal() != tt.abnormal || tt.exit.String() != tt.text {
			t.Errorf("%+v: %v, %q", tt.exit, tt.exit.Abnormal(), tt.exit)
		}
	}
}

// TestEqual: every field counts, defaults count as what they mean, and how a
// value is held does not.
func TestEqual(t *testing.T) {
	a := valid()
	b := a.WithDefaults()
	b.Extra, b.Environment, b.Resources.Cgroup = []byte{}, map[string]string{}, map[string]string{}
	if !a.Equal(&b) || !b.Equal(&a) {
		t.Error("a default differs from what it means")
	}
	for name, change := range map[string]func(w *units.Worker){
		"label": func(w *units.Worker) { w.Label = "x" }, "name": func(w *units.Worker) { w.Name = "x" }, "type": func(w *units.Worker) { w.Type = "x" },
		"flags": func(w *units.Worker) { w.Flags |= 2 }, "start time": func(w *units.Worker) { w.StartTime = 1 },
		"restart time": func(w *units.Worker) { w.RestartTime = 0 }, "command": func(w *units.Worker) { w.Command = w.Command[:1] },
		"library": func(w *units.Worker) { w.LibraryName = "x" }, "function": func(w *units.Worker) { w.FunctionName = "x" },
		"argument": func(w *units.Worker) { w.MainArg = 1 }, "extra": func(w *units.Worker) { w.Extra = []byte{0} },
		"connection": func(w *units.Worker) { w.Connection = new(units.Connection) }, "backoff": func(w *units.Worker) { w.Backoff = new(units.Backoff) },
		"limit": func(w *units.Worker) { w.Resources.Cgroup = map[string]string{"a": ""} }, "oom": func(w *units.Worker) { w.Resources.OOMScoreAdj = 1 },
		"nice": func(w *units.Worker) { w.Resources.Nice = 1 }, "files": func(w *units.Worker) { w.Resources.NoFile = 1 }, "core": func(w *units.Worker) { w.Resources.Core = new(uint64) },
		"privileges": func(w *units.Worker) { w.Sandbox.NoNewPrivileges = true }, "read": func(w *units.Worker) { w.Sandbox.ReadOnlyPaths = []string{"/"} },
		"write": func(w *units.Worker) { w.Sandbox.ReadWritePaths = []string{"/"} }, "environment": func(w *units.Worker) { w.Environment = map[string]string{"A": ""} },
		"signal": func(w *units.Worker) { w.KillSignal = 1 }, "timeout": func(w *units.Worker) { w.KillTimeout = 1 }, "segment": func(w *units.Worker) { w.Segment = "x" },
		"attach": func(w *units.Worker) { w.Attach = 1 }, "server": func(w *units.Worker) { w.Server = "x" }, "user": func(w *units.Worker) { w.User = "x" },
		"identifier": func(w *units.Worker) { w.Logs.Identifier = "x" }, "prefix": func(w *units.Worker) { w.Logs.NoLevelPrefix = true },
		"owner":       func(w *units.Worker) { w.StopWithOwner = true },
		"server stop": func(w *units.Worker) { w.OnServerStop = units.ServerStopKeep }, "server crash": func(w *units.Worker) { w.OnServerCrash = units.ServerCrashKeep },
		"demotion": func(w *units.Worker) { w.StopOnDemotion = units.DemotionStop },
	} {
		b := a
		b.Command = slices.Clone(a.Command)
		change(&b)
		if a.Equal(&b) || b.Equal(&a) {
			t.Errorf("%s makes no difference", name)
		}
		if limit := name == "limit"; a.EqualButLimits(&b) != limit || b.EqualButLimits(&a) != limit {
			t.Errorf("%s alone: a difference in limits is %v", name, !limit)
		}
	}
}

func TestStateWords(t *testing.T) {
	seen := make(map[string]bool)
	for s := units.Waiting; s <= units.Ended; s++ {
		if w := s.String(); seen[w] || strings.HasPrefix(w, "invalid") {
			t.Errorf("state %d is %q", s, w)
		} else {
			seen[w] = true
		}
	}
	if units.StatusStarted != 0 || units.StatusNotYetStarted != 1 || units.StatusStopped != 2 || units.StatusPostmasterDied != 3 {
		t.Error("the values are not those of BgwHandleStatus")
	}
	if got := units.StatusNotYetStarted.String(); got != "not_yet_started" {
		t.Errorf("status 1 is %q", got)
	}
}

// TestApplicationName: what pg_stat_activity shows of a worker has its name
// and its type, in 63 bytes of ASCII (BGW-113).
func TestApplicationName(t *testing.T) {
	long := strings.Repeat("x", 95)
	for _, tt := range []struct{ name, typ, env, want string }{
		{"a", "", "", "a"},
		{"a", "b", "", "b: a"},
		{"worker 3", "worker", "", "worker 3"},
		{"Schläfer", "", "", "Schl?fer"},
		{"a\tb", "", "", "a?b"},
		{long, "t", "", "t: " + long[:60]},
		{strings.Repeat("ä", 40), "t", "", "t: " + strings.Repeat("?", 40)},
		{"a", "b", "own ü", "own ?"},
	} {
		w := units.Worker{Name: tt.name, Type: tt.typ}
		if tt.env != "" {
			w.Environment = map[string]string{"PGAPPNAME": tt.env}
		}
		w = w.WithDefaults()
		if got := w.ApplicationName(); got != tt.want {
			t.Errorf("%q of type %q: %q, want %q", tt.name, tt.typ, got, tt.want)
		}
	}
}
