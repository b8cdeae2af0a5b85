package launch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

func TestFindDelegated(t *testing.T) {
	const hybrid = "24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n30 24 0:28 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n"
	const unified = "30 24 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
	const bind = "30 24 0:28 /docker/abc /sys/fs/cg\\040roup rw - cgroup2 cgroup rw\n"
	tests := []struct {
		name, own, mounts string
		root, fails       string
	}{
		{"systemd", "0::/system.slice/pg-bgw.service\n", unified, "/sys/fs/cgroup/system.slice/pg-bgw.service", ""},
		{"subgroup", "0::/system.slice/pg-bgw.service/supervisor\n", unified, "/sys/fs/cgroup/system.slice/pg-bgw.service", ""},
		{"hybrid", "4:memory:/x\n0::/a.service\n", hybrid, "/sys/fs/cgroup/unified/a.service", ""},
		{"bind mount", "0::/docker/abc/x\n", bind, "/sys/fs/cg roup/x", ""},
		{"outside the mount", "0::/docker/abcd\n", bind, "", "not below"},
		{"version 1", "4:memory:/x\n", hybrid, "", "in no cgroup v2"},
		{"not mounted", "0::/x\n", "24 1 0:22 / /sys rw - tmpfs tmpfs rw\n", "", "not mounted"},
		{"root", "0::/\n", unified, "/sys/fs/cgroup", "root cgroup"},
		{"garbage", "0::\n\x00", "x - cgroup2 \n - \n", "", "in no cgroup v2"},
	}
	for _, tt := range tests {
		fsys := fstest.MapFS{
			"proc/self/cgroup":    {Data: []byte(tt.own)},
			"proc/self/mountinfo": {Data: []byte(tt.mounts)},
		}
		if tt.root != "" && tt.name != "root" {
			fsys[strings.TrimPrefix(tt.root, "/")+"/cgroup.type"] = &fstest.MapFile{}
		}
		root, _, err := findDelegated(fsys)
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.fails)
			}
			continue
		}
		// Without systemd's mark, for want of systemd, root may have it; another user may not write there.
		if root != tt.root || os.Getuid() == 0 && err != nil {
			t.Errorf("%s: got %s, %v; want %s", tt.name, root, err, tt.root)
		}
	}
}

// A worker that fills its cgroup with others keeps neither them nor its processes.
func TestNestedCgroups(t *testing.T) {
	r := newRig(t, true)
	s := spec(`set -e; cd "$1"; for i in 1 2 3; do mkdir c$i c$i/d c$i/d/e; done
		sleep 1000 & echo $! > c2/d/e/cgroup.procs
		sleep 1000 & echo $! > c3/cgroup.procs; echo 1 > c3/cgroup.freeze
		d=deep; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do mkdir $d; d=$d/deep; done
		exit 7`)
	s.Argv = append(s.Argv, filepath.Join(r.cgroups.root, workerPrefix+s.ID))
	out, e := r.output(s)
	if e.Status != 7<<8 {
		t.Errorf("status %#x: %s", e.Status, out)
	}
	r.noCgroups()
}

