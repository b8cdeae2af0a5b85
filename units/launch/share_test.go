package launch

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What a child sets before its program runs stays the child's, though it shares
// the launcher's memory until then.
func TestNothingComesBack(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		one := func() {
			umask := uint32(0o711)
			s := spec("umask; ulimit -n; nice; pwd; exec cat /proc/self/status")
			s.Umask, s.Dir, s.Nice, s.NoNewPrivileges, s.ReadOnlyCgroups = &umask, "/usr", 5, true, true
			s.Rlimits = []Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 77, Hard: 77}}
			out, e := r.output(s)
			if e.Status != 0 || !strings.HasPrefix(out, "0711\n77\n5\n/usr\n") || !strings.Contains(out, "NoNewPrivs:\t1\n") {
				t.Fatalf("%v\n%s", e.Status, out)
			}
		}
		one()
		before := r.launcherSelf()
		for range 20 {
			one()
		}
		if d := cmp.Diff(before, r.launcherSelf()); d != "" {
			t.Errorf("the launcher has changed:\n%s", d)
		}
		s := spec("umask; ulimit -n; nice; pwd")
		if out, _ := r.output(s); !strings.HasPrefix(out, "0077\n") || !strings.HasSuffix(out, "\n/\n") || strings.Contains(out, "\n77\n5\n") {
			t.Errorf("the next worker has its predecessor's:\n%s", out)
		}
	})
}

// launcherSelf is what the launcher's children would inherit of it.
func (r *rig) launcherSelf() string {
	r.t.Helper()
	dir := "/proc/" + itoa(r.launcherPid()) + "/"
	var all []string
	for _, f := range []string{"limits", "status", "oom_score_adj"} {
		b, err := os.ReadFile(dir + f)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	cwd, err := os.Readlink(dir + "cwd")
	if err != nil && os.Getuid() == 0 { // it is not dumpable, so nobody else may look
		r.t.Fatal(err)
	}
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, r.launcherPid())
	if err != nil {
		r.t.Fatal(err)
	}
	varying := regexp.MustCompile(`(?m)^(Vm|Rss|Hugetlb|voluntary|nonvoluntary|State|Threads|Cpus_allowed|Mems_allowed|SigQ).*\n`)
	return varying.ReplaceAllString(strings.Join(append(all, cwd, itoa(nice)), "\n"), "")
}

// A child is killed by its own cgroup's limit before it has memory of its own:
// that is no business of the launcher's. The system test runs this where there is
// the controller.
func TestOutOfMemoryBeforeExec(t *testing.T) {
	r := newRig(t, true)
	if r.cgroups.supports("memory.max") != nil {
		t.Skip("needs the memory controller in cgroup v2")
	}
	pid := r.launcherPid()
	for range 10 {
		s := spec("exit 0")
		s.Limits = map[string]string{"memory.max": "4096", "memory.swap.max": "0"}
		exits := make(chan Exit, 1)
		if _, err := r.Start(context.Background(), s, func(e Exit) { exits <- e }); err == nil {
			if e := <-exits; e.Status.Signal() != unix.SIGKILL {
				t.Fatalf("it ran in a page of memory: %v", e.Status)
			}
		}
		_, ends := r.start(spec("exit 0"))
		<-ends
	}
	if now := r.launcherPid(); now != pid {
		t.Errorf("the launcher was %d, now it is %d: %v", pid, now, <-r.notices)
	}
}

// Workers that wish nothing have 0, whatever the daemon has: the launcher too.
func TestOOMScoreOfTheDaemonIsNotTheWorkers(t *testing.T) {
	const own = "/proc/self/oom_score_adj"
	was, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("321"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(own, was, 0); err != nil && os.Getuid() == 0 {
			t.Error(err)
		}
	}()
	r := newRig(t, false)
	want := map[int]string{0: "0\n", 7: "7\n", 400: "400\n", 321: "321\n"}
	if os.Getuid() != 0 { // only CAP_SYS_RESOURCE goes below
		want = map[int]string{0: "321\n", 321: "321\n", 400: "400\n"}
		if string(was) == "0\n" { // or to what root has left it
			want[0] = "0\n"
		}
	}
	for wish, want := range want {
		s := spec("cat " + own)
		s.OOMScoreAdj = wish
		if out, _ := r.output(s); out != want {
			t.Errorf("with %d it has %q", wish, out)
		}
	}
}
