package config

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pg-bgw/pg-bgw/units"
	"pgregory.net/rapid"
)

// one loads a worker with more attributes in addition to the required ones.
func one(t testing.TB, more string) (units.Worker, error) {
	t.Helper()
	text := "worker \"a\" {\n command = [\"/bin/sleep\"]\n flags = [\"shmem_access\"]\n restart_time = \"10s\"\n" + more + "\n}\n"
	return loadOne(text)
}

func loadOne(text string) (units.Worker, error) {
	c, diags := load([]File{{Path: "a.hcl", Source: []byte(text)}}, nil, "main", Options{MultiUser: true})
	if err := diags.Err(); err != nil {
		return units.Worker{}, err
	}
	return c.Workers[0], nil
}

// One worker with every attribute, in both syntaxes.
const everyAttribute = `worker "w" {
  name         = "the name"
  type         = "the type"
  flags        = ["shmem_access", "backend_database_connection", "interruptible"]
  start_time   = "consistent_state"
  restart_time = "1min 30s"
  command      = ["/bin/sleep", 10, "a b"]
  main_arg     = 18446744073709551615
  extra_base64 = "AAH/"
  environment  = { A = "b", N = 1, T = true, "x-y" = "" }
  kill_signal  = "int"
  kill_timeout = "infinity"
  segment      = "main"
  attach       = "never"
  user         = "other"
  on_server_stop   = "keep"
  on_server_crash  = "keep"
  stop_on_demotion = false
  connection {
    database = "d"
    role     = "r"
    options  = "-c a=b"
    password_file    = "/p"
    certificate_file = "/c//c"
    key_file         = "fd:k"
  }
  restart_backoff {
    factor  = 1.5
    max     = 300
    jitter  = 0.25
    healthy = "1h"
  }
  resources {
    memory_max      = "256MiB"
    memory_high     = "infinity"
    memory_swap_max = 0
    oom_group       = false
    cpu_weight      = 50
    cpu_max         = "150%"
    pids_max        = "64"
    io_weight       = 10
    oom_score_adj   = 200
    nice            = -5
    nofile          = 1024
    core            = "infinity"
  }
  sandbox {
    no_new_privileges = true
  }
  logs {
    identifier   = "id"
    level_prefix = false
  }
}`

const everyAttributeJSON = `{"worker": {"w": {
  "name": "the name", "type": "the type", "flags": ["shmem_access", "backend_database_connection", "interruptible"],
  "start_time": "consistent_state", "restart_time": 90, "command": ["/bin/sleep", "10", "a b"],
  "main_arg": 18446744073709551615, "extra_base64": "AAH/",
  "environment": {"A": "b", "N": 1, "T": true, "x-y": ""}, "kill_signal": 2, "kill_timeout": "infinity",
  "segment": "main", "attach": "never", "user": "other",
  "on_server_stop": "keep", "on_server_crash": "keep", "stop_on_demotion": "false",
  "connection": {"database": "d", "role": "r", "options": "-c a=b", "password_file": "/p", "certificate_file": "/c/c", "key_file": "fd:k"},
  "restart_backoff": {"factor": 1.5, "max": "5min", "jitter": "0.25", "healthy": 3600},
  "resources": {"memory_max": 268435456, "memory_high": "max", "memory_swap_max": "0", "oom_group": "false", "cpu_weight": 50, "cpu_max": "150%",
    "pids_max": 64, "io_weight": 10, "oom_score_adj": 200, "nice": -5, "nofile": 1024, "core": "max"},
  "sandbox": {"no_new_privileges": "true"},
  "logs": {"identifier": "id", "level_prefix": false}
}}}`