func TestLeftovers(t *testing.T) {
	r := newRig(t, true)
	p, exits := r.start(spec("sleep 1000"))
	q, qexits := r.start(spec("sleep 1000"))
	c, err := OpenCgroups(CgroupOptions{Root: r.cgroups.root, Keep: []string{q.id}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if e := <-exits; !e.Status.Signaled() {
		t.Errorf("leftover %s: %+v", p.id, e)
	}
	if err := q.Kill(); err != nil {
		t.Fatal(err)
	}
	<-qexits
}

// A cgroup that somebody else removes as soon as it is empty: the kernel, which has
// told of a change just before, does not always tell of this one.
func TestRemovedByAnother(t *testing.T) {
	r := newRig(t, true)
	for range 10 {
		s := spec("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; exit 7")
		dir := filepath.Join(r.cgroups.root, workerPrefix+s.ID)
		_, exits := r.start(s)
		for unix.Rmdir(dir) != unix.ENOENT {
			runtime.Gosched()
		}
		if e := <-exits; e.Status != 7<<8 {
			t.Errorf("status %#x", e.Status)
		}
	}
	if len(r.notices) != 0 {
		t.Errorf("nothing is wrong with a cgroup that is gone: %v", <-r.notices)
	}
}

// An event that never comes delays the end of a worker and does not hide it, and what
// enters its cgroup after the kill is killed.
func TestCgroupWithoutEvents(t *testing.T) {
	r := newRig(t, true)
	release := r.occupyPoller()
	defer release()
	for _, how := range []string{"removed", "refilled"} {
		p, late, exits := r.outlived()
		p.watchCgroup(true)
		if how == "removed" {
			if err := late.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for r.cgroups.rmdir(p.id) != nil {
				runtime.Gosched()
			}
		}
		if err := late.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("%s: %v", how, err)
		}
		if e := <-exits; !e.OOM {
			t.Errorf("%s: what was known before is lost", how)
		}
	}
	r.noCgroups()
}

// A cgroup that cannot be watched, as no descriptor is left, is looked at again: what
// is in it lives on for a while, and its worker has not ended before.
func TestCgroupWithoutDescriptors(t *testing.T) {
	r := newRig(t, true)
	p, late, exits := r.outlived()
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}, nil); err != nil {
		t.Fatal(err)
	}
	p.clearCgroup(true)
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-exits:
		t.Error("the worker has ended, what is in its cgroup has not")
	default:
	}
	for range 2 {
		if err := <-r.notices; !errors.Is(err, unix.EMFILE) {
			t.Error(err)
		}
	}
	if err := late.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Error(err)
	}
	if e := <-exits; !e.OOM {
		t.Error("what was known before is lost")
	}
	r.noCgroups()
}

