package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startHello starts an example worker under the label hello.
func startHello(t *testing.T, program string) *supervisor {
	t.Helper()
	return start(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(`worker "hello" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = 0
}
`, program)})
}

// hello runs an example worker that counts its starts in shared memory: its area outlives it, its end is clean, and its
// words reach the log.
func hello(t *testing.T, program string) {
	t.Helper()
	s := startHello(t, program)
	s.poll("its words", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 1 in this segment") })
	w := s.attached("hello")
	sendSignal(t, w.MainPID, syscall.SIGTERM)
	s.poll("its words after a restart", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 2 in this segment") })
	if strings.Contains(s.log.String(), "segment renewed") {
		t.Error("a clean end was taken for a crash")
	}
}

// TestHelloWorker runs the example worker in Go.
func TestHelloWorker(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hello")
	if out, err := exec.Command("go", "build", "-o", program, "../../contrib/workers/hello").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hello(t, program)
}

// TestHelloInC runs the example worker in C.
func TestHelloInC(t *testing.T) {
	need(t, "cc")
	library, program := filepath.Join(t.TempDir(), "lib"), filepath.Join(programs, "hello-c")
	for _, c := range [][]string{
		{"sh", "../../contrib/libpgbgw/build.sh", library},
		{"cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", "-I../../contrib/libpgbgw", "-o", program,
			"../../contrib/workers/hello/c/hello.c", library + "/libpgbgw.a"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	hello(t, program)
}

// TestHelloInShell runs the example worker in shell, which uses nothing but its
// environment.
func TestHelloInShell(t *testing.T) {
	program, err := filepath.Abs("../../contrib/workers/hello/hello.sh")
	if err != nil {
		t.Fatal(err)
	}
	s := startHello(t, program)
	s.poll("its words", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 1") })
	sendSignal(t, s.state("hello", "running").MainPID, syscall.SIGTERM)
	s.poll("its words after a restart", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 2") })
	if strings.Contains(s.log.String(), "segment renewed") {
		t.Error("its end was taken for a crash")
	}
}
