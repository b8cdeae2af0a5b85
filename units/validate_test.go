package units_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// valid is a definition without a fault; tests change one thing in it.
func valid() units.Worker {
	return units.Worker{
		Name:        "sleeper",
		Flags:       units.ShmemAccess,
		RestartTime: 10,
		Command:     []string{"/bin/sleep", "10"},
	}
}

// fields returns the fields that Validate complains of after change.
func fields(change func(w *units.Worker)) []string {
	w := valid()
	change(&w)
	w = w.WithDefaults()
	var fs []string
	for _, f := range w.Validate() {
		fs = append(fs, f.Field)
	}
	return fs
}

// TestSanityCheck: PostgreSQL's checks in PostgreSQL's order, with its bounds,
// and the two that it lacks. That a file's or a request's worker is refused for
// them is tested where files and requests are read.
func TestSanityCheck(t *testing.T) {
	const db = units.BackendDatabaseConnection
	for _, tt := range []struct {
		row    string
		change func(w *units.Worker)
		want   []string
	}{
		{"valid", func(*units.Worker) {}, nil},
		{"BGW-001, BGW-002: no shared memory", func(w *units.Worker) { w.Flags = 0 }, []string{"flags"}},
		{"BGW-003: a database and no shared memory", func(w *units.Worker) { w.Flags, w.StartTime = db, units.RecoveryFinished }, []string{"flags"}},
		{"BGW-003: what is missing comes first", func(w *units.Worker) { w.Flags = db }, []string{"flags", "start_time"}},
		{"BGW-004: a database at postmaster start", func(w *units.Worker) { w.Flags |= db }, []string{"start_time"}},
		{"BGW-004: a database later", func(w *units.Worker) { w.Flags |= db; w.StartTime = units.ConsistentState }, nil},
		{"BGW-005: interruptible, no database", func(w *units.Worker) { w.Flags |= units.Interruptible }, []string{"flags"}},
		{"BGW-005: interruptible with a database", func(w *units.Worker) {
			w.Flags |= units.Interruptible | db
			w.StartTime = units.RecoveryFinished
		}, nil},
		{"paths that nothing enforces", func(w *units.Worker) {
			w.Sandbox = units.Sandbox{ReadOnlyPaths: []string{"/etc"}, ReadWritePaths: []string{"/tmp"}}
		}, []string{"sandbox.read_only_paths", "sandbox.read_write_paths"}},
		{"BGW-006: -2 s", func(w *units.Worker) { w.RestartTime = -2 }, []string{"restart_time"}},
		{"BGW-006: the least", func(w *units.Worker) { w.RestartTime = math.MinInt32 }, []string{"restart_time"}},
		{"BGW-007: never", func(w *units.Worker) { w.RestartTime = -1 }, nil},
		{"BGW-008: at once", func(w *units.Worker) { w.RestartTime = 0 }, nil},
		{"BGW-009: the longest", func(w *units.Worker) { w.RestartTime = 86_400_000 }, nil},
		{"BGW-010: longer", func(w *units.Worker) { w.RestartTime = 86_400_001 }, []string{"restart_time"}},
		{"BGW-011: parallel and restarted", func(w *units.Worker) { w.Flags |= units.ClassParallel; w.RestartTime = 5 }, []string{"restart_time"}},
		{"BGW-011: parallel and at once", func(w *units.Worker) { w.Flags |= units.ClassParallel; w.RestartTime = 0 }, []string{"restart_time"}},
		{"BGW-011: parallel, never", func(w *units.Worker) { w.Flags |= units.ClassParallel; w.RestartTime = -1 }, nil},
		{"BGW-014: an unknown start time", func(w *units.Worker) { w.StartTime = 3 }, []string{"start_time"}},
		{"BGW-015: unknown flags", func(w *units.Worker) { w.Flags |= 0x08 }, []string{"flags"}},
		{"BGW-015: the highest flag", func(w *units.Worker) { w.Flags |= 1 << 31 }, []string{"flags"}},
		{"all in order", func(w *units.Worker) {
			w.Flags, w.RestartTime = db|units.Interruptible|units.ClassParallel|8, -2
		}, []string{"flags", "start_time", "restart_time", "restart_time", "flags"}},
	} {
		if got := fields(tt.change); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.row, got, tt.want)
		}
	}
}