// outlived is a worker that has ended and whose cgroup holds a process that has not.
func (r *rig) outlived() (p *Process, late *exec.Cmd, exits chan Exit) {
	r.t.Helper()
	s := spec("")
	dir, err := r.cgroups.make(s.ID, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	unix.Close(dir)
	exits = make(chan Exit, 2)
	p = &Process{l: r.Launcher, id: s.ID, pidfd: -1, phase: dead, exit: &Exit{}, exited: func(e Exit) { exits <- e }}
	late = exec.Command("/bin/sleep", "1000")
	if err := late.Start(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.cgroups.write(workerPrefix+s.ID+"/cgroup.procs", itoa(late.Process.Pid)); err != nil {
		r.t.Fatal(err)
	}
	return p, late, exits
}

// occupyPoller has the poller do nothing until release is called.
func (r *rig) occupyPoller() (release func()) {
	r.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	fd := int(read.Fd())
	busy, free := make(chan bool), make(chan bool)
	if err := r.poller.Add(fd, unix.EPOLLHUP, func(uint32) {
		r.poller.Remove(fd)
		close(busy)
		<-free
	}); err != nil {
		r.t.Fatal(err)
	}
	write.Close()
	<-busy
	return func() { close(free); read.Close() }
}

func TestLimitWithoutController(t *testing.T) {
	r := newRig(t, true)
	for _, name := range LimitNames() {
		if r.cgroups.supports(name) == nil {
			continue
		}
		s := spec("exit 0")
		s.Limits = map[string]string{name: "1"}
		var se *SpecError
		if _, err := r.Start(context.Background(), s, nil); !errors.As(err, &se) || !strings.Contains(err.Error(), "Delegate=") {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.noCgroups()
}

// Limits that cannot be set say why and leave the worker alone, and one that has
// ended is not limited.
func TestSetLimitsWithoutController(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		p, exits := r.start(spec("exec sleep 1000"))
		if err := p.SetLimits(nil); err != nil {
			t.Error(err)
		}
		for _, bad := range []map[string]string{{"memory.min": "1"}, {"pids.max": "1\n2"}, {"../cgroup.procs": "0"}} {
			if err := p.SetLimits(bad); err == nil || !strings.Contains(err.Error(), p.id) {
				t.Errorf("%v: %v", bad, err)
			}
		}
		if r.cgroups.supports("pids.max") != nil {
			if err := p.SetLimits(map[string]string{"pids.max": "100"}); err == nil || !strings.Contains(err.Error(), "Delegate=") {
				t.Error(err)
			}
		}
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		<-exits
		if err := p.SetLimits(nil); err != os.ErrProcessDone {
			t.Errorf("after its end: %v", err)
		}
	})
}

// With ReadOnlyCgroups a worker cannot move itself out of its cgroup, and can write elsewhere.
func TestReadOnlyCgroups(t *testing.T) {
	r := newRig(t, true)
	dir := t.TempDir()
	for _, readOnly := range []bool{false, true} {
		s := spec(`echo x > "$2/file" && mkdir "$2/d" && mv "$2/file" "$2/d/" && rm -r "$2/d" && echo 0 > /proc/self/oom_score_adj || exit 2
			: 2>/dev/null > /dev/null || exit 3
			(echo 0 > "$1/cgroup.procs") 2>/dev/null && exit 4; exit 5`)
		s.Argv = append(s.Argv, filepath.Dir(r.cgroups.root)+"/"+filepath.Base(r.cgroups.root), dir)
		s.ReadOnlyCgroups, s.NoNewPrivileges = readOnly, true
		out, e := r.output(s)
		want := 4
		if readOnly {
			want = 5
		}
		if got := e.Status.ExitStatus(); got != want {
			if readOnly && got == 4 && !haveLandlock() {
				t.Skip("needs a kernel with Landlock")
			}
			t.Errorf("read-only %v: exit code %d, want %d: %s", readOnly, got, want, out)
		}
	}
}

// Where there are hierarchies of version 1 beside ours, they are read-only too.
func TestProtectedCgroups(t *testing.T) {
	for mount, want := range map[string]string{
		"/sys/fs/cgroup": "/sys/fs/cgroup", "/sys/fs/cgroup/unified": "/sys/fs/cgroup",
		"/sys/fs/cgroups/2": "/sys/fs/cgroups/2", "/mnt/cgroup": "/mnt/cgroup",
	} {
		if got := (&Cgroups{mount: mount}).protected(); got != want {
			t.Errorf("of %s it is %s, want %s", mount, got, want)
		}
	}
}

// With ReadOnlyCgroups a worker changes nothing below /sys where the cgroups are
// there, as in the service's unit.
func TestReadOnlySys(t *testing.T) {
	r := newRig(t, true)
	const file = "/sys/kernel/rcu_expedited" // of every kernel that has expedited grace periods
	if f, err := os.OpenFile(file, os.O_WRONLY, 0); err != nil || !haveLandlock() || !strings.HasPrefix(r.cgroups.mount, "/sys/") {
		t.Skip("needs Landlock, cgroups below /sys, and the right to write there")
	} else {
		f.Close()
	}
	for readOnly, want := range map[bool]int{false: 0, true: 5} {
		s := spec(`(: >> "$1") 2>/dev/null || exit 5`)
		s.Argv = append(s.Argv, file)
		s.ReadOnlyCgroups, s.NoNewPrivileges = readOnly, true
		if out, e := r.output(s); e.Status.ExitStatus() != want {
			t.Errorf("read-only %v: exit code %d, want %d: %s", readOnly, e.Status.ExitStatus(), want, out)
		}
	}
}

func haveLandlock() bool {
	b, err := os.ReadFile("/sys/kernel/security/lsm")
	return err != nil || strings.Contains(string(b), "landlock")
}
