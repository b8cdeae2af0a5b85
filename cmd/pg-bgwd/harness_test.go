package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// patience bounds every wait of these tests: nothing is expected to take a
// noticeable part of it.
const patience = 2 * time.Minute

var programs string // directory of pg-bgwd and pg-bgw-launcher

// TestMain is also the worker that the tests run: see role.
func TestMain(m *testing.M) {
	if r := os.Getenv("TEST_ROLE"); r != "" {
		os.Exit(role(r))
	}
	os.Exit(runTests(m))
}

// runTests builds the programs, unless PGBGW_TEST_PROGRAMS says where they are: there
// may be no compiler on the system that the tests run on, TestServer* above all.
func runTests(m *testing.M) int {
	defer func() { os.RemoveAll(blank.base) }()
	if programs = os.Getenv("PGBGW_TEST_PROGRAMS"); programs != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pg-bgwd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755)
	programs = dir
	for _, c := range [][]string{
		append([]string{"go", "build", "-o", dir}, buildFlags()...),
		{"sh", "../pg-bgw-launcher/build.sh", filepath.Join(dir, "pg-bgw-launcher")},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", c, err, out)
			return 1
		}
	}
	return m.Run()
}

// buildFlags builds pg-bgwd with the race detector when the test has it.
func buildFlags() []string {
	if info, ok := debug.ReadBuildInfo(); ok {
		if slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
			return []string{"-race", "."}
		}
	}
	return []string{"."}
}

// need skips the test where a program is missing, and fails where the
// environment promises it.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed: %v", program, err)
		}
		t.Skipf("%s is needed: %v", program, err)
	}
}

