package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestExecFailure(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name  string
		path  string
		dir   string
		step  Step
		errno syscall.Errno
		want  string
	}{
		{"missing", dir + "/no", "", StepExec, syscall.ENOENT, "exec " + dir + "/no: no such file or directory"},
		{"no interpreter", file("interp", "#!/no/such/interpreter\n", 0o755), "", StepExec, syscall.ENOENT, "not the interpreter"},
		{"no format", file("script", "echo hi\n", 0o755), "", StepExec, syscall.ENOEXEC, "begins with #!"},
		{"empty", file("empty", "", 0o755), "", StepExec, syscall.ENOEXEC, "begins with #!"},
		{"not executable", file("plain", "#!/bin/sh\n", 0o644), "", StepExec, syscall.EACCES, "execute permission"},
		{"directory", dir, "", StepExec, syscall.EACCES, "execute permission"},
		{"no directory", "/bin/true", dir + "/no", StepDir, syscall.ENOENT, "change directory to " + dir + "/no"},
		{"below a file", "/etc/passwd/x", "", StepExec, syscall.ENOTDIR, "not a directory"},
	}
	both(t, func(t *testing.T, r *rig) {
		before := descriptors(t)
		for _, tt := range tests {
			s := spec("")
			s.Argv, s.Dir = []string{tt.path}, tt.dir
			_, err := r.Start(context.Background(), s, func(Exit) { t.Errorf("%s: exited called", tt.name) })
			var se *StartError
			if !errors.As(err, &se) || se.Step != tt.step || !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
			if n := zombies(); n != 0 {
				t.Errorf("%s: %d zombies when Start has returned", tt.name, n)
			}
			r.noCgroups()
		}
		if after := descriptors(t); after != before {
			t.Errorf("descriptors before:\n%s\nafter:\n%s", before, after)
		}
	})
}

func TestSpecErrors(t *testing.T) {
	r := newRig(t, false)
	long := make([]string, pointersMax)
	for i := range long {
		long[i] = "A=b"
	}
	umask := uint32(0o1000)
	tests := []struct {
		change func(*Spec)
		field  string
	}{
		{func(s *Spec) { s.ID = "" }, "ID"},
		{func(s *Spec) { s.ID = "../../x" }, "ID"},
		{func(s *Spec) { s.ID = strings.Repeat("1", 101) }, "ID"},
		{func(s *Spec) { s.Argv = nil }, "Argv"},
		{func(s *Spec) { s.Argv = []string{""} }, "Argv[0]"},
		{func(s *Spec) { s.Argv = []string{"true"} }, "Argv[0]"},
		{func(s *Spec) { s.Argv = append(s.Argv, "a\x00b") }, "Argv[4]"},
		{func(s *Spec) { s.Env = []string{"A=b", "B"} }, "Env[1]"},
		{func(s *Spec) { s.Env = []string{"=b"} }, "Env[0]"},
		{func(s *Spec) { s.Env = []string{"A=\x00"} }, "Env[0]"},
		{func(s *Spec) { s.Env = long }, "Env"},
		{func(s *Spec) { s.Env = []string{"A=" + strings.Repeat("x", requestMax)} }, "Env"},
		{func(s *Spec) { s.Dir = "tmp" }, "Dir"},
		{func(s *Spec) { s.Dir = "/tmp\x00" }, "Dir"},
		{func(s *Spec) { s.Files = make([]int, filesMax+1) }, "number of Files"},
		{func(s *Spec) { s.Files = []int{-2} }, "Files[0]"},
		{func(s *Spec) { s.OOMScoreAdj = 1001 }, "OOMScoreAdj"},
		{func(s *Spec) { s.Nice = 20 }, "Nice"},
		{func(s *Spec) { s.Umask = &umask }, "Umask"},
		{func(s *Spec) { s.Rlimits = []Rlimit{{Resource: 7, Soft: 2, Hard: 1}} }, "Rlimits[0]"},
		{func(s *Spec) { s.Credential = &Credential{Groups: make([]uint32, groupsMax+1)} }, "number of Credential.Groups"},
		{func(s *Spec) { s.Limits = map[string]string{"memory.max": "1"} }, "Limits[memory.max]"}, // no cgroups here
		{func(s *Spec) { s.Limits = map[string]string{"../x": "1"} }, "Limits[../x]"},
	}
	for _, tt := range tests {
		s := spec("exit 0")
		tt.change(&s)
		_, err := r.Start(context.Background(), s, func(Exit) {})
		var se *SpecError
		if !errors.As(err, &se) || se.Field != tt.field || se.Why == "" || (se.Limit != "") != (len(s.Limits) > 0) {
			t.Errorf("want a mistake in %s, got %v", tt.field, err)
		}
	}
}

func TestBadDescriptor(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		s := spec("exit 0")
		s.Files = []int{1 << 20}
		if _, err := r.Start(context.Background(), s, func(Exit) {}); !errors.Is(err, syscall.EBADF) {
			t.Errorf("got %v", err)
		}
		r.noCgroups()
		_, exits := r.start(s2(s))
		<-exits
	})
}

// s2 is s without its descriptors: its ID is free again after a failed start.
func s2(s Spec) Spec {
	s.Files = nil
	return s
}

func TestSameIDTwice(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		s := spec("sleep 1000")
		p, exits := r.start(s)
		var se *SpecError
		if _, err := r.Start(context.Background(), s, nil); !errors.As(err, &se) || se.Field != "ID" {
			t.Errorf("got %v", err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		<-exits
	})
}

func TestCredential(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "root")
	}
	both(t, func(t *testing.T, r *rig) {
		s := spec("")
		s.Argv = []string{"/bin/cat", "/proc/self/status", "/proc/self/oom_score_adj"}
		s.Credential = &Credential{UID: 12345, GID: 23456, Groups: []uint32{7, 8}}
		s.OOMScoreAdj = 55
		out, _ := r.output(s)
		for _, want := range []string{
			"Uid:\t12345\t12345\t12345\t12345\n", "Gid:\t23456\t23456\t23456\t23456\n", "Groups:\t7 8 \n",
			"CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "\n55\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	})
}

func TestNewErrors(t *testing.T) {
	for _, path := range []string{"/no/such/launcher", "/bin/true", "/etc/passwd"} {
		if l, err := New(path, Options{}); err == nil {
			l.Close()
			t.Errorf("%s taken for a launcher", path)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	}
}
