package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

func mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestOneSIGTERM: BGW-037. However often a worker is asked to end, it gets one
// SIGTERM; what is sent after it through the same queue shows that no second
// one was under way.
func TestOneSIGTERM(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	s := start(t, startBus(t), nil)
	h := s.register(definition("one", 0, "/bin/sh", "-c", fmt.Sprintf(
		`trap 'echo TERM >> %[1]s.new' TERM; trap 'echo WINCH >> %[1]s.new; mv %[1]s.new %[1]s; exit 0' WINCH; echo up > %[1]s.up; while :; do sleep 1000 & wait $!; done`, said)))
	s.content(said + ".up")
	for range 3 {
		if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
			t.Fatal(err)
		}
	}
	s.poll("SIGTERM", func() bool { return readOr(said+".new", "") != "" })
	if err := s.client.Signal(s.ctx(), h, int32(syscall.SIGWINCH)); err != nil {
		t.Fatal(err)
	}
	if got := s.content(said); got != "TERM\nWINCH" {
		t.Errorf("it got %q", strings.Fields(got))
	}
	if w := s.exited(h); w.State != "ended" {
		t.Errorf("it is %s", w.State)
	}
}

// TestKillTimeout: BGW-039 with our deviation: a tree that ignores SIGTERM is
// killed as a whole, one that has left the session too.
func TestKillTimeout(t *testing.T) {
	need(t, "setsid")
	pids := filepath.Join(t.TempDir(), "pids")
	s := start(t, startBus(t), nil)
	d := definition("stubborn", 0, "/bin/sh", "-c", fmt.Sprintf(
		`trap '' TERM; setsid sh -c 'trap "" TERM; echo $$ > %[1]s.new; mv %[1]s.new %[1]s; while :; do sleep 1000; done' & while :; do wait; sleep 1000; done`, pids))
	d.Set |= dbusapi.KeyKillTimeoutUSec
	d.KillTimeoutUSec = 200_000
	h := s.register(d)
	child, err := strconv.Atoi(s.content(pids))
	if err != nil {
		t.Fatal(err)
	}
	away := []func(){gone(t, uint32(child)), gone(t, s.running(h).MainPID)}
	if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	if w := s.exited(h); w.State != "ended" || w.ExitSignal != 9 {
		t.Errorf("it is %+v", w)
	}
	for _, f := range away {
		f()
	}
}

// TestFastShutdown: BGW-088: SIGTERM to all at once, and nobody starts again,
// whatever restart_time says. BGW-108: a child of the worker's group gets it too.
func TestFastShutdown(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("sleeper", "")})
	s.register(definition("family", 0, "/bin/sh", "-c", fmt.Sprintf(
		`trap 'wait; echo leader >> %[1]s; exit 1' TERM
sh -c 'trap "echo child >> %[1]s; exit" TERM; echo up > %[1]s.up; while :; do sleep 1000 & wait $!; done' &
wait`, said)))
	s.content(said + ".up")
	s.exited(s.register(definition("waiting", long, "/bin/sh", "-c", "exit 1")))
	away := gone(t, s.state("sleeper", "running").MainPID)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	away()
	if got := readOr(said, ""); got != "child\nleader\n" {
		t.Errorf("SIGTERM reached %q", strings.Fields(got))
	}
	if n := strings.Count(s.log.String(), "worker started"); n != 3 {
		t.Errorf("%d workers were started", n)
	}
}

// TestLastWords: what a worker writes as it ends is in the log, before the line
// of its end.
func TestLastWords(t *testing.T) {
	s := prepare(t, nil, map[string]string{"workers.d/10.hcl": `worker "one" {
  command      = ["/bin/sh", "-c", "trap 'seq 100; printf last-words; exit 0' TERM; echo trapped; while :; do sleep 1000 & wait $!; done"]
  flags        = ["shmem_access"]
  restart_time = 0
}
`})
	s.run()
	s.says("msg=trapped")
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	words, end := strings.Index(s.log.String(), "last-words"), strings.Index(s.log.String(), `msg="worker exited`)
	if words < 0 || end < words {
		t.Errorf("its last words are at %d, its end at %d", words, end)
	}
}

