package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	if err := exec.Command("python3", "-c", `import sys, ctypes; assert sys.version_info >= (3, 11); ctypes.CDLL("libatomic.so.1")`).Run(); err == nil {
		members = append(members, pythonMember(t))
	} else if os.Getenv("CI") == "true" {
		t.Fatalf("Python 3.11 with libatomic is needed: %v", err)
	}
	return members
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
func pythonMember(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs(ringSource + "/ring-member.py")
	if err != nil {
		t.Fatal(err)
	}
	lib, err := filepath.Abs("../../contrib/python")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(programs, "ring-member.sh")
	text := fmt.Sprintf("#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH='%s' exec python3 '%s'\n", lib, script)
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}
