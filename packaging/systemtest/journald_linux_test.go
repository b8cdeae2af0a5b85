package systemtest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestJournald: whatever becomes of journald, a worker that talks to it lives, and
// the daemon answers.
func TestJournald(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		setUp(t, m)
		m.define(t, "talker", "i=0; while :; do i=$((i+1)); echo line $i; echo $i >/run/pg-bgw/said; sleep 0.02; done")
		m.write(t, "/etc/pg-bgw/speaker", "echo spoken; exec sleep infinity")
		m.run(t, "systemctl", "start", "pg-bgw")
		pid := m.pid(t, "talker")
		for _, step := range []struct {
			name string
			f    func(*testing.T, *machine)
		}{
			{"restart", checkJournaldRestart}, {"kill", checkJournaldKilled}, {"asleep", checkJournaldAsleep}, {"stop", checkJournaldStopped},
		} {
			if !t.Run(step.name, func(t *testing.T) { step.f(t, m) }) {
				return
			}
			if now := m.pid(t, "talker"); now != pid {
				t.Fatalf("%s: the worker's process was %d and is %d:\n%s", step.name, pid, now, m.run(t, "pg-bgwctl", "status", "talker"))
			}
		}
		from := m.mark(t)
		m.run(t, "pg-bgwctl", "restart", "talker")
		m.await(t, from, "SYSLOG_IDENTIFIER=talker", "MESSAGE=line 1")
		m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStarted")), of("PGBGW_WORKER", "talker"))
	})
}

// says waits until the worker has said more, heard or not, and returns how much.
func (m *machine) says(t *testing.T) (n int) {
	t.Helper()
	first := 0
	err := awaitFile(fmt.Sprintf("/proc/%d/root/run/pg-bgw/said", m.leader), func(text string) bool {
		n, _ = strconv.Atoi(strings.TrimSpace(text))
		if first == 0 {
			first = n
		}
		return first > 0 && n > first
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// line is the number of a line that the worker talker said, 0 of all else.
func (r record) line() (n int) {
	if r["SYSLOG_IDENTIFIER"] == "talker" {
		fmt.Sscanf(r["MESSAGE"], "line %d", &n)
	}
	return n
}

// heard waits until the journal has what the worker says next, and sees that what
// it has since from is in order, nothing twice, with no more gaps than may be: what
// is said next may itself be in one.
func (m *machine) heard(t *testing.T, from mark, gaps int) {
	t.Helper()
	n := m.says(t)
	m.awaitThat(t, from, fmt.Sprintf("line %d or later", n), func(r record) bool { return r.line() >= n })
	text := m.run(t, "journalctl", "--output=cat", "--after-cursor="+string(from), "SYSLOG_IDENTIFIER=talker")
	last := 0
	for said := range strings.SplitSeq(text, "\n") {
		var line int
		if _, err := fmt.Sscanf(said, "line %d", &line); err != nil || line <= last {
			t.Fatalf("after line %d the journal has %q", last, said)
		}
		if last > 0 && line > last+1 {
			gaps--
		}
		last = line
	}
	if gaps < 0 {
		t.Fatalf("lines are missing:\n%s", text)
	}
}

func checkJournaldRestart(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "systemctl", "restart", "systemd-journald")
	m.heard(t, from, 0)
}

// checkJournaldKilled: what journald had read and not yet written dies with it, and
// nothing else is lost.
func checkJournaldKilled(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "systemctl", "kill", "--signal=KILL", "systemd-journald")
	m.heard(t, from, 1)
}

// checkJournaldAsleep: one that does not read delays nothing that the daemon does.
func checkJournaldAsleep(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "systemctl", "kill", "--signal=STOP", "systemd-journald")
	handle := m.registerSpeaker(t, "asleep")
	m.run(t, "systemctl", "kill", "--signal=CONT", "systemd-journald")
	m.await(t, from, "SYSLOG_IDENTIFIER=asleep", "MESSAGE=spoken")
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerStarted")), of("PGBGW_WORKER", "asleep"), of("PGBGW_SLOT", slot(t, handle)))
	m.heard(t, from, 0)
}

// registerSpeaker starts a worker that says something.
func (m *machine) registerSpeaker(t *testing.T, name string) string {
	t.Helper()
	handle := object(t, m.call(t, "RegisterDynamicBackgroundWorker", "a{sv}t", "5", "Name", "s", name, "Flags", "as", "1", "shmem_access",
		"StartTime", "s", "postmaster_start", "RestartTime", "i", "0", "Command", "as", "2", "/bin/sh", "/etc/pg-bgw/speaker", "0"))
	m.started(t, handle)
	return handle
}

// checkJournaldStopped: what the daemon could not say is counted, and who was
// started meanwhile is heard afterwards.
func checkJournaldStopped(t *testing.T, m *machine) {
	from := m.mark(t)
	m.run(t, "systemctl", "stop", "systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket", "systemd-journald.service")
	handle := m.registerSpeaker(t, "unheard")
	m.says(t)
	m.run(t, "systemctl", "reset-failed", "systemd-journald")
	m.run(t, "systemctl", "start", "systemd-journald")
	m.run(t, "busctl", "call", "org.pgbgw1", handle, "org.pgbgw1.Worker", "Restart", "t", "0")
	m.await(t, from, "SYSLOG_IDENTIFIER=unheard", "MESSAGE=spoken")
	r := m.awaitThat(t, from, "of records that were lost", func(r record) bool { return r["PGBGW_LOST"] != "" })
	r.has(t, map[string]string{"SYSLOG_IDENTIFIER": "pg-bgwd", "PRIORITY": "4"})
	if n, err := strconv.Atoi(r["PGBGW_LOST"]); err != nil || n < 1 {
		t.Errorf("%q says that %q records were lost", r["MESSAGE"], r["PGBGW_LOST"])
	}
}