// TestImmediateShutdown: BGW-092: SIGQUIT at once, SIGKILL after 5 s.
func TestImmediateShutdown(t *testing.T) {
	t.Parallel()
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("sleeper", "")})
	h := s.register(definition("stubborn", 0, "/bin/sh", "-c", "trap '' QUIT TERM; echo deaf now; while :; do sleep 1000; done"))
	away := []func(){gone(t, s.running(h).MainPID), gone(t, s.state("sleeper", "running").MainPID)}
	s.poll("the trap", func() bool { return strings.Contains(s.log.String(), "deaf now") })
	if err := s.client.Shutdown(s.ctx(), dbusapi.ShutdownImmediate); err != nil {
		t.Fatal(err)
	}
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, f := range away {
		f()
	}
	log := s.log.String()
	if !strings.Contains(log, "terminated by signal 3") || !strings.Contains(log, "terminated by signal 9") {
		t.Error("the log does not show SIGQUIT for one and SIGKILL for the other")
	}
}

// TestASecondRequestIsImmediate: whoever asks twice does not wait for
// kill_timeout.
func TestASecondRequestIsImmediate(t *testing.T) {
	s := start(t, startBus(t), nil)
	d := definition("stubborn", 0, "/bin/sh", "-c", "trap '' TERM; echo deaf now; while :; do sleep 1000 & wait $!; done")
	d.Set |= dbusapi.KeyKillTimeoutUSec
	d.KillTimeoutUSec = ^uint64(0)
	s.register(d)
	s.says("deaf now")
	s.signal(syscall.SIGTERM)
	s.until("STOPPING=1")
	s.signal(syscall.SIGINT)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestWorkerLeads: BGW-107: a worker leads its own session and process group.
func TestWorkerLeads(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	pid := strconv.Itoa(int(s.state("one", "running").MainPID))
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // state ppid pgrp session
	if f := strings.Fields(rest); f[2] != pid || f[3] != pid {
		t.Errorf("process %s is in group %s, session %s", pid, f[2], f[3])
	}
}

// TestDaemonIsKilled: BGW-110: workers that have the library go at once. Where
// no manager sweeps the unit's cgroup, others stay (BGW-111); they keep nobody
// from starting the daemon again, nor does what the dead one left in its
// directories.
func TestDaemonIsKilled(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"workers.d/10.hcl": attacher(witness, "main") + sleeper("foreign", ""),
	})
	w, foreign := s.attached(witness), s.state("foreign", "running")
	away, foreignAway := gone(t, w.MainPID), gone(t, foreign.MainPID)
	s.kill()
	away()
	if err := syscall.Kill(int(foreign.MainPID), syscall.SIGKILL); err == nil {
		foreignAway()
	}
	s.run()
	s.until("READY=1")
	s.connect()
	now := s.attached(witness)
	if now.Handle == w.Handle {
		t.Error("a handle of the life before holds again")
	}
}

// TestExitLevels: BGW-116: exit code 0 at debug level only, any other at a
// normal one, with name, pid and code.
func TestExitLevels(t *testing.T) {
	s := start(t, startBus(t), nil)
	line := func(name string, code int) string {
		t.Helper()
		h := s.register(definition(name, never, "/bin/sh", "-c", fmt.Sprintf("exit %d", code)))
		s.exited(h)
		var found string
		s.poll("the line of "+name, func() bool {
			for l := range strings.Lines(s.log.String()) {
				if strings.Contains(l, `msg="worker exited`) && strings.Contains(l, "worker="+name) {
					found = l
				}
			}
			return found != ""
		})
		return found
	}
	if l := line("zero", 0); !strings.Contains(l, "level=DEBUG") {
		t.Errorf("exit code 0: %s", l)
	}
	if l := line("one", 1); strings.Contains(l, "level=DEBUG") || !strings.Contains(l, "pid=") || !strings.Contains(l, "exit code 1") {
		t.Errorf("exit code 1: %s", l)
	}
	if l := line("three", 3); !strings.Contains(l, "level=WARNING") {
		t.Errorf("exit code 3: %s", l)
	}
}
