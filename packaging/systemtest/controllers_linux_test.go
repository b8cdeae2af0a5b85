package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestControllers is what needs cgroup controllers: the limits of workers, their
// reload, and the out-of-memory killer; and what needs huge pages.
func TestControllers(t *testing.T) {
	if !inGuest() {
		t.Parallel()
		emulate(t)
		return
	}
	m := &machine{bus: "dbus"}
	setUp(t, m)
	m.define(t, "neighbour", "exec sleep infinity")
	m.run(t, "systemctl", "start", "pg-bgw")
	neighbour := m.pid(t, "neighbour")
	daemon, err := strconv.Atoi(m.unit(t, "MainPID"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		f    func(*testing.T, *machine)
	}{
		{"delegation", checkDelegation}, {"values", checkLimitValues}, {"memory_max", checkMemoryMax}, {"oom_group", checkNoOOMGroup},
		{"memory_high", checkMemoryHigh}, {"memory of the segment", checkSegmentMemory}, {"cpu_max", checkCPUMax}, {"pids_max", checkPidsMax},
		{"own limits", checkOwnLimits}, {"reload", checkLimitReload}, {"reload below what is used", checkReloadBelowUse},
		{"out of memory before exec", checkOutOfMemoryBeforeExec},
	} {
		t.Run(step.name, func(t *testing.T) { step.f(t, m) })
		if syscall.Kill(neighbour, 0) != nil || syscall.Kill(daemon, 0) != nil {
			t.Fatalf("%s: somebody else was ended", step.name)
		}
		for _, key := range []string{"oom", "oom_kill", "max"} {
			if n := m.count(t, group+"/supervisor/memory.events", key); n != 0 {
				t.Errorf("%s: the daemon's own cgroup has %s %d", step.name, key, n)
			}
		}
	}
	t.Run("not delegated", func(t *testing.T) { checkNotDelegated(t, m) })
	t.Run("stop", func(t *testing.T) { checkStop(t, m) })
	t.Run("huge pages", func(t *testing.T) { checkHugePages(t, m) })
}

// limit defines a worker that runs a shell script within limits, and reloads. One
// that ends is not started again while a test looks at it.
func (m *machine) limit(t *testing.T, label, script string, resources ...string) {
	t.Helper()
	m.writeLimits(t, label, script, resources...)
	m.run(t, "systemctl", "reload", "pg-bgw")
}

// writeLimits writes the definition, and removes it when the test has ended; the
// next one's reload ends the worker.
func (m *machine) writeLimits(t *testing.T, label, script string, resources ...string) {
	t.Helper()
	m.write(t, "/etc/pg-bgw/workers.d/"+label+".hcl", fmt.Sprintf(`worker %q {
  command      = ["/bin/sh", "-c", %q]
  flags        = ["shmem_access"]
  start_time   = "postmaster_start"
  restart_time = "1h"
  resources {
    %s
  }
}
`, label, script, strings.Join(resources, "\n    ")))
	t.Cleanup(func() { os.Remove("/etc/pg-bgw/workers.d/" + label + ".hcl") })
}

// attribute reads a file of a cgroup.
func attribute(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// count is a number of a flat keyed file, such as memory.events.
func (m *machine) count(t *testing.T, path, key string) int {
	t.Helper()
	for line := range strings.Lines(attribute(t, path) + "\n") {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", path, key)
	return 0
}

// ownCgroup is where a shell script finds its own cgroup.
const ownCgroup = "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"

func checkDelegation(t *testing.T, m *machine) {
	for _, name := range []string{"cgroup.controllers", "cgroup.subtree_control"} {
		got := strings.Fields(attribute(t, group+"/"+name))
		for _, c := range []string{"cpu", "io", "memory", "pids"} {
			if !slices.Contains(got, c) {
				t.Errorf("%s of the unit lacks %s: %v", name, c, got)
			}
		}
	}
	checkDaemonsCgroup(t, m)
	if got := attribute(t, m.cgroup(t, m.pid(t, "neighbour"))+"/memory.oom.group"); got != "1" {
		t.Errorf("a worker without limits has memory.oom.group %s", got)
	}
}

func checkLimitValues(t *testing.T, m *machine) {
	m.limit(t, "all", "exec sleep infinity", `memory_max = "64MiB"`, `memory_high = "32MiB"`, "memory_swap_max = 0", "oom_group = false",
		"cpu_weight = 200", `cpu_max = "50%"`, "io_weight = 300", "pids_max = 7", "oom_score_adj = 300")
	pid := m.pid(t, "all")
	m.hasLimits(t, pid, map[string]string{
		"memory.max": "67108864", "memory.high": "33554432", "memory.swap.max": "0", "memory.oom.group": "0",
		"cpu.weight": "200", "cpu.max": "50000 100000", "io.weight": "default 300", "pids.max": "7",
	})
	if got := text(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); strings.TrimSpace(got) != "300" {
		t.Errorf("oom_score_adj is %s", got)
	}
}

func (m *machine) hasLimits(t *testing.T, pid int, limits map[string]string) {
	t.Helper()
	path := m.cgroup(t, pid)
	for name, want := range limits {
		if got := attribute(t, path+"/"+name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// A worker beyond its memory is killed with all its processes, though it is a
// child that took it, and everybody is told why.
func checkMemoryMax(t *testing.T, m *machine) {
	from := m.mark(t)
	m.limit(t, "eater", "setsid tail /dev/zero & wait; echo survived; exec sleep infinity", `memory_max = "32MiB"`, "memory_swap_max = 0")
	handle := m.handle(t, "eater")
	m.outOfMemory(t, from, "eater")
	if status, _, _ := m.try("pg-bgwctl", "status", "eater"); !strings.Contains(status, "Last exit: was terminated by signal 9: SIGKILL (out of memory)") {
		t.Errorf("pg-bgwctl status says:\n%s", status)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup" + group + "/worker-" + slot(t, handle) + ".*"); left != nil {
		t.Errorf("cgroups are left: %s", left)
	}
}

// outOfMemory waits for the end of a worker, for want of memory.
func (m *machine) outOfMemory(t *testing.T, from mark, label string) {
	t.Helper()
	r := m.await(t, from, of("MESSAGE_ID", message(t, "WorkerCrashed")), of("PGBGW_WORKER", label))
	r.has(t, map[string]string{"PGBGW_EXIT_SIGNAL": "9", "PGBGW_EXIT_OOM": "true", "PRIORITY": "4",
		"MESSAGE": "worker was terminated by signal 9: killed (out of memory)", "PGBGW_STATE": "restarting"})
	for name, want := range map[string]string{"State": `s "restarting"`, "ExitOOM": "b true", "ExitSignal": "i 9",
		"Reason": `s "was terminated by signal 9: killed (out of memory)"`} {
		if got := m.property(t, m.handle(t, label), name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func checkNoOOMGroup(t *testing.T, m *machine) {
	from := m.mark(t)
	m.limit(t, "parent", "tail /dev/zero & wait $!; echo status $?; exec sleep infinity", `memory_max = "32MiB"`, "memory_swap_max = 0", "oom_group = false")
	m.await(t, from, "SYSLOG_IDENTIFIER=parent", "MESSAGE=status 137")
	if got := m.property(t, m.handle(t, "parent"), "State"); got != `s "running"` {
		t.Errorf("the parent of the killed process is %s", got)
	}
	if n := m.count(t, m.cgroup(t, m.pid(t, "parent"))+"/memory.events", "oom_kill"); n != 1 {
		t.Errorf("%d processes were killed", n)
	}
}

// checkMemoryHigh: a worker above memory_high is slowed down, and not killed.
func checkMemoryHigh(t *testing.T, m *machine) {
	m.limit(t, "slow", "exec tail /dev/zero", `memory_high = "16MiB"`, "memory_swap_max = 0")
	pid := m.pid(t, "slow")
	path := m.cgroup(t, pid)
	if err := awaitFile("/sys/fs/cgroup"+path+"/memory.events", func(string) bool { return m.count(t, path+"/memory.events", "high") > 0 }); err != nil {
		t.Fatal(err)
	}
	if m.pid(t, "slow") != pid || m.count(t, path+"/memory.events", "oom_kill") != 0 {
		t.Error("it was killed")
	}
}

// The segment is the daemon's memory, however much of it a worker uses.
func checkSegmentMemory(t *testing.T, m *machine) {
	from := m.mark(t)
	m.limit(t, "user", "dd if=/dev/zero of=/proc/self/fd/3 bs=1M seek=16 count=47 conv=notrunc && echo written; exec sleep infinity", `memory_max = "16MiB"`, "memory_swap_max = 0")
	m.await(t, from, "SYSLOG_IDENTIFIER=user", "MESSAGE=written")
	path := m.cgroup(t, m.pid(t, "user"))
	if n := m.count(t, path+"/memory.stat", "shmem"); n > 1<<20 {
		t.Errorf("%d bytes of shared memory are charged to the worker", n)
	}
	if n := m.count(t, group+"/supervisor/memory.stat", "shmem"); n < 64<<20 {
		t.Errorf("%d bytes of shared memory are charged to the daemon", n)
	}
}

func checkCPUMax(t *testing.T, m *machine) {
	from := m.mark(t)
	m.limit(t, "throttled", "while ! grep -q 'nr_throttled [1-9]' "+ownCgroup+"/cpu.stat; do :; done; echo throttled; exec sleep infinity", `cpu_max = "20%"`)
	m.await(t, from, "SYSLOG_IDENTIFIER=throttled", "MESSAGE=throttled")
}

// checkPidsMax: a fork beyond pids_max fails, and is nobody else's matter.
func checkPidsMax(t *testing.T, m *machine) {
	from := m.mark(t)
	m.limit(t, "forks", "i=0; while [ $i -lt 9 ]; do i=$((i+1)); sleep 1000 & echo $i; done", "pids_max = 5")
	r := m.await(t, from, of("MESSAGE_ID", message(t, "WorkerCrashed")), of("PGBGW_WORKER", "forks"))
	r.has(t, map[string]string{"PGBGW_EXIT_CODE": "2", "PGBGW_EXIT_OOM": ""}) // dash's own end when it cannot fork
	m.await(t, from, "SYSLOG_IDENTIFIER=forks", "MESSAGE=4")                  // the shell itself is the fifth
}

// checkOwnLimits: a worker can neither change its limits nor leave them.
func checkOwnLimits(t *testing.T, m *machine) {
	from := m.mark(t)
	m.limit(t, "climber", "cd "+ownCgroup+`; (echo max >memory.max) || (echo 0 >../supervisor/cgroup.procs) || (echo 0 >../cgroup.procs) || mkdir x || (echo 1 >cgroup.freeze) || echo nothing`,
		`memory_max = "32MiB"`)
	m.await(t, from, "SYSLOG_IDENTIFIER=climber", "MESSAGE=nothing")
}

// checkLimitReload: limits alone change where a worker is; anything else with
// them restarts it.
func checkLimitReload(t *testing.T, m *machine) {
	const script = "exec sleep infinity"
	m.limit(t, "changing", script, `memory_max = "64MiB"`, "cpu_weight = 50", "pids_max = 10")
	pid := m.pid(t, "changing")
	m.writeLimits(t, "changing", script, `memory_max = "32MiB"`, `cpu_max = "70%"`)
	m.run(t, "systemctl", "kill", "--kill-whom=main", "--signal=HUP", "pg-bgw")
	path := m.cgroup(t, pid)
	// The reload does not wait for the kernel; pids.max is written last.
	if err := awaitFile("/sys/fs/cgroup"+path+"/pids.max", func(s string) bool { return s == "max\n" }); err != nil {
		t.Fatal(err)
	}
	m.hasLimits(t, pid, map[string]string{
		"memory.max": "33554432", "cpu.weight": "100", "cpu.max": "70000 100000", "pids.max": "max", "memory.oom.group": "1", "memory.high": "max",
	})
	if m.pid(t, "changing") != pid {
		t.Error("new limits restarted the worker")
	}
	from := m.mark(t)
	m.limit(t, "changing", "exec sleep 100000", `memory_max = "48MiB"`)
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStarted")), of("PGBGW_WORKER", "changing"))
	m.hasLimits(t, m.pid(t, "changing"), map[string]string{"memory.max": "50331648", "cpu.max": "max 100000"})
}

// A limit below what a worker uses makes the kernel take it; nobody waits for that.
func checkReloadBelowUse(t *testing.T, m *machine) {
	const script = "head -c 40M /dev/zero | tail -c 40M | { head -c 1 >/dev/null; echo full; exec sleep infinity; }"
	from := m.mark(t)
	m.limit(t, "big", script, `memory_max = "64MiB"`, "memory_swap_max = 0")
	m.await(t, from, "SYSLOG_IDENTIFIER=big", "MESSAGE=full")
	from = m.mark(t)
	m.limit(t, "big", script, `memory_max = "8MiB"`, "memory_swap_max = 0")
	m.outOfMemory(t, from, "big")
}

// passes runs a test of another package, which must not skip it here.
func (m *machine) passes(t *testing.T, program, test string) {
	t.Helper()
	out := m.run(t, "env", "CI=true", "PGBGW_LAUNCHER=/usr/lib/pg-bgw/pg-bgw-launcher", "./"+program, "-test.v", "-test.run", "^"+test+"$")
	if !strings.Contains(out, "--- PASS: "+test+" ") {
		t.Errorf("%s of %s did not pass:\n%s", test, program, out)
	}
}

func checkOutOfMemoryBeforeExec(t *testing.T, m *machine) {
	m.passes(t, "launch.test", "TestOutOfMemoryBeforeExec")
}

// checkHugePages: where there are huge pages, a segment that must consist of them
// does, and they are free again after the daemon's end. The daemon does not run before.
func checkHugePages(t *testing.T, m *machine) {
	const pool, definition = "/proc/sys/vm/nr_hugepages", "/etc/pg-bgw/workers.d/huge.hcl"
	free := func() string {
		for line := range strings.Lines(text("/proc/meminfo")) {
			if f := strings.Fields(line); f[0] == "HugePages_Free:" {
				return f[1]
			}
		}
		return "unknown"
	}
	if err := os.WriteFile(pool, []byte("8"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(pool, []byte("0"), 0)
	defer os.Remove(definition)
	m.passes(t, "shm.test", "TestHugePages")
	m.write(t, definition, `segment "huge" {
  size       = "4MiB"
  huge_pages = "on"
}
worker "paged" {
  command      = ["/bin/sleep", "infinity"]
  flags        = ["shmem_access"]
  start_time   = "postmaster_start"
  restart_time = "1h"
  segment      = "huge"
  attach       = "always"
}
`)
	m.run(t, "systemctl", "start", "pg-bgw")
	m.pid(t, "paged")
	if n := free(); n != "6" {
		t.Errorf("%s of 8 huge pages are free beside a segment of 2", n)
	}
	m.run(t, "systemctl", "stop", "pg-bgw")
	until(t, "all huge pages are free when the daemon has ended", func() bool { return free() == "8" })
}

// checkNotDelegated: limits of a controller that the unit does not have are the
// reason why a worker does not start.
func checkNotDelegated(t *testing.T, m *machine) {
	dir := "/run/systemd/system/pg-bgw.service.d"
	m.write(t, dir+"/delegate.conf", "[Service]\nDelegate=\nDelegate=memory pids\n")
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "restart", "pg-bgw")
	from := m.mark(t)
	m.limit(t, "lighter", "exec sleep infinity", "cpu_weight = 50")
	r := m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStartFailed")), of("PGBGW_WORKER", "lighter"))
	if !strings.Contains(r["PGBGW_REASON"], "cpu controller is not delegated (add cpu to Delegate= in the unit)") {
		t.Errorf("the reason is %q", r["PGBGW_REASON"])
	}
	m.pid(t, "neighbour")
	m.run(t, "rm", "-r", dir)
	m.run(t, "systemctl", "daemon-reload")
}
