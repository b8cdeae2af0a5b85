package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// TestBadDirectories: a daemon that cannot have what it needs says so, by name,
// and starts nobody.
func TestBadDirectories(t *testing.T) {
	for name, c := range map[string]struct {
		state string // written to the epoch; "" writes none
		env   string
		want  []string
	}{
		"damaged epoch":  {"seven\n", "", []string{"/state/epoch", "seven", "is not a number"}},
		"empty epoch":    {" ", "", []string{"/state/epoch", "is not a number"}},
		"negative epoch": {"-1\n", "", []string{"/state/epoch", "is not a number"}},
		"epoch too big":  {"4294967296\n", "", []string{"/state/epoch", "is not a number"}},
		"used up":        {"4294967295\n", "", []string{"/state/epoch", "used up"}},
		"no state":       {"", "STATE_DIRECTORY=/proc/nonexistent/x", []string{"state directory", "/proc/nonexistent"}},
		"read-only":      {"", "STATE_DIRECTORY=/proc/self", []string{"epoch", "/proc/self"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t, nil, map[string]string{"workers.d/10.hcl": sleeper("one", "")})
			if c.state != "" {
				s.file("run/state/epoch", c.state)
			}
			s.run(c.env)
			status := s.until("STATUS=")
			if code := s.exitCode(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(s.log.String(), want) || !strings.Contains(status, want) {
					t.Errorf("%q is not in the log or in %q", want, status)
				}
			}
			if strings.Contains(s.log.String(), "worker started") {
				t.Error("it started a worker")
			}
		})
	}
}

// TestRuntimeDirectory: one that cannot be made, or is not ours to lock.
func TestRuntimeDirectory(t *testing.T) {
	for name, spoil := range map[string]func(s *supervisor){
		"a file":        func(s *supervisor) { s.file("run", "") },
		"lock is a dir": func(s *supervisor) { s.file("run/pg-bgwd.lock/x", "") },
		"lock is a link": func(s *supervisor) {
			s.file("run/x", "")
			if err := os.Symlink("x", filepath.Join(s.dir, "run/pg-bgwd.lock")); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t, nil, nil)
			spoil(s)
			s.run()
			if code := s.exitCode(); code != 1 || !strings.Contains(s.log.String(), filepath.Join(s.dir, "run")) {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestEndDuringStart: SIGTERM before READY, while a bus that does not answer
// holds up the start, is a clean end.
func TestEndDuringStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := prepare(t, &bus{address: "unix:path=" + path}, map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	s.run()
	c, err := l.Accept() // it waits for our word now
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := s.log.String(); strings.Contains(log, "worker started") || !strings.Contains(log, "before it was ready") {
		t.Error("it started a worker, or does not say that it was stopped")
	}
}

// TestBusHangs: a bus that stops answering delays no worker and no shutdown.
func TestBusHangs(t *testing.T) {
	b := startBus(t)
	s := start(t, b, map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	one := s.state("one", "running")
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	sendSignal(t, one.MainPID, syscall.SIGKILL)
	s.says("start_number=2 state=running")
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestNoMemoryForASegment: a start that fails before there is a process leaves nothing
// behind and fails no other.
func TestNoMemoryForASegment(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "segment \"vast\" {\n  size = \"1TB\"\n}\n",
		"workers.d/10.hcl": sleeper("one", "") + strings.Replace(sleeper("two", "  segment = \"vast\"\n"), "restart_time = 0", "restart_time = \"1h\"", 1),
	})
	s.state("one", "running")
	w := s.state("two", "restarting")
	if !strings.Contains(w.Reason, "vast") {
		t.Errorf("the reason is %q", w.Reason)
	}
	before, list := s.descriptors()
	for range 5 {
		if _, err := s.client.Start(s.ctx(), w.Handle); err != nil {
			t.Fatal(err)
		}
		n := w.StartNumber
		w = s.when(w.Handle, "tried again", func(w dbusapi.WorkerInfo) bool { return w.StartNumber > n && w.State == "restarting" })
	}
	if after, now := s.descriptors(); after != before {
		t.Errorf("%d descriptors are %d:\n%s%s", before, after, list, now)
	}
}

// TestCore: core = 0 is a limit of nothing, and not the absence of one.
func TestCore(t *testing.T) {
	dir := t.TempDir()
	worker := func(label, resources string) string {
		return fmt.Sprintf("worker %q {\n command = [\"/bin/sh\", \"-c\", \"ulimit -Hc >%s/%s\"]\n flags = [\"shmem_access\"]\n"+
			" restart_time = \"never\"\n resources {\n  %s\n }\n}\n", label, dir, label, resources)
	}
	s := start(t, startBus(t), map[string]string{
		"workers.d/10.hcl": worker("none", "core = 0") + worker("some", `core = "1MiB"`) + worker("own", "nice = 0"),
	})
	own, err := exec.Command("/bin/sh", "-c", "ulimit -Hc").Output()
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{"none": "0\n", "some": "2048\n", "own": string(own)} { // dash counts blocks of 512 bytes
		s.state(label, "ended")
		if got := readOr(filepath.Join(dir, label), ""); got != want {
			t.Errorf("%s: ulimit -Hc says %q, want %q", label, got, want)
		}
	}
}

// A manager whose socket is full is told all the same that the daemon is ready.
func TestReadyIsSaidAgain(t *testing.T) {
	s := prepare(t, nil, nil)
	flood, err := net.DialUnix("unixgram", nil, s.notify.LocalAddr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	_ = flood.SetWriteDeadline(time.Now().Add(time.Second / 10))
	for err = nil; err == nil; _, err = flood.Write([]byte("X_FLOOD=1")) {
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	s.run()
	s.poll("the daemon is ready", func() bool { return strings.Contains(s.log.String(), "msg=ready") })
	s.until("READY=1")
}
