package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const ringSource = "../../contrib/workers/ring"

// TestRing: PostgreSQL's test_shm_mq in shape, its members in all languages
// that there are, mixed in one ring (BGW-142 to BGW-149).
func TestRing(t *testing.T) {
	members := ringMembers(t)
	driver := buildRing(t, ringSource)
	quoted := fmt.Sprintf("%q, %q", driver, "-part=20")
	for _, m := range members {
		quoted += fmt.Sprintf(", %q", m)
	}
	s := start(t, nil, map[string]string{"workers.d/10.hcl": fmt.Sprintf(`worker "ring" {
  command      = [%s]
  flags        = ["shmem_access"]
  restart_time = "never"
}
`, quoted)})
	s.poll("the end of the cases", func() bool {
		log := s.log.String()
		return strings.Contains(log, "all cases: ok") || strings.Contains(log, "ring: ")
	})
	s.poll("the ring's end", func() bool { return strings.Contains(s.log.String(), `exited with exit code 0`) })
	log := s.log.String()
	if !strings.Contains(log, "all cases: ok") {
		t.Error("the ring failed")
	}
	if strings.Contains(log, "segment renewed") || strings.Contains(log, "ring-member: ") {
		t.Error("a member failed")
	}
}

// ringMembers are the members as programs: Go's, Python's where there is one
// with libatomic, C's where its source and a compiler are there.
func ringMembers(t *testing.T) []string {
	t.Helper()
	members := []string{buildRing(t, ringSource+"/ring-member")}
	if hasPython(t) {
		members = append(members, pythonMember(t))
	}
	if _, err := exec.LookPath("cc"); err == nil {
		members = append(members, cMember(t))
	} else if os.Getenv("CI") == "true" {
		t.Fatalf("a C compiler is needed: %v", err)
	}
	return members
}

// cMember is built with the C library of this checkout.
func cMember(t *testing.T) string {
	t.Helper()
	library, program := filepath.Join(programs, "libpgbgw"), filepath.Join(programs, "ring-member-c")
	for _, c := range [][]string{
		{"sh", "../../contrib/libpgbgw/build.sh", library},
		{"cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", "-I../../contrib/libpgbgw", "-o", program,
			ringSource + "/c/ring-member.c", library + "/libpgbgw.a"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	return program
}

func buildRing(t *testing.T, source string) string {
	t.Helper()
	program := filepath.Join(programs, filepath.Base(source))
	args := append([]string{"build", "-o", program}, buildFlags()...)
	args[len(args)-1] = source
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", source, err, out)
	}
	return program
}

// pythonMember runs the script with the package of this checkout.
func pythonMember(t *testing.T) string { return pythonProgram(t, ringSource+"/ring-member.py") }

// pythonProgram is a program that runs a script with the package of this
// checkout.
func pythonProgram(t *testing.T, source string) string {
	t.Helper()
	script, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	lib, err := filepath.Abs("../../contrib/python")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(programs, filepath.Base(source)+".sh")
	text := fmt.Sprintf("#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH='%s' exec python3 -W error '%s' \"$0\"\n", lib, script)
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// hasPython reports whether the package pgbgw can run here; where the
// environment promises that, it has to.
func hasPython(t *testing.T) bool {
	t.Helper()
	err := exec.Command("python3", "-c", `import sys, ctypes; assert sys.version_info >= (3, 11); ctypes.CDLL("libatomic.so.1")`).Run()
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("Python 3.11 with libatomic is needed: %v", err)
	}
	return err == nil
}

func pythonWorker(t *testing.T, name, source string) string {
	t.Helper()
	if !hasPython(t) {
		t.Skip("Python 3.11 with libatomic is needed")
	}
	return fmt.Sprintf("worker %q {\n  command = [\"/bin/sh\", %q]\n  flags = [\"shmem_access\"]\n  restart_time = 0\n}\n", name, pythonProgram(t, source))
}

// TestPythonWorker: the package pgbgw under a real supervisor.
func TestPythonWorker(t *testing.T) {
	s := start(t, nil, map[string]string{"workers.d/10.hcl": pythonWorker(t, "py", "../../contrib/python/tests/worker.py")})
	s.poll("its words", func() bool {
		log := s.log.String()
		return strings.Contains(log, "python: ok") || strings.Contains(log, "Error")
	})
	if log := s.log.String(); !strings.Contains(log, "python: ok") || strings.Contains(log, "segment renewed") {
		t.Error("the worker failed")
	}
}

// TestHelloInPython runs the example worker in Python as TestHelloWorker does
// that in Go.
func TestHelloInPython(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": pythonWorker(t, "hello", "../../contrib/workers/hello/hello.py")})
	s.poll("its words", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 1 in this segment") })
	sendSignal(t, s.state("hello", "running").MainPID, syscall.SIGTERM)
	s.poll("its words after a restart", func() bool { return strings.Contains(s.log.String(), "hello from hello, start 2 in this segment") })
	if strings.Contains(s.log.String(), "segment renewed") {
		t.Error("a clean end was taken for a crash")
	}
}
