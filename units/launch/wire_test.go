package launch

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// buildParts builds the test program of the launcher's parts under the sanitizers.
func buildParts(t *testing.T) string {
	t.Helper()
	if launcherPath == "" {
		lacking(t, "a C compiler (cc)")
	}
	path := filepath.Join(t.TempDir(), "launcher_test")
	out, err := exec.Command("../../cmd/pg-bgw-launcher/build.sh", "test", path, "-g", "-fsanitize=address,undefined").CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "cannot find") {
			lacking(t, "the compiler's sanitizer libraries: "+string(out))
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestLauncherParts(t *testing.T) {
	if out, err := exec.Command(buildParts(t)).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What encode writes is what the C side reads.
func TestWire(t *testing.T) {
	path := buildParts(t)
	umask := uint32(0o27)
	s := Spec{
		ID: "3.17.2", Argv: []string{"/bin/x", "", "two words"}, Env: []string{"A=1", "PGBGW_START=forged", "B="},
		Dir: "/var/lib", Files: []int{7, -1, 9, 7}, OOMScoreAdj: -900, Nice: -5, Umask: &umask,
		Rlimits:         []Rlimit{{Resource: 7, Soft: 1, Hard: ^uint64(0)}},
		Credential:      &Credential{UID: 4294967294, GID: 5, Groups: []uint32{6, 7}},
		NoNewPrivileges: true, ReadOnlyCgroups: true, Limits: map[string]string{"memory.max": "1G"},
	}
	data, files, err := encode(&s, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{7, 9}, files); d != "" {
		t.Error(d)
	}
	cmd := exec.Command(path, "parse", "4") // status, cgroup, two files
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `flags 31 umask 27 oom -900 nice -5 uid 4294967294 gid 5 files 2
rlimit 7 1 18446744073709551615
group 6
group 7
target 0
target 65535
target 1
target 0
dir /var/lib
arg /bin/x
arg 
arg two words
env A=1
env B=
env PGBGW_START=3.17.2
`
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Error(d)
	}
}

func TestDecodeReports(t *testing.T) {
	report := func(step Step, value int32) []byte {
		return order.AppendUint32(order.AppendUint32(nil, uint32(step)), uint32(value))
	}
	tests := []struct {
		in   []byte
		pid  int
		step Step
		err  syscall.Errno
	}{
		{nil, 0, StepNone, 0},
		{report(StepNone, 5), 5, StepNone, 0},
		{append(report(StepNone, 5), report(StepExec, 2)...), 5, StepExec, 2},
		{append(report(StepNone, 5), report(StepNone, 5)...), 5, StepNone, 0},
		{append(append(report(StepNone, 5), report(StepExec, 2)...), report(StepNone, 5)...), 5, StepExec, 2},
		{report(StepClone, 38), 0, StepClone, 38},
		{report(StepNone, 5)[:7], 0, StepNone, 0},
		{append(report(StepNone, 5), 1, 2, 3), 5, StepNone, 0},
	}
	for _, tt := range tests {
		pid, step, err := decodeReports(tt.in)
		if pid != tt.pid || step != tt.step || err != tt.err {
			t.Errorf("%x: %d %v %v", tt.in, pid, step, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 "
	for _, name := range []string{"(sh)", "()", "(a) Z 9 9 9)", "((((", "(\n) )"} {
		p, ok := parseStat([]byte("77 " + name + ")" + rest))
		if want := (proc{pid: 77, ppid: 1, pgrp: 2, session: 3}); !ok || p != want {
			t.Errorf("%q: %+v, %v", name, p, ok)
		}
	}
	for _, bad := range []string{"", "77", "77 (sh", "77 (sh)", "77 (sh) S 1"} {
		if _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q parsed", bad)
		}
	}
}

func TestCloneHint(t *testing.T) {
	err := startError(&Spec{ID: "1.1.1", Argv: []string{"/x"}}, StepClone, syscall.ENOSYS)
	if !strings.Contains(err.Error(), "remove RestrictNamespaces= from the unit") {
		t.Error(err)
	}
}
