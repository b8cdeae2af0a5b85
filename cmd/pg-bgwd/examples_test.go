package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHelloWorker runs the example worker in Go: its area outlives it, its end
// is clean, and its words reach the log.
func TestHelloWorker(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hello")
	if out, err := exec.Command("go", "build", "-o", program, "../../contrib/workers/hello").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(`worker "hello" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = 0
}
`, program)})
	s.poll("its words", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 1 in this segment") })
	w := s.worker("hello")
	if !w.Attached {
		t.Error("it is not attached")
	}
	if err := syscall.Kill(int(w.MainPID), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.poll("its words after a restart", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 2 in this segment") })
	if strings.Contains(s.log.String(), "segment renewed") {
		t.Error("a clean end was taken for a crash")
	}
}
