package launch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// launcherPath is the launcher that TestMain has built, "" if there is no compiler;
// where one is installed and no compiler, PGBGW_LAUNCHER names it.
var launcherPath = os.Getenv("PGBGW_LAUNCHER")

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "launch")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := exec.LookPath("cc"); err == nil && launcherPath == "" {
		launcherPath = filepath.Join(dir, "pg-bgw-launcher")
		out, err := exec.Command("../../cmd/pg-bgw-launcher/build.sh", launcherPath).CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "cannot build the launcher: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// lacking skips a test for want of something, or fails it where everything is promised.
func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

// testCgroups returns a cgroup to fill, or the reason why there is none.
func testCgroups(t testing.TB) (*Cgroups, string) {
	t.Helper()
	if os.Getuid() != 0 {
		return nil, "root, to make a cgroup"
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err.Error()
	}
	mount, err := cgroupMount(string(mountinfo))
	if err != nil {
		return nil, err.Error()
	}
	root, err := os.MkdirTemp(mount.point, "test-")
	if err != nil {
		return nil, "a writable cgroup v2: " + err.Error()
	}
	c, err := OpenCgroups(CgroupOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.removeLeftovers(nil); err != nil {
			t.Error(err)
		}
		c.Close()
		if err := os.Remove(root); err != nil {
			t.Error(err)
		}
	})
	return c, ""
}

// A rig is a launcher and what it said.
type rig struct {
	*Launcher
	t       testing.TB
	notices chan error
}

// newRig starts a launcher, with cgroups or without.
func newRig(t testing.TB, cgroups bool) *rig {
	t.Helper()
	if launcherPath == "" {
		lacking(t, "a C compiler (cc)")
	}
	r := &rig{t: t, notices: make(chan error, 100)}
	opts := Options{Notice: func(err error) { r.notices <- err }}
	if cgroups {
		c, why := testCgroups(t)
		if c == nil {
			lacking(t, why)
		}
		opts.Cgroups = c
	}
	var err error
	if opts.Poller, err = NewPoller(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opts.Poller.Close() })
	if r.Launcher, err = New(launcherPath, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

var lastStart atomic.Int64

// spec returns a Spec that runs a shell script.
func spec(script string, args ...string) Spec {
	return Spec{
		ID:   fmt.Sprintf("1.1.%d", lastStart.Add(1)),
		Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...),
		Env:  []string{"PATH=/usr/bin:/bin"},
	}
}

// start starts a worker that must start.
func (r *rig) start(s Spec) (*Process, <-chan Exit) {
	r.t.Helper()
	exits := make(chan Exit, 2)
	p, err := r.Start(context.Background(), s, func(e Exit) { exits <- e })
	if err != nil {
		r.t.Fatal(err)
	}
	return p, exits
}

// both runs a test with cgroups and without.
func both(t *testing.T, f func(t *testing.T, r *rig)) {
	for name, cgroups := range map[string]bool{"cgroups": true, "fallback": false} {
		t.Run(name, func(t *testing.T) { f(t, newRig(t, cgroups)) })
	}
}
