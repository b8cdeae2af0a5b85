package systemtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A start that cannot succeed fails with the status that says why, and is not
// tried again.
func TestFailedStarts(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		setUp(t, m)
		t.Run("bad configuration", func(t *testing.T) {
			m.write(t, "/etc/pg-bgw/workers.d/bad.hcl", "worker \"bad\" {\n  comand = 1\n}\n")
			failsWith(t, m, "78")
			if out := m.run(t, "journalctl", "--unit=pg-bgw", "--output=cat"); !strings.Contains(out, "bad.hcl") {
				t.Errorf("the journal names no file:\n%s", out)
			}
			m.run(t, "rm", "/etc/pg-bgw/workers.d/bad.hcl")
		})
		t.Run("name owned", func(t *testing.T) {
			squatter := m.python(t, "squatter.py")
			squatter.line(t, "owner")
			failsWith(t, m, "75")
			squatter.end()
			until(t, "that the bus has noticed the squatter's end", func() bool {
				return m.run(t, "busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", "s", "org.pgbgw1") == "b false"
			})
		})
		m.run(t, "systemctl", "start", "pg-bgw")
	})
}

func failsWith(t *testing.T, m *machine, status string) {
	t.Helper()
	m.refused(t, "systemctl", "start", "pg-bgw")
	if got := m.unit(t, "ExecMainStatus"); got != status {
		t.Errorf("exit status %s, want %s", got, status)
	}
	if state, n := m.unit(t, "ActiveState"), m.unit(t, "NRestarts"); state != "failed" || n != "0" {
		t.Errorf("the unit is %s after %s restarts, want failed and none", state, n)
	}
	m.run(t, "systemctl", "reset-failed", "pg-bgw")
}

// With the server's own user, a stop of pg-bgw must not touch the server's
// shared memory, which systemd would delete with RemoveIPC=.
func TestServerSharedMemorySurvivesStop(t *testing.T) {
	requireRoot(t)
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(bins) == 0 {
		unavailable(t, "PostgreSQL is not installed")
	}
	if _, err := os.Stat("/etc/postgresql-common"); err != nil {
		unavailable(t, err.Error())
	}
	t.Parallel()
	bin := filepath.Dir(bins[len(bins)-1])
	m := boot(t, kind{"host", "dbus"})
	setUp(t, m)
	examples := "/usr/share/doc/pg-bgw/examples/"
	m.run(t, "install", "-D", "--mode=0644", "-t", "/etc/systemd/system/pg-bgw.service.d", examples+"20-as-postgres.conf")
	m.run(t, "install", "-D", "--mode=0644", "-t", "/etc/dbus-1/system.d", examples+"pgbgw1-as-postgres.conf")
	m.run(t, "busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig")
	m.run(t, "systemctl", "daemon-reload")
	asPostgres := []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"}
	m.run(t, append(asPostgres, bin+"/initdb", "-D", "/tmp/data", "-A", "trust", "--no-sync")...)
	// As Debian's unit does it, without User=: systemd spares the memory of a user
	// that has another unit.
	m.run(t, "systemd-run", "--quiet", "--unit=server", "-p", "Type=notify", "setpriv", "--reuid=postgres",
		"--regid=postgres", "--init-groups", bin+"/postgres", "-D", "/tmp/data", "-c", "unix_socket_directories=/tmp", "-c", "listen_addresses=", "-c", "autovacuum=off")
	// Without how many processes are attached, since those of the server come and go.
	memory := func() string { return m.run(t, "sh", "-c", "ls /dev/shm; ipcs -m | awk '{ print $1, $2, $3, $5 }'") }
	m.run(t, "systemctl", "start", "pg-bgw")
	before := memory()
	if !strings.Contains(before, "PostgreSQL.") || !strings.Contains(before, "postgres") {
		t.Fatalf("the server has no shared memory of both kinds:\n%s", before)
	}
	if user := m.unit(t, "User"); user != "postgres" {
		t.Fatalf("pg-bgw runs as %s", user)
	}
	m.run(t, "systemctl", "stop", "pg-bgw")
	if after := memory(); after != before {
		t.Errorf("shared memory before the stop:\n%s\nand after:\n%s", before, after)
	}
	m.run(t, append(asPostgres, "psql", "-h", "/tmp", "-d", "postgres", "-c", "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; select count(*) from pg_class")...)
}
