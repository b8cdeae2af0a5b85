package systemtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	group   = "/system.slice/pg-bgw.service"
	manager = "org.pgbgw1.Manager"
)

// define writes the definition of a worker that runs a shell script.
func (m *machine) define(t *testing.T, label, script string, more ...string) {
	t.Helper()
	m.write(t, "/etc/pg-bgw/workers.d/"+label+".hcl", fmt.Sprintf(`worker %q {
  command      = ["/bin/sh", "-c", %q]
  flags        = ["shmem_access"]
  start_time   = "postmaster_start"
  restart_time = 0
  %s
}
`, label, script, strings.Join(more, "\n  ")))
}

// unit is a property of pg-bgw.service.
func (m *machine) unit(t *testing.T, property string) string {
	t.Helper()
	return m.run(t, "systemctl", "show", "pg-bgw", "--value", "--property="+property)
}

// call calls a method of the manager with busctl.
func (m *machine) call(t *testing.T, method string, args ...string) string {
	t.Helper()
	return m.run(t, append([]string{"busctl", "call", "org.pgbgw1", "/org/pgbgw1", manager, method}, args...)...)
}

// handle is the object path of the worker with that label.
func (m *machine) handle(t *testing.T, label string) string {
	t.Helper()
	return object(t, m.call(t, "GetWorker", "s", label))
}

// object is the path in busctl's `o "/path"`.
func object(t *testing.T, printed string) string {
	t.Helper()
	path, err := strconv.Unquote(strings.TrimPrefix(printed, "o "))
	if err != nil || !strings.HasPrefix(path, "/org/pgbgw1/worker/") {
		t.Fatalf("%q is not the path of a worker", printed)
	}
	return path
}

// started waits until a worker has a process and returns it. The daemon answers
// after 20 s at most, and clients repeat.
func (m *machine) started(t *testing.T, handle string) int {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		out := m.call(t, "WaitForBackgroundWorkerStartup", "ot", handle, "20000000")
		var status string
		var pid int
		if _, err := fmt.Sscanf(out, "su %q %d", &status, &pid); err == nil && status == "started" && pid > 1 {
			return pid
		}
		if status != "not_yet_started" || time.Now().After(end) {
			t.Fatalf("%s is %q, want it started", handle, out)
		}
	}
}

func (m *machine) pid(t *testing.T, label string) int {
	t.Helper()
	return m.started(t, m.handle(t, label))
}

const (
	hello = "while :; do echo '<3>hello from' $PGBGW_SLOT; sleep 1; done"
	// A child that no signal but SIGKILL ends and that is in another session.
	forker = "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 100; done' & while :; do sleep 100; done"
)

func TestService(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		setUp(t, m)
		m.define(t, "hello", hello)
		m.define(t, "forker", forker, `kill_timeout = "1s"`)
		for _, step := range []struct {
			name string
			f    func(*testing.T, *machine)
		}{
			{"start", checkStart}, {"cgroups", checkCgroups}, {"process", checkProcess}, {"files", checkFiles}, {"output", checkOutput},
			{"reload", checkReload}, {"bad reload", checkBadReload}, {"worker killed", checkWorkerKilled},
			{"daemon killed", checkDaemonKilled}, {"watchdog", checkWatchdog}, {"restart", checkRestart}, {"systemd's interface", checkManager},
			{"shipped example", checkShippedExample}, {"stop", checkStop},
		} {
			if !t.Run(step.name, func(t *testing.T) { step.f(t, m) }) {
				break // the steps build on one another
			}
		}
	})
}

func checkStart(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "systemctl", "start", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", message(t, "DaemonStarted"))).has(t, map[string]string{
		"SYSLOG_IDENTIFIER": "pg-bgwd", "_SYSTEMD_UNIT": "pg-bgw.service", "_PID": m.unit(t, "MainPID"),
	})
	if state, status := m.unit(t, "ActiveState"), m.unit(t, "StatusText"); state != "active" || status == "" {
		t.Errorf("the unit is %q with the status %q", state, status)
	}
	pid := m.pid(t, "hello")
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStarted")), of("PGBGW_WORKER", "hello")).has(t, map[string]string{
		"OBJECT_PID": strconv.Itoa(pid), "PGBGW_START_NUMBER": "1", "PRIORITY": "5",
	})
}

