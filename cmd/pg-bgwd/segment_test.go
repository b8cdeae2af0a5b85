package main

import (
	"fmt"
	"maps"
	"os"
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
	s.poll("c says so", func() bool { return s.worker("c").StatusText == "found false count 1" })
	sendSignal(t, a.MainPID, syscall.SIGKILL)
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

// TestCrashStaysInItsSegment: of two segments of 50 attached workers one
// crashes: each of its workers starts anew, and each of the other keeps its pid
// (BGW-058, BGW-068, in the wording of the design).
func TestCrashStaysInItsSegment(t *testing.T) {
	const each = 50
	var files strings.Builder
	for _, segment := range []string{"one", "two"} {
		for i := range each {
			fmt.Fprintf(&files, `worker "%s-%d" {
  command      = ["/bin/sleep", "1000"]
  flags        = ["shmem_access"]
  restart_time = 3600
  segment      = %q
  attach       = "always"
}
`, segment, i, segment)
		}
	}
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "segment \"one\" {\n  size = \"2MiB\"\n}\nsegment \"two\" {\n  size = \"2MiB\"\n}\n",
		"workers.d/10.hcl": files.String(),
	})
	// pids are those of a segment's attached workers that run in their nth start.
	pids := func(segment string, start uint64) map[string]uint32 {
		all, err := s.client.Workers(s.ctx())
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]uint32{}
		for _, w := range all {
			if w.Definition.Segment == segment && w.Attached && w.State == "running" && w.StartNumber == start {
				m[w.Label] = w.MainPID
			}
		}
		return m
	}
	s.poll("all run", func() bool { return len(pids("one", 1)) == each && len(pids("two", 1)) == each })
	one, two := pids("one", 1), pids("two", 1)
	sendSignal(t, one["one-7"], syscall.SIGSEGV)
	s.poll("all of one run anew", func() bool { return len(pids("one", 2)) == each })
	for label, pid := range pids("one", 2) {
		if pid == one[label] {
			t.Errorf("%s has its pid still", label)
		}
	}
	if after := pids("two", 1); !maps.Equal(after, two) {
		t.Errorf("the other segment had %v and has %v", two, after)
	}
}

// TestHugePages: "try" does without where there are not as many, and says so;
// "on" does not.
func TestHugePages(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl": `segment "try" {
  size       = "4MiB"
  huge_pages = "try"
}
segment "on" {
  size       = "1TiB"
  huge_pages = "on"
}
`,
		"workers.d/10.hcl": attacher("a", "try") + attacher("b", "on"),
	})
	s.attached("a")
	if b, err := os.ReadFile("/proc/meminfo"); err == nil && strings.Contains(string(b), "HugePages_Free:        0\n") &&
		!strings.Contains(s.log.String(), "a segment has no huge pages") {
		t.Error("it does not say that there are no huge pages")
	}
	s.poll("the failure", func() bool {
		w := s.worker("b")
		return w.MainPID == 0 && strings.Contains(w.Reason, "huge pages")
	})
}