// TestDefaults: BGW-012, the type is the name where it is empty, and the
// values of what else may be left out.
func TestDefaults(t *testing.T) {
	w := valid().WithDefaults()
	if w.Type != w.Name {
		t.Errorf("BGW-012: type %q of name %q", w.Type, w.Name)
	}
	if w.Segment != "main" || w.KillSignal != units.SIGTERM || w.KillTimeout != 30*time.Second ||
		w.Logs.Identifier != w.Type || w.Attach != units.AttachAuto {
		t.Errorf("%+v", w)
	}
	for _, d := range []struct {
		flags units.Flags
		start units.StartTime
		given units.Demotion
		want  units.Demotion
	}{
		{units.BackendDatabaseConnection, units.RecoveryFinished, 0, units.DemotionStop},
		{units.BackendDatabaseConnection, units.RecoveryFinished, units.DemotionKeep, units.DemotionKeep},
		{units.BackendDatabaseConnection, units.ConsistentState, 0, units.DemotionKeep},
		{0, units.RecoveryFinished, 0, units.DemotionKeep},
		{0, units.RecoveryFinished, units.DemotionStop, units.DemotionStop},
	} {
		w := valid()
		w.Flags, w.StartTime, w.StopOnDemotion = w.Flags|d.flags, d.start, d.given
		if got := w.WithDefaults().StopOnDemotion; got != d.want {
			t.Errorf("%+v: %v", d, got)
		}
	}
	w = units.Worker{Label: "l", LibraryName: "lib", FunctionName: "f"}.WithDefaults()
	if w.Name != "l" || w.Attach != units.AttachAlways {
		t.Errorf("%+v", w)
	}
	w = units.Worker{Name: "n", Type: "t", Segment: "s", KillSignal: units.SIGINT, KillTimeout: 1, Command: []string{"/x"},
		Attach: units.AttachNever, Logs: units.Logs{Identifier: "i"}}
	if got := w.WithDefaults(); !got.Equal(&w) || got.Name != "n" || got.Type != "t" || got.Logs.Identifier != "i" {
		t.Errorf("defaults replaced what was given: %+v", got)
	}
}