// checkDaemonsCgroup: the daemon is in supervisor/, and the unit's own cgroup is
// empty, as one that hands controllers down must be.
func checkDaemonsCgroup(t *testing.T, m *machine) {
	daemon, _ := strconv.Atoi(m.unit(t, "MainPID"))
	if !slices.Contains(m.procs(t, group+"/supervisor"), daemon) {
		t.Errorf("the daemon %d is not in %s/supervisor", daemon, group)
	}
	if out := m.run(t, "cat", "/sys/fs/cgroup"+group+"/cgroup.procs"); out != "" {
		t.Errorf("processes in the unit's own cgroup: %s", out)
	}
}

func checkCgroups(t *testing.T, m *machine) {
	checkDaemonsCgroup(t, m)
	for label, atLeast := range map[string]int{"hello": 1, "forker": 2} {
		pid := m.pid(t, label)
		path := m.cgroup(t, pid)
		if !strings.HasPrefix(path, group+"/worker-") || strings.Count(path, ".") < 3 {
			t.Errorf("%s is in the cgroup %s", label, path)
		}
		until(t, fmt.Sprintf("%s with process %d and %d in all", path, pid, atLeast), func() bool {
			procs := m.procs(t, path)
			return len(procs) >= atLeast && slices.Contains(procs, pid)
		})
	}
}

// cgroup is the cgroup of a process. On a host with hierarchies of version 1 the
// file names these too.
func (m *machine) cgroup(t *testing.T, pid int) string {
	t.Helper()
	for line := range strings.Lines(m.run(t, "cat", fmt.Sprintf("/proc/%d/cgroup", pid))) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	t.Fatalf("process %d has no cgroup", pid)
	return ""
}

// checkProcess looks at what a worker was given.
func checkProcess(t *testing.T, m *machine) {
	pid := m.pid(t, "hello")
	env := strings.Split(m.run(t, "cat", fmt.Sprintf("/proc/%d/environ", pid)), "\x00")
	for _, key := range []string{"PGBGW_SLOT", "PGBGW_GENERATION", "PGBGW_NAME", "PGBGW_FDS", "JOURNAL_STREAM"} {
		if !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, key+"=") }) {
			t.Errorf("the environment lacks %s: %q", key, env)
		}
	}
	for _, key := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "MAINPID"} {
		if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, key+"=") }) {
			t.Errorf("the environment has the daemon's %s: %q", key, env)
		}
	}
	status := m.run(t, "cat", fmt.Sprintf("/proc/%d/status", pid))
	for _, want := range []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000001000", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"} {
		if !strings.Contains(status, want) {
			t.Errorf("the status lacks %q:\n%s", want, status)
		}
	}
	if adj := m.run(t, "cat", fmt.Sprintf("/proc/%d/oom_score_adj", pid)); adj != "0" {
		t.Errorf("oom_score_adj is %s", adj)
	}
	if user := m.run(t, "stat", "--format=%U", fmt.Sprintf("/proc/%d", pid)); user != "pg-bgw" {
		t.Errorf("it runs as %s", user)
	}
}

// checkFiles: a worker writes where pg-bgw-worker(5) says, and with a drop-in elsewhere.
func checkFiles(t *testing.T, m *machine) {
	m.run(t, "install", "-d", "--owner=pg-bgw", "/srv/backup")
	m.run(t, "touch", "/tmp/of-another", "/home/of-another")
	m.define(t, "writer", "for d in /var/lib/pg-bgw /run/pg-bgw /tmp /var/tmp /srv/backup; do touch $d/by-a-worker && all=\"$all $d\"; done; "+
		"echo writes$all, sees $({ ls -A /home; ls -A /tmp; } 2>/dev/null); exec sleep infinity")
	says := func(how, want string) {
		t.Helper()
		from := m.mark(t)
		m.run(t, "systemctl", how, "pg-bgw")
		r := m.awaitThat(t, from, "of what it writes", func(r record) bool {
			return r["SYSLOG_IDENTIFIER"] == "writer" && strings.HasPrefix(r["MESSAGE"], "writes")
		})
		if r["MESSAGE"] != want {
			t.Errorf("after a %s it %s, want %s", how, r["MESSAGE"], want)
		}
	}
	const own = "writes /var/lib/pg-bgw /run/pg-bgw /tmp /var/tmp"
	says("reload", own+", sees by-a-worker")
	const dir = "/run/systemd/system/pg-bgw.service.d"
	m.write(t, dir+"/files.conf", "[Service]\nReadWritePaths=/srv/backup\n")
	m.run(t, "systemctl", "daemon-reload")
	says("restart", own+" /srv/backup, sees by-a-worker")
	m.run(t, "rm", "-r", dir, "/etc/pg-bgw/workers.d/writer.hcl")
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "reload", "pg-bgw")
}

