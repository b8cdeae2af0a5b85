package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What needs cgroup controllers, one worker's limits above all.
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
	for _, step := range []struct {
		name string
		f    func(*testing.T, *machine)
	}{
		{"delegation", checkDelegation}, {"values", checkLimitValues}, 
		{"memory_max", checkMemoryMax}, {"memory_high", checkMemoryHigh}, {"memory of the segment", checkSegmentMemory},
		{"cpu_max", checkCPUMax}, {"pids_max", checkPidsMax}, {"own limits", checkOwnLimits},
		{"not delegated", checkNotDelegated}, {"stop", checkStop},
	} {
		t.Run(step.name, func(t *testing.T) {
			neighbour, daemon := m.pid(t, "neighbour"), m.unit(t, "MainPID")
			_ = neighbour
			_ = daemon
			step.f(t, m)
		})
	}
}

// limited defines a worker that runs a shell script with resources, and reloads.
func (m *machine) limited(t *testing.T, label, script string, resources ...string) {
	t.Helper()
	block := "resources {\n    " + strings.Join(resources, "\n    ") + "\n  }"
	m.define(t, label, script, block)
	m.run(t, "systemctl", "reload", "pg-bgw")
	t.Cleanup(func() {
		m.run(t, "rm", "/etc/pg-bgw/workers.d/"+label+".hcl")
		m.run(t, "systemctl", "reload", "pg-bgw")
	})
}

// attribute reads a file of a cgroup.
func (m *machine) attribute(t *testing.T, cgroup, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", cgroup, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// count is a number of a flat keyed file, such as memory.events.
func (m *machine) count(t *testing.T, cgroup, name, key string) int {
	t.Helper()
	for line := range strings.Lines(m.attribute(t, cgroup, name) + "\n") {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s of %s has no %s", name, cgroup, key)
	return 0
}

func checkDelegation(t *testing.T, m *machine) {
	want := []string{"cpu", "io", "memory", "pids"}
	for _, name := range []string{"cgroup.controllers", "cgroup.subtree_control"} {
		got := strings.Fields(m.attribute(t, group, name))
		for _, c := range want {
			if !slices.Contains(got, c) {
				t.Errorf("%s of the unit lacks %s: %v", name, c, got)
			}
		}
	}
	if got := m.attribute(t, group, "cgroup.procs"); got != "" {
		t.Errorf("the unit's own cgroup has processes, which no cgroup with controllers may: %s", got)
	}
	t.Log(m.run(t, "ls", "/sys/fs/cgroup"+m.cgroup(t, m.pid(t, "neighbour"))))
	t.Log(m.run(t, "journalctl", "-b", "-u", "pg-bgw", "--no-pager"))
}

func checkLimitValues(t *testing.T, m *machine) {
	m.limited(t, "all", "exec sleep infinity", `memory_max = "64MiB"`, `memory_high = "32MiB"`, "memory_swap_max = 0",
		"cpu_weight = 200", `cpu_max = "50%"`, "pids_max = 7", "oom_score_adj = 300")
	pid := m.pid(t, "all")
	path := m.cgroup(t, pid)
	for name, want := range map[string]string{
		"memory.max": "67108864", "memory.high": "33554432", "memory.swap.max": "0", "cpu.weight": "200", "cpu.max": "50000 100000", "pids.max": "7",
	} {
		if got := m.attribute(t, path, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := text(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); strings.TrimSpace(got) != "300" {
		t.Errorf("oom_score_adj is %s", got)
	}
}

func checkMemoryMax(t *testing.T, m *machine) {
	from := m.mark(t)
	neighbour, daemon := m.pid(t, "neighbour"), m.unit(t, "MainPID")
	m.limited(t, "eater", "exec tail /dev/zero", `memory_max = "32MiB"`, "memory_swap_max = 0")
	r := m.await(t, from, of("MESSAGE_ID", message(t, "WorkerCrashed")), of("PGBGW_WORKER", "eater"))
	t.Log(r)
	t.Log(m.run(t, "pg-bgwctl", "status", "eater"))
	r.has(t, map[string]string{"PGBGW_EXIT_SIGNAL": "9"})
	if !strings.Contains(r["MESSAGE"], "out of memory") {
		t.Errorf("the record is %q", r["MESSAGE"])
	}
	if m.pid(t, "neighbour") != neighbour || m.unit(t, "MainPID") != daemon {
		t.Error("somebody else was ended")
	}
	if n := m.count(t, group+"/supervisor", "memory.events", "oom"); n != 0 {
		t.Errorf("the daemon's cgroup was out of memory %d times", n)
	}
}

func checkMemoryHigh(t *testing.T, m *machine) {
	from := m.mark(t)
	own := "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
	m.limited(t, "slow", `tail /dev/zero & while ! grep -q 'high [1-9]' `+own+`/memory.events; do :; done; echo slowed down; kill %1; exec sleep infinity`, `memory_high = "16MiB"`, "memory_swap_max = 0")
	m.await(t, from, "SYSLOG_IDENTIFIER=slow", "MESSAGE=slowed down")
}

func checkSegmentMemory(t *testing.T, m *machine) {
	t.Log(m.attribute(t, group+"/supervisor", "memory.stat"))
}

func checkCPUMax(t *testing.T, m *machine) {
	from := m.mark(t)
	own := "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
	m.limited(t, "throttled", `while ! grep -q 'nr_throttled [1-9]' `+own+`/cpu.stat; do :; done; echo throttled; exec sleep infinity`, `cpu_max = "5%"`)
	m.await(t, from, "SYSLOG_IDENTIFIER=throttled", "MESSAGE=throttled")
}

func checkPidsMax(t *testing.T, m *machine) {
	from := m.mark(t)
	own := "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
	m.limited(t, "forks", `(sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & echo all); echo "refused: $(cat `+own+`/pids.events)"; exec sleep infinity`, "pids_max = 4")
	r := m.await(t, from, "SYSLOG_IDENTIFIER=forks")
	t.Log(r["MESSAGE"])
}

func checkOwnLimits(t *testing.T, m *machine) {
	from := m.mark(t)
	own := "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
	m.limited(t, "climber", `(echo max > `+own+`/memory.max) 2>&1 || echo refused; (echo 0 > `+own+`/../supervisor/cgroup.procs) 2>&1 || echo refused; mkdir `+own+`/x; exec sleep infinity`, `memory_max = "32MiB"`)
	rs := m.awaitN(t, from, 5, "SYSLOG_IDENTIFIER=climber")
	for _, r := range rs {
		t.Log(r["MESSAGE"])
	}
}

func checkNotDelegated(t *testing.T, m *machine) {
}