// TestEveryAttribute reads each attribute of a worker once, in both syntaxes,
// and compares all of the result.
func TestEveryAttribute(t *testing.T) {
	want := units.Worker{
		Label: "w", Name: "the name", Type: "the type",
		Flags:     units.ShmemAccess | units.BackendDatabaseConnection | units.Interruptible,
		StartTime: units.ConsistentState, RestartTime: 90,
		Command: []string{"/bin/sleep", "10", "a b"},
		MainArg: math.MaxUint64, Extra: []byte("\x00\x01\xff"),
		Connection: &units.Connection{Database: "d", Role: "r", Options: "-c a=b", PasswordFile: "/p", CertificateFile: "/c/c", KeyFile: "fd:k"},
		Resources: units.Resources{
			Cgroup: map[string]string{
				"memory.max": "268435456", "memory.high": "max", "memory.swap.max": "0", "cpu.weight": "50",
				"cpu.max": "150000 100000", "pids.max": "64", "io.weight": "10", "memory.oom.group": "0",
			},
			OOMScoreAdj: 200, Nice: -5, NoFile: 1024, Core: new(uint64(math.MaxUint64)),
		},
		Sandbox:     units.Sandbox{NoNewPrivileges: true},
		Environment: map[string]string{"A": "b", "N": "1", "T": "true", "x-y": ""},
		KillSignal:  units.SIGINT, KillTimeout: units.Infinity,
		Backoff: &units.Backoff{Factor: 1.5, Max: 5 * time.Minute, Jitter: 0.25, Healthy: time.Hour},
		Segment: "main", Attach: units.AttachNever, User: "other",
		OnServerStop: units.ServerStopKeep, OnServerCrash: units.ServerCrashKeep, StopOnDemotion: units.DemotionKeep,
		Logs: units.Logs{Identifier: "id", NoLevelPrefix: true},
	}
	for path, text := range map[string]string{"a.hcl": everyAttribute, "a.hcl.json": everyAttributeJSON} {
		c, diags := load([]File{{Path: path, Source: []byte(text)}}, nil, "main", Options{MultiUser: true})
		if diags.Len() != 0 {
			t.Fatalf("%s: %v", path, diags.Err())
		}
		if diff := cmp.Diff(want, c.Workers[0]); diff != "" {
			t.Errorf("%s: -want +got:\n%s", path, diff)
		}
	}
	for _, f := range Schema() {
		if block, ok := strings.CutPrefix(f.Block, "worker"); ok && !strings.Contains(everyAttribute, "\n  "+f.Name) &&
			!strings.Contains(everyAttribute, "\n    "+f.Name) && f.Name != "server" && f.Name != "extra" && !strings.HasSuffix(f.Name, "_name") && !strings.HasSuffix(f.Name, "_paths") {
			t.Errorf("attribute %s of worker%s is not tested here", f.Name, block)
		}
	}
}

func TestValues(t *testing.T) {
	for _, tt := range valueCases() {
		w, err := one(t, tt.text)
		switch {
		case tt.want == nil && err == nil:
			t.Errorf("%s: accepted as %v", tt.text, tt.of(w))
		case tt.want != nil && err != nil:
			t.Errorf("%s: %v", tt.text, err)
		case tt.want != nil && tt.of(w) != tt.want:
			t.Errorf("%s: %v, want %v", tt.text, tt.of(w), tt.want)
		}
	}
}

// A valueCase is a line of a worker block and what a field then is.
type valueCase struct {
	text string
	of   func(units.Worker) any
	want any // nil: refused
}