func checkOutput(t *testing.T, m *machine) {
	from := mark(m.firstCursor(t))
	r := m.await(t, from, "SYSLOG_IDENTIFIER=hello")
	if !strings.HasPrefix(r["MESSAGE"], "hello from ") {
		t.Errorf("hello said %q", r["MESSAGE"])
	}
	r.has(t, map[string]string{"PRIORITY": "3", "_TRANSPORT": "stdout", "_SYSTEMD_UNIT": "pg-bgw.service"})
	if r["_STREAM_ID"] == "" || !strings.HasPrefix(r["_SYSTEMD_CGROUP"], group+"/worker-") {
		t.Errorf("its stream is %q and its cgroup %q", r["_STREAM_ID"], r["_SYSTEMD_CGROUP"])
	}
}

func (m *machine) firstCursor(t *testing.T) string {
	t.Helper()
	out := m.run(t, "sh", "-c", "journalctl --output=export --output-fields=__CURSOR | head -n 1")
	return strings.TrimPrefix(out, "__CURSOR=")
}

func checkReload(t *testing.T, m *machine) {
	hello, forker := m.pid(t, "hello"), m.pid(t, "forker")
	m.define(t, "added", "exec sleep infinity")
	from := m.mark(t)
	m.run(t, "systemctl", "reload", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", message(t, "ReloadDone")))
	added := m.pid(t, "added")
	if m.pid(t, "hello") != hello || m.pid(t, "forker") != forker {
		t.Error("a worker whose definition is unchanged was restarted")
	}
	from = m.mark(t)
	m.define(t, "added", "exec sleep 1000000")
	m.run(t, "systemctl", "reload", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStarted")), of("PGBGW_WORKER", "added"))
	if m.pid(t, "added") == added {
		t.Error("a worker whose definition has changed was not restarted")
	}
	from = m.mark(t)
	m.run(t, "rm", "/etc/pg-bgw/workers.d/added.hcl")
	m.run(t, "systemctl", "reload", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerExited")), of("PGBGW_WORKER", "added"))
}

func checkBadReload(t *testing.T, m *machine) {
	hello, daemon := m.pid(t, "hello"), m.unit(t, "MainPID")
	from := m.mark(t)
	m.write(t, "/etc/pg-bgw/workers.d/bad.hcl", "worker \"bad\" {\n  comand = [\"/bin/true\"]\n}\n")
	m.refused(t, "systemctl", "reload", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", message(t, "ReloadFailed")))
	if out := m.refused(t, "pg-bgwctl", "reload"); !strings.Contains(out, "bad.hcl") || !strings.Contains(out, "comand") {
		t.Errorf("the caller is told %q, without file and cause", out)
	}
	if status := m.unit(t, "StatusText"); !strings.Contains(strings.ToLower(status), "reload") {
		t.Errorf("the status does not tell of the failed reload: %q", status)
	}
	if m.unit(t, "ActiveState") != "active" || m.unit(t, "MainPID") != daemon || m.pid(t, "hello") != hello {
		t.Error("a bad file changed something")
	}
	m.run(t, "rm", "/etc/pg-bgw/workers.d/bad.hcl")
	m.run(t, "systemctl", "reload", "pg-bgw")
}

// The tree of a killed worker is gone before it runs again.
func checkWorkerKilled(t *testing.T, m *machine) {
	handle, pid := m.handle(t, "forker"), m.pid(t, "forker")
	path := m.cgroup(t, pid)
	tree := m.procs(t, path)
	from := m.mark(t)
	m.run(t, "kill", "-KILL", strconv.Itoa(pid))
	r := m.await(t, from, of("MESSAGE_ID", message(t, "WorkerCrashed")), of("PGBGW_WORKER", "forker"))
	r.has(t, map[string]string{"OBJECT_PID": strconv.Itoa(pid), "PGBGW_EXIT_SIGNAL": "9", "PRIORITY": "4"})
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStarted")), of("PGBGW_WORKER", "forker"))
	alive := m.procs(t, group)
	for _, old := range tree { // whoever is to reap them
		if slices.Contains(alive, old) {
			t.Errorf("process %d of the killed worker lives on", old)
		}
	}
	if m.handle(t, "forker") != handle || m.started(t, handle) == pid {
		t.Error("the worker did not start again under its handle")
	}
}

func checkDaemonKilled(t *testing.T, m *machine) {
	handle, old := m.handle(t, "hello"), m.procs(t, group)
	from := m.mark(t)
	m.run(t, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", unitStarted), of("UNIT", "pg-bgw.service"))
	for _, pid := range old {
		if slices.Contains(m.procs(t, group), pid) {
			t.Errorf("process %d outlived the daemon", pid)
		}
	}
	if m.unit(t, "NRestarts") != "1" {
		t.Errorf("systemd restarted the daemon %s times, want once", m.unit(t, "NRestarts"))
	}
	m.pid(t, "hello")
	if m.handle(t, "hello") == handle {
		t.Error("a handle of the daemon's earlier life is valid again")
	}
	if out := m.call(t, "GetBackgroundWorkerPid", "o", handle); out != `su "stopped" 0` {
		t.Errorf("the status of a stale handle is %s", out)
	}
}

// checkWatchdog has no shorter one: a daemon that is only slow is to keep it.
func checkWatchdog(t *testing.T, m *machine) {
	m.write(t, "/run/systemd/system/pg-bgw.service.d/watchdog.conf", "[Service]\nWatchdogSec=6s\n")
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "restart", "pg-bgw")
	from := m.mark(t)
	m.run(t, "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", unitFailed), of("UNIT", "pg-bgw.service"), of("UNIT_RESULT", "watchdog"))
	m.await(t, from, of("MESSAGE_ID", unitStarted), of("UNIT", "pg-bgw.service"))
	m.pid(t, "hello")
	m.run(t, "rm", "-r", "/run/systemd/system/pg-bgw.service.d")
	m.run(t, "systemctl", "daemon-reload")
}

func checkRestart(t *testing.T, m *machine) {
	daemon, hello := m.unit(t, "MainPID"), m.pid(t, "hello")
	for range 10 { // an administrator is never refused
		m.run(t, "systemctl", "restart", "pg-bgw")
	}
	if m.unit(t, "MainPID") == daemon || m.pid(t, "hello") == hello {
		t.Error("after a restart the processes are the same")
	}
}

// checkShippedExample does what the comment in the example says.
func checkShippedExample(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "rm", "/etc/pg-bgw/workers.d/hello.hcl")
	m.run(t, "cp", "/etc/pg-bgw/workers.d/10-hello.hcl.example", "/etc/pg-bgw/workers.d/10-hello.hcl")
	m.run(t, "pg-bgwctl", "check")
	m.run(t, "systemctl", "reload", "pg-bgw")
	m.await(t, from, "SYSLOG_IDENTIFIER=hello", of("MESSAGE", "hello from slot "+slot(t, m.handle(t, "hello"))))
}

// slot is the slot in a handle's path.
func slot(t *testing.T, handle string) string {
	t.Helper()
	s, _, ok := strings.Cut(strings.TrimPrefix(handle, "/org/pgbgw1/worker/s"), "_g")
	if !ok {
		t.Fatalf("%s names no slot", handle)
	}
	return s
}

// checkStop sees that nothing is left.
func checkStop(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "systemctl", "stop", "pg-bgw")
	m.await(t, from, of("MESSAGE_ID", message(t, "DaemonStopping")))
	m.await(t, from, of("MESSAGE_ID", unitStopped), of("UNIT", "pg-bgw.service"))
	if state, result := m.unit(t, "ActiveState"), m.unit(t, "Result"); state != "inactive" || result != "success" {
		t.Errorf("the unit is %s with the result %s", state, result)
	}
	m.refused(t, "test", "-e", "/sys/fs/cgroup"+group)
	m.refused(t, "test", "-e", "/run/pg-bgw")
	if out, _, _ := m.try("pgrep", "--uid", "pg-bgw", "--list-full"); out != "" {
		t.Errorf("processes are left:\n%s", out)
	}
	if out := m.run(t, "find", "/dev/shm", "-user", "pg-bgw"); out != "" {
		t.Errorf("shared memory is left: %s", out)
	}
	if killed, _, _ := m.try("journalctl", "--quiet", "--after-cursor="+string(from), "--unit=pg-bgw", "--grep=SIGKILL|left-over"); killed != "" {
		t.Errorf("systemd had to clean up:\n%s", killed)
	}
}