// A supervisor is a running pg-bgwd.
type supervisor struct {
	t      *testing.T
	dir    string // holds pg-bgw.hcl, workers.d and run
	bus    *bus
	wrap   []string            // a command that executes it, and its arguments
	as     *syscall.Credential // nil: our own user
	cmd    *exec.Cmd
	log    logBuffer
	notify *net.UnixConn
	client *dbusapi.Client
	events <-chan dbusapi.Event
	done   chan struct{} // closed when it has ended
	err    error         // what Wait said, after done
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts pg-bgwd on the given files ("workers.d/10.hcl": content) and
// returns when it has said READY.
func start(t *testing.T, b *bus, files map[string]string) *supervisor {
	t.Helper()
	s := prepare(t, b, files)
	s.run()
	s.until("READY=1")
	s.connect()
	return s
}

func prepare(t *testing.T, b *bus, files map[string]string) *supervisor {
	t.Helper()
	s := &supervisor{t: t, dir: t.TempDir(), bus: b}
	for name, text := range files {
		s.file(name, text)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "workers.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	s.notify = conn
	t.Cleanup(func() { conn.Close() })
	return s
}

func (s *supervisor) file(name, text string) {
	s.t.Helper()
	write(s.t, filepath.Join(s.dir, name), text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run starts the program, with these environment variables besides our own.
func (s *supervisor) run(env ...string) {
	s.t.Helper()
	s.file("pg-bgw.hcl", readOr(filepath.Join(s.dir, "pg-bgw.hcl"), ""))
	address := "none"
	if s.bus != nil {
		address = s.bus.address
	}
	args := append(slices.Clone(s.wrap), filepath.Join(programs, "pg-bgwd"), "--config", filepath.Join(s.dir, "pg-bgw.hcl"),
		"--workers", filepath.Join(s.dir, "workers.d"), "--bus", address, "--runtime-dir", filepath.Join(s.dir, "run"), "--log-level", "debug")
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	s.cmd.Stderr = &s.log
	s.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+s.notify.LocalAddr().String(),
		"GORACE=atexit_sleep_ms=0"), env...) // a race is in the log, not in the exit code
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() { s.err = s.cmd.Wait(); close(s.done) }()
	s.t.Cleanup(s.end)
}

func readOr(path, def string) string {
	if b, err := os.ReadFile(path); err == nil {
		return string(b)
	}
	return def
}

// end stops the program, and shows its log when the test has failed.
func (s *supervisor) end() {
	if s.client != nil {
		s.client.Close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Error("pg-bgwd did not stop")
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	if strings.Contains(s.log.String(), "DATA RACE") {
		s.t.Error("pg-bgwd has a data race")
	}
	if s.t.Failed() {
		s.t.Logf("log of pg-bgwd:\n%s", s.log.String())
	}
}

// connect makes a client of the bus and subscribes to everything.
func (s *supervisor) connect() {
	s.t.Helper()
	if s.bus == nil {
		return
	}
	c, err := dbusapi.Dial(s.bus.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.client = c
	ctx, cancel := context.WithCancel(context.Background()) // a test may be longer than any wait of it
	s.t.Cleanup(cancel)
	if s.events, err = c.Events(ctx, true); err != nil {
		s.t.Fatal(err)
	}
}

func (s *supervisor) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// until reads messages of the notify protocol up to one with that line, and
// returns that message.
func (s *supervisor) until(line string) string {
	s.t.Helper()
	_ = s.notify.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		n, err := s.notify.Read(buf)
		if err != nil {
			s.t.Fatalf("no %s: %v\nlog:\n%s", line, err, s.log.String())
		}
		for l := range strings.SplitSeq(string(buf[:n]), "\n") {
			if strings.HasPrefix(l, line) {
				return string(buf[:n])
			}
		}
	}
}

// wait returns when cond holds; it looks again at each event.
func (s *supervisor) wait(what string, cond func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	for !cond() {
		select {
		case _, ok := <-s.events:
			if !ok {
				s.t.Fatalf("%s: the bus is gone", what)
			}
		case <-deadline:
			s.t.Fatalf("%s: not seen", what)
		case <-s.done:
			s.t.Fatalf("%s: pg-bgwd ended: %v", what, s.err)
		}
	}
}

// worker returns the worker of that label or name.
func (s *supervisor) worker(label string) dbusapi.WorkerInfo {
	s.t.Helper()
	h, err := s.client.GetWorker(s.ctx(), label)
	if err != nil {
		s.t.Fatalf("worker %q: %v", label, err)
	}
	w, err := s.client.Worker(s.ctx(), h)
	if err != nil {
		s.t.Fatalf("worker %q: %v", label, err)
	}
	return w
}

// state waits until the worker of that label is in that state, and returns it.
func (s *supervisor) state(label, state string) dbusapi.WorkerInfo {
	s.t.Helper()
	var w dbusapi.WorkerInfo
	s.wait(label+" "+state, func() bool {
		h, err := s.client.GetWorker(s.ctx(), label)
		if err != nil {
			return false
		}
		w, err = s.client.Worker(s.ctx(), h)
		return err == nil && w.State == state
	})
	return w
}

// exitCode waits for the end of the program.
func (s *supervisor) exitCode() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("pg-bgwd did not end")
	}
	if s.err == nil {
		return 0
	}
	e, ok := errors.AsType[*exec.ExitError](s.err)
	if !ok {
		s.t.Fatal(s.err)
	}
	return e.ExitCode()
}

// gone waits for the end of a process, by a pidfd taken while it lives.
func gone(t *testing.T, pid uint32) func() {
	t.Helper()
	p, err := os.FindProcess(int(pid))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		for i := 0; p.Signal(syscall.Signal(0)) == nil; i++ {
			if i > int(patience/(5*time.Millisecond)) {
				t.Fatalf("process %d is still there", pid)
			}
			time.Sleep(5 * time.Millisecond) // not our child: nothing else to wait on
		}
	}
}

// sendSignal sends a process a signal. A worker without one has the pid 0, by which
// the kernel means our own process group.
func sendSignal(t *testing.T, pid uint32, sig syscall.Signal) {
	t.Helper()
	if pid == 0 {
		t.Fatalf("there is no process to send %v to", sig)
	}
	if err := syscall.Kill(int(pid), sig); err != nil {
		t.Fatalf("%v to process %d: %v", sig, pid, err)
	}
}

func definition(name string, restart int32, command ...string) dbusapi.Definition {
	return dbusapi.Definition{
		Set:  dbusapi.KeyName | dbusapi.KeyFlags | dbusapi.KeyRestartTime | dbusapi.KeyCommand,
		Name: name, Flags: []string{"shmem_access"}, RestartTime: restart, Command: command,
	}
}

// poll returns when cond holds of something that makes no event, such as a
// file that a worker writes.
func (s *supervisor) poll(what string, cond func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not seen", what)
		}
	}
}