// TestBounds: our own rules, each at its limit and one beyond.
func TestBounds(t *testing.T) {
	for _, tt := range slices.Concat(wordCases(), runCases()) {
		if got := fields(tt.change); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A boundCase changes a worker that is valid, and names the fields that are at fault then.
type boundCase struct {
	name   string
	change func(w *units.Worker)
	want   []string
}

// wordCases are about names, the connection and the server.
func wordCases() []boundCase {
	text := func(n int) string { return strings.Repeat("x", n) }
	connection := func(c units.Connection) func(*units.Worker) {
		return func(w *units.Worker) {
			w.Flags, w.StartTime, w.Connection = w.Flags|units.BackendDatabaseConnection, units.RecoveryFinished, &c
		}
	}
	return []boundCase{
		{"BGW-016: names need not differ from labels", func(w *units.Worker) { w.Label = "sleeper" }, nil},
		{"BGW-017: 95 bytes", func(w *units.Worker) { w.Name = text(95) }, nil},
		{"BGW-017: 96 bytes", func(w *units.Worker) { w.Name, w.Type = text(96), "t" }, []string{"name"}},
		{"BGW-018: 128 bytes", func(w *units.Worker) { w.Extra = make([]byte, 128) }, nil},
		{"BGW-018: 129 bytes", func(w *units.Worker) { w.Extra = make([]byte, 129) }, []string{"extra"}},
		{"BGW-019: all bits", func(w *units.Worker) { w.MainArg = math.MaxUint64 }, nil},
		{"BGW-020: a name beyond ASCII", func(w *units.Worker) { w.Name = "Schläfer" }, nil},
		{"no name", func(w *units.Worker) { w.Name = "" }, []string{"name", "type"}},
		{"a name of two lines", func(w *units.Worker) { w.Name, w.Type = "a\nb", "t" }, []string{"name"}},
		{"a name for a terminal", func(w *units.Worker) { w.Name, w.Type = "a\u009b2J", "t" }, []string{"name"}},
		{"a name that the bus cannot carry", func(w *units.Worker) { w.Name, w.Type = "a\xff", "t" }, []string{"name"}},
		{"a label with a slash", func(w *units.Worker) { w.Label = "a/../b" }, []string{"label"}},
		{"a segment with a slash", func(w *units.Worker) { w.Segment = "a/b" }, []string{"segment"}},
		{"BGW-120: a connection without the flag", func(w *units.Worker) { w.Connection = &units.Connection{} }, []string{"connection"}},
		{"a database of 64 bytes", func(w *units.Worker) {
			w.Flags, w.StartTime = w.Flags|units.BackendDatabaseConnection, units.RecoveryFinished
			w.Connection = &units.Connection{Database: text(64), Role: text(63)}
		}, []string{"connection.database"}},
		{"all of a connection", connection(units.Connection{Database: text(63), Role: text(63), Options: text(4096), PasswordFile: "/p", CertificateFile: "/c", KeyFile: "/k"}), nil},
		{"a role of 64 bytes", connection(units.Connection{Role: text(64)}), []string{"connection.role"}},
		{"options of two lines", connection(units.Connection{Options: "-c a=b\n"}), []string{"connection.options"}},
		{"too long options", connection(units.Connection{Options: text(4097)}), []string{"connection.options"}},
		{"relative secrets", connection(units.Connection{PasswordFile: "p", CertificateFile: "c", KeyFile: "/k\x00"}),
			[]string{"connection.password_file", "connection.certificate_file", "connection.key_file"}},
		{"secrets that are passed", connection(units.Connection{PasswordFile: "fd:p", CertificateFile: "/c", KeyFile: "fd:k"}), nil},
		{"names of descriptors", connection(units.Connection{PasswordFile: "fd:", CertificateFile: "fd:c", KeyFile: "fd:/k"}),
			[]string{"connection.password_file", "connection.certificate_file", "connection.key_file"}},
		{"a certificate without its key", connection(units.Connection{CertificateFile: "/c"}), []string{"connection.key_file"}},
		{"a key without its certificate", connection(units.Connection{KeyFile: "/k"}), []string{"connection.certificate_file"}},
		{"a word for a server's stop", func(w *units.Worker) { w.OnServerStop = 2 }, []string{"on_server_stop"}},
		{"a word for a server's crash", func(w *units.Worker) { w.OnServerCrash = 2 }, []string{"on_server_crash"}},
		{"a word for a demotion", func(w *units.Worker) { w.StopOnDemotion = 3 }, []string{"stop_on_demotion"}},
		{"a standby's worker that a demotion stops", func(w *units.Worker) {
			w.StartTime, w.StopOnDemotion = units.ConsistentState, units.DemotionStop
		}, []string{"stop_on_demotion"}},
		{"a primary's worker that a demotion stops", func(w *units.Worker) {
			w.StartTime, w.StopOnDemotion = units.RecoveryFinished, units.DemotionStop
		}, nil},
	}
}

// runCases are about what runs, how it ends and its limits.
func runCases() []boundCase {
	text := func(n int) string { return strings.Repeat("x", n) }
	module := func(w *units.Worker) { w.Command, w.LibraryName, w.FunctionName = nil, "lib", "f" }
	backoff := func(b units.Backoff) func(w *units.Worker) { return func(w *units.Worker) { w.Backoff = &b } }
	return []boundCase{
		{"nothing to run", func(w *units.Worker) { w.Command = nil }, []string{"command"}},
		{"two things to run", func(w *units.Worker) { w.LibraryName = "lib" }, []string{"command"}},
		{"a module", module, nil},
		{"a library without a function", func(w *units.Worker) { module(w); w.FunctionName = "" }, []string{"function_name"}},
		{"a function without a library", func(w *units.Worker) { module(w); w.LibraryName = "" }, []string{"library_name"}},
		{"a module that is not attached", func(w *units.Worker) { module(w); w.Attach = units.AttachNever }, []string{"attach"}},
		{"a relative command", func(w *units.Worker) { w.Command[0] = "sleep" }, []string{"command"}},
		{"an empty command", func(w *units.Worker) { w.Command = []string{""} }, []string{"command"}},
		{"a NUL in an argument", func(w *units.Worker) { w.Command[1] = "a\x00b" }, []string{"command"}},
		{"an argument that is no text", func(w *units.Worker) { w.Command[1] = "\xff" }, []string{"command"}},
		{"1025 arguments", func(w *units.Worker) { w.Command = slices.Repeat([]string{"/x"}, 1025) }, []string{"command"}},
		{"too long arguments", func(w *units.Worker) { w.Command[1] = text(64 << 10) }, []string{"command"}},
		{"environment", func(w *units.Worker) { w.Environment = map[string]string{"A": "b=c\n", "x y": ""} }, nil},
		{"bad environment", func(w *units.Worker) {
			w.Environment = map[string]string{"": "x", "A=B": "x", "C": "\x00", "PGBGW_FDS": "x", "D": "\xff"}
		}, slices.Repeat([]string{"environment"}, 5)},
		{"too large environment", func(w *units.Worker) { w.Environment = map[string]string{"A": text(64 << 10)} }, []string{"environment"}},
		{"signal 64", func(w *units.Worker) { w.KillSignal = 64 }, nil},
		{"signal 65", func(w *units.Worker) { w.KillSignal = 65 }, []string{"kill_signal"}},
		{"signal -1", func(w *units.Worker) { w.KillSignal = -1 }, []string{"kill_signal"}},
		{"no end of waiting", func(w *units.Worker) { w.KillTimeout = units.Infinity }, nil},
		{"a negative time", func(w *units.Worker) { w.KillTimeout = -1 }, []string{"kill_timeout"}},
		{"limits", func(w *units.Worker) { w.Resources.OOMScoreAdj, w.Resources.Nice = 1000, -20 }, nil},
		{"beyond limits", func(w *units.Worker) { w.Resources.OOMScoreAdj, w.Resources.Nice = -1001, 20 }, []string{"resources.oom_score_adj", "resources.nice"}},
		{"backoff", backoff(units.Backoff{Factor: 1, Max: 10 * time.Second}), nil},
		{"backoff below the interval", backoff(units.Backoff{Factor: 10, Max: 9 * time.Second, Jitter: 1}), []string{"restart_backoff.max"}},
		{"backoff of nothing", backoff(units.Backoff{Factor: math.NaN(), Max: math.MaxInt64, Jitter: math.NaN(), Healthy: -1}),
			[]string{"restart_backoff.factor", "restart_backoff.jitter", "restart_backoff.max", "restart_backoff.healthy"}},
		{"backoff without restart", func(w *units.Worker) {
			w.RestartTime, w.Backoff = units.NeverRestart, &units.Backoff{Factor: 1}
		}, []string{"restart_backoff"}},
	}
}

// TestFaultTexts: each fault names its field, what is wrong and what is right.
func TestFaultTexts(t *testing.T) {
	w := units.Worker{Label: "a b", KillSignal: -1, Environment: map[string]string{"PGBGW_B": "", "PGBGW_A": ""}}
	faults := w.WithDefaults()
	text := faults.Validate().Error()
	for range 20 { // in the same order each time
		if again := faults.Validate().Error(); again != text {
			t.Fatalf("%s\nthen\n%s", text, again)
		}
	}
	for _, f := range faults.Validate() {
		if f.Field == "" || f.Problem == "" || f.Remedy == "" {
			t.Errorf("%+v", f)
		}
	}
	if want := "kill_signal: -1 is not a signal; use a signal such as \"SIGTERM\""; !strings.Contains(text, want) {
		t.Errorf("%s\nlacks %s", text, want)
	}
}

func TestValidLabel(t *testing.T) {
	for label, want := range map[string]bool{
		"a": true, "A.b_c@d-1": true, strings.Repeat("a", 63): true, "0": true,
		"": false, "-a": false, ".a": false, "..": false, "a/b": false, "a b": false, "a\n": false, "ä": false,
		strings.Repeat("a", 64): false, "a\x00": false,
	} {
		if units.ValidLabel(label) != want {
			t.Errorf("%q: %v", label, !want)
		}
	}
}
