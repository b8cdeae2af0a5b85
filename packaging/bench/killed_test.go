package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// below lists the processes whose program is below dir, zombies not among them.
func below(dir string) (found []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		if exe, err := os.Readlink(proc + "/exe"); err == nil && strings.HasPrefix(exe, dir+"/") {
			found = append(found, filepath.Base(proc)+" "+exe)
		}
	}
	return found
}

// soon polls: what is waited for is nobody's child here.
func soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not seen", what)
		}
	}
}

// A run that is killed leaves no process, and the next one none of its
// directories and cgroups.
func TestKilledRun(t *testing.T) {
	need(t, "cc")
	need(t, "dbus-daemon")
	if os.Geteuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("root is needed: the daemon is not dumpable, and its memory is measured")
	}
	tmp := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "lifecycle", "-peers", "pg-bgw,csup,runit,s6", "-scenarios", "idle", "-window", "10m", "-budget", "10m", "-quiet", "0s")
	cmd.Dir = "../.." // pg-bgw is built from there
	cmd.Env = append(os.Environ(), "BENCH_TEST_PROGRAM=1", "TMPDIR="+tmp)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "idle with 1") {
			break
		}
	}
	soon(t, "the workers of csup and pg-bgw", func() bool {
		all := strings.Join(below(tmp), "\n")
		return strings.Count(all, "worker-nolibc") >= 2 && strings.Contains(all, "csup") && strings.Contains(all, "pg-bgwd")
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	soon(t, "the end of every process", func() bool { return len(below(tmp)) == 0 })
	dirs, _ := filepath.Glob(filepath.Join(tmp, scratchPrefix+"*"))
	if len(dirs) != 1 {
		t.Fatalf("scratch directories %q after:\n%s", dirs, said)
	}
	// A worker that stayed all the same.
	stray := exec.Command(filepath.Join(dirs[0], "worker-nolibc"), strayLedger(t)+":0")
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	if err := clearDead(tmp); err != nil {
		t.Error(err)
	}
	if err := stray.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the stray worker: %v, want it killed", err)
	}
	left, _ := filepath.Glob(filepath.Join(tmp, "*"))
	groups, _ := filepath.Glob(filepath.Join(cgroup2Mount(), filepath.Base(dirs[0])+"*"))
	if _, err := os.Stat(ledgersOf(dirs[0])); err == nil || len(left)+len(groups) > 0 {
		t.Errorf("left are %q, %q, and the ledgers: %v", left, groups, err)
	}
}

func strayLedger(t *testing.T) string {
	l, err := newLedger(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close() })
	return l.path
}

// What lives is not cleared away, nor what is no run's.
func TestClearDeadSparesTheLiving(t *testing.T) {
	tmp := t.TempDir()
	alive, other := filepath.Join(tmp, scratchPrefix+"1"), filepath.Join(tmp, scratchPrefix+"2")
	for _, dir := range []string{alive, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f, err := claim(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := clearDead(tmp); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{alive, other} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(fmt.Errorf("it is gone: %w", err))
		}
	}
	f.Close()
	trap := filepath.Join(tmp, scratchPrefix+"3")
	if err := os.Symlink(alive, trap); err != nil {
		t.Fatal(err)
	}
	if err := clearDead(tmp); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(trap); err != nil {
		t.Error("a link to a directory was followed or removed")
	}
	if _, err := os.Stat(alive); err == nil {
		t.Error("a dead run's directory is still there")
	}
}
