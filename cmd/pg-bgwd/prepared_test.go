package main

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// TestPreparedCgroups: after a crowd of workers the cgroups of the next are made in a
// quiet time; starts use them, and none is left at the end.
func TestPreparedCgroups(t *testing.T) {
	group := newCgroup(t)
	s := prepare(t, startBus(t), map[string]string{"pg-bgw.hcl": "max_worker_processes = 60\n"})
	s.wrap = []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(group, "cgroup.procs")}
	s.run()
	s.until("READY=1")
	s.connect()
	cgroups := func() []string {
		dirs, err := filepath.Glob(group + "/worker-*")
		if err != nil {
			t.Fatal(err)
		}
		return dirs
	}
	const n = 40
	crowd := make([]dbusapi.Definition, n)
	for i := range crowd {
		crowd[i] = definition("crowd", 0, "/bin/sleep", "1000")
	}
	for round := range 2 {
		answers, err := s.client.RegisterDynamicBackgroundWorkers(s.ctx(), crowd, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			s.running(a.Handle)
		}
		theirs := cgroups()
		if len(theirs) != n {
			t.Errorf("round %d: %d cgroups for %d workers", round, len(theirs), n)
		}
		for _, a := range answers {
			if err := s.client.TerminateBackgroundWorker(s.ctx(), a.Handle); err != nil {
				t.Fatal(err)
			}
		}
		s.poll("the cgroups of the next", func() bool {
			next := cgroups()
			return len(next) == n && !slices.ContainsFunc(next, func(dir string) bool { return slices.Contains(theirs, dir) })
		})
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := cgroups(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}