func valueCases() []valueCase {
	restart := func(w units.Worker) any { return w.RestartTime }
	arg := func(w units.Worker) any { return w.MainArg }
	timeout := func(w units.Worker) any { return w.KillTimeout }
	signal := func(w units.Worker) any { return w.KillSignal }
	limits := func(w units.Worker) any { return fmt.Sprint(w.Resources.Cgroup) }
	core := func(w units.Worker) any {
		if w.Resources.Core == nil {
			return "the daemon's"
		}
		return *w.Resources.Core
	}
	return []valueCase{
		{`main_arg = 0`, arg, uint64(0)},
		{`main_arg = -1`, arg, uint64(math.MaxUint64)}, // BGW-019: the same bits
		{`main_arg = -9223372036854775808`, arg, uint64(1 << 63)},
		{`main_arg = 9223372036854775809`, arg, uint64(1<<63 + 1)},
		{`main_arg = "0xffffffffffffffff"`, arg, uint64(math.MaxUint64)},
		{`main_arg = -9223372036854775809`, arg, nil},
		{`main_arg = 18446744073709551616`, arg, nil},
		{`main_arg = 0.5`, arg, nil},
		{`kill_timeout = 1.5`, timeout, 1500 * time.Millisecond},
		{`kill_timeout = "90"`, timeout, 90 * time.Second},
		{`kill_timeout = "2 min"`, timeout, 2 * time.Minute},
		{`kill_timeout = 0`, timeout, nil}, // would mean the default
		{`kill_timeout = -1`, timeout, nil},
		{`kill_timeout = 1e300`, timeout, nil},
		{`kill_timeout = true`, timeout, nil},
		{`kill_signal = 9`, signal, units.SIGKILL},
		{`kill_signal = "USR1"`, signal, units.SIGUSR1},
		{`kill_signal = 0`, signal, nil},
		{`kill_signal = "SIGWHAT"`, signal, nil},
		{"resources {\n cpu_max = \"max\"\n}", limits, "map[cpu.max:max]"},
		{"resources {\n cpu_max = \"12.5%\"\n}", limits, "map[cpu.max:12500 100000]"},
		{"resources {\n cpu_max = \"NaN%\"\n}", limits, nil},
		{"resources {\n cpu_max = \"inf%\"\n}", limits, nil},
		{"resources {\n cpu_max = \"50\"\n}", limits, nil},
		{"resources {\n pids_max = \"max\"\n}", limits, "map[pids.max:max]"},
		{"resources {\n memory_max = \"1GB\"\n}", limits, "map[memory.max:1073741824]"},
		{"resources {\n memory_max = 10485760\n}", limits, "map[memory.max:10485760]"},
		{"resources {\n memory_max = 256\n}", limits, nil}, // a unit was forgotten
		{"resources {\n}", core, "the daemon's"},
		{"resources {\n core = 0\n}", core, uint64(0)}, // none, not "no limit set"
		{"resources {\n core = \"infinity\"\n}", core, uint64(math.MaxUint64)},
		{"resources {\n core = -1\n}", core, nil},
		{"restart_backoff {\n factor = \"NaN\"\n max = 60\n}", limits, nil},
		{"restart_backoff {\n max = \"9s\"\n}", restart, nil}, // below restart_time
		{`server = "x"`, restart, nil},
		{"environment = { \"A=B\" = 1 }", restart, nil},
		{"environment = { A = 1.5 }", restart, nil},
		{"environment = { A = null }", restart, nil},
	}
}

// TestLineEnds: what editors of other systems write is read the same.
func TestLineEnds(t *testing.T) {
	want, err := one(t, "")
	if err != nil {
		t.Fatal(err)
	}
	text := "worker \"a\" {\n command = [\"/bin/sleep\"]\n flags = [\"shmem_access\"]\n restart_time = \"10s\"\n}\n"
	for _, variant := range []string{strings.ReplaceAll(text, "\n", "\r\n"), "\ufeff" + text, strings.TrimSuffix(text, "\n")} {
		if got, err := loadOne(variant); err != nil || !got.Equal(&want) {
			t.Errorf("%q: %+v, %v", variant, got, err)
		}
	}
}

func TestCommand(t *testing.T) {
	for _, text := range []string{`[]`, `[null]`, `null`, `{}`, `["sleep"]`, `[""]`, `["/bin/\u0000"]`, `[["/bin/sleep"]]`, `"/bin/sleep"`} {
		w, err := loadOne("worker \"a\" {\n flags = [\"shmem_access\"]\n restart_time = 1\n command = " + text + "\n}\n")
		if err == nil {
			t.Errorf("%s: accepted as %q", text, w.Command)
		}
	}
}

// TestRestartTime: BGW-007 to BGW-009, in every way of writing them.
func TestRestartTime(t *testing.T) {
	for text, want := range map[string]units.RestartTime{
		`"never"`: units.NeverRestart, `-1`: units.NeverRestart, // BGW-007
		`0`: 0, `"0"`: 0, `"0s"`: 0, // BGW-008
		`86400000`: units.MaxRestartTime, `"86400000"`: units.MaxRestartTime, `"1000d"`: units.MaxRestartTime, // BGW-009
		`10`: 10, `"10"`: 10, `"10s"`: 10, `"1m30s"`: 90, `"1.5min"`: 90, `"2000ms"`: 2,
	} {
		w, err := loadOne("worker \"a\" {\n command = [\"/bin/sleep\"]\n flags = [\"shmem_access\"]\n restart_time = " + text + "\n}\n")
		if err != nil || w.RestartTime != want {
			t.Errorf("%s: %v, %v; want %v", text, w.RestartTime, err, want)
		}
	}
}

