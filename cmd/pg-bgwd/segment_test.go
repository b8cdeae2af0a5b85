package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

func attacher(label, segment string) string {
	return fmt.Sprintf(`worker %q {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = 3600
  segment      = %q
  environment  = { TEST_ROLE = "attach" }
}
`, label, testProgram(), segment)
}

// TestCrashOfASegment: an attached worker that is killed takes the attached
// ones of its segment with it, and nobody else (BGW-060, BGW-065, BGW-068, in
// the wording of the design).
func TestCrashOfASegment(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "segment \"other\" {\n  size = \"4MB\"\n}\n",
		"workers.d/10.hcl": attacher("a", "main") + attacher("b", "main") + attacher("c", "other") + sleeper("free", ""),
	})
	attached := func(label string) dbusapi.WorkerInfo {
		t.Helper()
		var w dbusapi.WorkerInfo
		s.poll(label+" attached", func() bool { w = s.worker(label); return w.Attached })
		return w
	}
	a, b, c, free := attached("a"), attached("b"), attached("c"), s.state("free", "running")
	if err := syscall.Kill(int(a.MainPID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.poll("b anew", func() bool { w := s.worker("b"); return w.StartNumber == 2 && w.Attached })
	s.poll("a anew", func() bool { w := s.worker("a"); return w.StartNumber == 2 && w.Attached })
	if b.MainPID == s.worker("b").MainPID {
		t.Error("b was not restarted")
	}
	if s.worker("c").MainPID != c.MainPID || s.worker("free").MainPID != free.MainPID {
		t.Error("a worker of another segment, or one that was not attached, was touched")
	}
	log := s.log.String()
	if strings.Count(log, "segment renewed") != 1 {
		t.Error("the segment was not renewed once")
	}
	if !strings.Contains(log, "exited with exit code 2") { // BGW-065: what a Go program does on SIGQUIT, as PostgreSQL's workers do
		t.Error("b did not get SIGQUIT")
	}
}

// TestWorkerOwner: a worker that registers another is told of it, over its
// socket and by its latch, without any handler (BGW-109).
func TestWorkerOwner(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(`worker "parent" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = "never"
  environment  = { TEST_ROLE = "parent" }
}
`, testProgram())})
	child := s.state("child", "running")
	if !child.Dynamic || child.Owner == "" {
		t.Errorf("child is %+v", child)
	}
	if err := s.client.Terminate(s.ctx(), child.Handle); err != nil {
		t.Fatal(err)
	}
	s.poll("the parent's words", func() bool { return strings.Contains(s.log.String(), "latch true") })
}

// TestGarbageOnTheControlSocket: who speaks another language loses its socket,
// and nothing else.
func TestGarbageOnTheControlSocket(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(`worker "garbage" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = "never"
  environment  = { TEST_ROLE = "garbage" }
}
`, testProgram()) + sleeper("one", "")})
	s.poll("the complaint", func() bool { return strings.Contains(s.log.String(), "control socket is closed") })
	s.state("one", "running")
}
