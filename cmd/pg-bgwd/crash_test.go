package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// TestWhatACrashLeaves: who starts again when a segment has been renewed, and
// as what (BGW-068 to BGW-071).
func TestWhatACrashLeaves(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "done")
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": attacher(witness, "main") + fmt.Sprintf(`
worker "done" {
  command      = ["/bin/touch", %q]
  flags        = ["shmem_access"]
  restart_time = 0
}
worker "static-never" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = "never"
  environment  = { TEST_ROLE = "attach" }
}
`, marker, testProgram())})
	done := s.state("done", "ended")
	d := script("dynamic", long, "attach wait")
	d.Set |= dbusapi.KeyMainArg | dbusapi.KeyExtra
	d.MainArg, d.Extra = 7, []byte("extra")
	dynamic := s.register(d)
	dynamicNever := s.register(script("dynamic-never", never, "attach wait"))
	waiting := s.register(definition("waiting", long, "/bin/sh", "-c", "exit 1"))
	waitingNext := s.exited(waiting).NextStart
	before := map[string]dbusapi.WorkerInfo{}
	for _, label := range []string{witness, "static-never", "dynamic", "dynamic-never"} {
		before[label] = s.attached(label)
	}

	s.exited(s.register(script("crash", never, "attach exit:3")))

	for _, label := range []string{witness, "dynamic"} { // BGW-068: at once, though restart_time is an hour
		if w := s.attached(label); w.StartNumber != 2 || w.Handle != before[label].Handle {
			t.Errorf("%s is %+v", label, w)
		}
	}
	w := s.info(dynamic) // BGW-071; its owner lives and is still told
	if w.Definition.MainArg != 7 || string(w.Definition.Extra) != "extra" || w.Definition.Name != "dynamic" || w.Owner == "" {
		t.Errorf("dynamic is %+v", w)
	}
	for _, h := range []dbusapi.Handle{before["static-never"].Handle, dynamicNever} { // BGW-069
		s.when(h, "gone", func(w dbusapi.WorkerInfo) bool { return w.State == "ended" })
	}
	if w := s.info(done.Handle); w.State != "ended" || w.StartNumber != 1 { // BGW-070
		t.Errorf("done is %+v", w)
	}
	// BGW-068 once more: one that was waiting for its interval does not wait on.
	s.when(waiting, "started again", func(w dbusapi.WorkerInfo) bool { return w.StartNumber == 2 && w.NextStart != waitingNext })
}

// TestCrashIsHandled: a process group gets SIGQUIT (BGW-065), who ignores it is
// killed 5 s later (BGW-066), a second crash meanwhile is not another (BGW-067),
// and nobody is started into the old memory (BGW-072).
func TestCrashIsHandled(t *testing.T) {
	t.Parallel()
	s := start(t, startBus(t), witnessFile())
	s.attached(witness)
	stubborn := s.register(script("stubborn", long, "ignore:QUIT attach wait"))
	second := s.register(script("second", long, "ignore:QUIT attach wait"))
	s.attached("stubborn")
	s.attached("second")

	s.exited(s.register(script("crash", never, "attach exit:3")))
	late := s.register(script("late", long, "attach wait"))
	handled := func() bool { return strings.Contains(s.log.String(), "segment renewed") } // it had 5 s, which a busy machine may take for what follows
	if w := s.info(late); w.State != "waiting" && !handled() {
		t.Errorf("while the crash is handled, a new worker is %s", w.State)
	}
	if w := s.info(stubborn); w.State != "stopping" && !handled() {
		t.Errorf("stubborn is %s", w.State)
	}
	if pid := s.info(second).MainPID; !handled() {
		sendSignal(t, pid, syscall.SIGKILL) // a second crash
	}
	s.when(stubborn, "killed", func(w dbusapi.WorkerInfo) bool { return w.StartNumber == 2 })
	s.when(late, "running", func(w dbusapi.WorkerInfo) bool { return w.State == "running" })
	log := s.log.String()
	if n := strings.Count(log, "segment renewed"); n != 1 {
		t.Errorf("the segment was renewed %d times", n)
	}
	if n := strings.Count(log, "ended while it was attached"); n != 1 {
		t.Errorf("%d crashes were logged", n)
	}
	if !strings.Contains(log, "terminated by signal 9") {
		t.Error("nobody was killed")
	}
}

// TestQuitReachesTheGroup: BGW-065, process and group.
func TestQuitReachesTheGroup(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	s := start(t, startBus(t), nil)
	s.file("family", fmt.Sprintf(`#!/bin/sh
trap 'echo leader >> %[1]s.new; mv %[1]s.new %[1]s; exit 2' QUIT
sh -c 'trap "echo child >> %[1]s.new; exit" QUIT; echo up > %[1]s.up; while :; do sleep 1000 & wait $!; done'
`, said))
	mustRun(t, "chmod", "-R", "a+rx", s.dir)
	s.register(script("family", never, "attach exec:"+filepath.Join(s.dir, "family")))
	s.attached("family")
	s.content(said + ".up")
	s.exited(s.register(script("crash", never, "attach exit:3")))
	if got := s.content(said); got != "child\nleader" {
		t.Errorf("SIGQUIT reached %q", got)
	}
}

// TestCrashEndsTheSupervisor: BGW-073.
func TestCrashEndsTheSupervisor(t *testing.T) {
	files := witnessFile()
	files["pg-bgw.hcl"] = "restart_after_crash = false\n"
	files["workers.d/20.hcl"] = sleeper("free", "")
	s := start(t, startBus(t), files)
	pids := []func(){gone(t, s.attached(witness).MainPID), gone(t, s.state("free", "running").MainPID)}
	s.register(script("crash", never, "attach exit:3"))
	s.until("STOPPING=1")
	if code := s.exitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, away := range pids {
		away()
	}
	if !strings.Contains(s.log.String(), "restart_after_crash is off") {
		t.Error("it does not say why")
	}
}
