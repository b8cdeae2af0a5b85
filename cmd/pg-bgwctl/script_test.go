package main

import (
	"bufio"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what scripts and golden files expect")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pg-bgwctl": main})
}

// TestScripts runs the program against a fake daemon on a private bus, one of each per script. Beside testscript's own
// commands there are:
//
//	ctl CODE ARG...         run pg-bgwctl; it must exit with CODE
//	daemon start FILE [uid=N] [self=N] [servers=FILE]   serve the workers of a JSON file; callers count as uid N, or as root
//	daemon stop             leave the bus
//	await METHOD            wait until the daemon was asked for METHOD since the last await
//	calls                   the file calls becomes the changes that the daemon was asked for, one in a line
//	worker LABEL STATE      a worker changes its state by itself
//	server NAME PHASE       a server changes its phase
//	fifo NAME               make a pipe that a command in the background can write to
//	line REGEXP             wait for a line of it; those before are passed
func TestScripts(t *testing.T) {
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs dbus-daemon: %v", err)
		}
		t.Skipf("needs dbus-daemon: %v", err)
	}
	fixtures, err := filepath.Abs("testdata/workers.json")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			address, err := startBus(t, env)
			if err != nil {
				return err
			}
			env.Vars = append(env.Vars, "DBUS_SYSTEM_BUS_ADDRESS="+address, "LANG=C.UTF-8", "TZ=UTC", "COLUMNS=", "NO_COLOR=", "SYSTEMD_COLORS=", "TMPDIR="+env.WorkDir, "FIXTURE="+fixtures)
			w := &world{address: address}
			env.Values["world"] = w
			env.Defer(w.stop)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ctl": ctl, "daemon": daemonCmd, "await": awaitCmd, "calls": callsCmd, "worker": workerCmd, "server": serverCmd,
			"fifo": fifoCmd, "line": lineCmd,
		},
	})
}

// world is what one script has beside its files.
type world struct {
	address string
	daemon  *daemon // nil while there is none
	seen    int     // calls before the last await
	fifo    *os.File
	lines   *bufio.Reader // of fifo
}

func (w *world) stop() {
	if w.daemon != nil {
		w.daemon.stop()
		w.daemon = nil
	}
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

func running(ts *testscript.TestScript) *daemon {
	d := worldOf(ts).daemon
	if d == nil {
		ts.Fatalf("there is no daemon")
	}
	return d
}

func ctl(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ctl CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("pg-bgwctl", args[1:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("pg-bgwctl: %v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if out := ts.ReadFile("stdout") + ts.ReadFile("stderr"); strings.ContainsAny(out, "\x07\x1b\u009b\u202e\x00") && ts.Getenv("SYSTEMD_COLORS") == "" {
		ts.Fatalf("what a terminal obeys reached the output: %q", out)
	}
}

func daemonCmd(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	switch {
	case len(args) == 1 && args[0] == "stop":
		w.stop()
	case len(args) >= 2 && args[0] == "start":
		w.stop()
		w.seen = 0
		d := newDaemon(ts.ReadFile(args[1]))
		for _, arg := range args[2:] {
			key, value, _ := strings.Cut(arg, "=")
			if key == "servers" {
				d.serve(ts.ReadFile(value))
				continue
			}
			n, err := strconv.ParseUint(value, 10, 32)
			ts.Check(err)
			switch key {
			case "uid":
				d.uid = uint32(n)
			case "self":
				d.self = uint32(n)
			}
		}
		ts.Check(d.start(w.address))
		w.daemon = d
	default:
		ts.Fatalf("usage: daemon start FILE [uid=N] [self=N] [servers=FILE] | daemon stop")
	}
}

func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	seen, err := running(ts).await(args[0], w.seen)
	ts.Check(err)
	w.seen = seen
}

func callsCmd(ts *testscript.TestScript, neg bool, args []string) {
	text := running(ts).takeCalls()
	ts.Check(os.WriteFile(ts.MkAbs("calls"), []byte(text), 0o600))
}

// fifoCmd makes a pipe with a name, into which a command in the background can say
// what it sees meanwhile.
func fifoCmd(ts *testscript.TestScript, neg bool, args []string) {
	name := ts.MkAbs(args[0])
	ts.Check(syscall.Mkfifo(name, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0) // for reading alone it would wait for a writer
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	w := worldOf(ts)
	w.fifo, w.lines = f, bufio.NewReader(f)
}

// lineCmd returns when a line of the pipe matches; those before it are passed.
func lineCmd(ts *testscript.TestScript, neg bool, args []string) {
	w, want := worldOf(ts), regexp.MustCompile(args[0])
	ts.Check(w.fifo.SetReadDeadline(time.Now().Add(patience)))
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			ts.Fatalf("no line matches %q: %v", args[0], err)
		}
		ts.Logf("%s", line)
		if want.MatchString(strings.TrimSuffix(line, "\n")) {
			return
		}
	}
}

func workerCmd(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(running(ts).set(args[0], args[1]))
}

func serverCmd(ts *testscript.TestScript, neg bool, args []string) {
	running(ts).setPhase(args[0], args[1])
}

// golden compares got with a file of testdata/golden, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}