// TestNames: BGW-012 (the type defaults to the name), BGW-016 (names need not
// differ) and BGW-017 with the deviation that long names are refused.
func TestNames(t *testing.T) {
	w, err := one(t, "")
	if err != nil || w.Name != "a" || w.Type != "a" {
		t.Errorf("BGW-012: name %q, type %q, %v", w.Name, w.Type, err)
	}
	if w, err = one(t, `name = "x"`); err != nil || w.Name != "x" || w.Type != "x" {
		t.Errorf("BGW-012: name %q, type %q, %v", w.Name, w.Type, err)
	}
	text := workerText("a") + workerText("b")
	text = strings.ReplaceAll(text, "command ", "name = \"same\"\n  command ")
	if c, diags := load([]File{{Path: "a.hcl", Source: []byte(text)}}, nil, "", Options{}); diags.Len() != 0 || len(c.Workers) != 2 {
		t.Errorf("BGW-016: %v", diags.Err())
	}
	if w, err = one(t, fmt.Sprintf("name = %q", strings.Repeat("n", 95))); err != nil || len(w.Name) != 95 {
		t.Errorf("BGW-017: a name of 95 bytes: %v", err)
	}
	if _, err = one(t, fmt.Sprintf("name = %q", strings.Repeat("n", 96))); err == nil {
		t.Errorf("BGW-017: a name of 96 bytes was accepted")
	}
}

// TestExtra: BGW-018, 128 arbitrary bytes arrive as they are.
func TestExtra(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		extra := rapid.SliceOfN(rapid.Byte(), 0, 129).Draw(rt, "extra")
		w, err := one(t, fmt.Sprintf("extra_base64 = %q", base64.StdEncoding.EncodeToString(extra)))
		if len(extra) > units.MaxExtra {
			if err == nil {
				rt.Fatalf("%d bytes were accepted", len(extra))
			}
			return
		}
		if err != nil || !bytes.Equal(w.Extra, extra) {
			rt.Fatalf("%x became %x, %v", extra, w.Extra, err)
		}
	})
}

// TestMainArg: BGW-019, all 64 bits arrive as they are.
func TestMainArg(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		arg := rapid.Uint64().Draw(rt, "arg")
		for _, format := range []string{"%d", "\"%d\"", "\"%#x\""} {
			w, err := one(t, "main_arg = "+fmt.Sprintf(format, arg))
			if err != nil || w.MainArg != arg {
				rt.Fatalf("%d as %s became %d, %v", arg, format, w.MainArg, err)
			}
		}
	})
}

// TestOrder: workers keep the order of the files and lines (BGW-022, BGW-023),
// and nothing is dropped above max_worker_processes, which is a warning.
func TestOrder(t *testing.T) {
	files := []File{
		{Path: "main", Source: []byte("max_worker_processes = 2\n" + workerText("z"))},
		{Path: "10.hcl", Source: []byte(workerText("y") + workerText("a"))},
		{Path: "20.hcl", Source: []byte(workerText("x"))},
	}
	c, diags := load(files, nil, "main", Options{})
	if got, want := strings.Join(labels(c), ""), "zyax"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if list := diags.List(); len(list) != 1 || list[0].Severity != "warning" || list[0].File != "10.hcl" || list[0].Line != 6 {
		t.Errorf("BGW-022: %+v", list)
	}
	if diags.Err() != nil {
		t.Errorf("a warning is an error: %v", diags.Err())
	}
	for limit, warnings := range map[int]int{3: 1, 4: 0, 5: 0} {
		files[0].Source = fmt.Appendf(nil, "max_worker_processes = %d\n%s", limit, workerText("z"))
		if c, diags = load(files, nil, "main", Options{}); len(c.Workers) != 4 || diags.Len() != warnings {
			t.Errorf("BGW-022: 4 workers, %d slots: %d kept, %d warnings", limit, len(c.Workers), diags.Len())
		}
	}
}

// TestUser: another user than the daemon's needs the drop-in that allows it.
func TestUser(t *testing.T) {
	text := "worker \"a\" {\n command = [\"/bin/sleep\"]\n flags = [\"shmem_access\"]\n restart_time = 1\n user = \"alice\"\n}\n"
	for o, ok := range map[Options]bool{
		{}:                                false,
		{User: "pg-bgw"}:                  false,
		{User: "alice"}:                   true,
		{User: "root", MultiUser: true}:   true,
		{User: "pg-bgw", MultiUser: true}: true,
	} {
		c, diags := load([]File{{Path: "a.hcl", Source: []byte(text)}}, nil, "", o)
		if ok != (c != nil) {
			t.Errorf("%+v: %v", o, diags.Err())
		}
		if !ok && !strings.Contains(diags.List()[0].Detail, "10-multi-user.conf") {
			t.Errorf("%+v: %+v does not name the drop-in", o, diags.List()[0])
		}
	}
}
