package systemtest

import (
	"fmt"
	"strings"
	"testing"
)

// TestSecrets: in the sandbox of the shipped unit a worker gets its password from a
// credential of systemd's, and from a file of root's that the service was started with;
// another worker of the same user can neither open what that one was given nor read the
// daemon's own descriptors.
func TestSecrets(t *testing.T) {
	for _, k := range []kind{{"host", "dbus"}, {"trixie", "dbus"}} {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			m := boot(t, k)
			setUp(t, m)
			checkSecrets(t, m, k.name != "host") // systemd 252 has no OpenFile=
		})
	}
}

func checkSecrets(t *testing.T, m *machine, openFile bool) {
	const secret = "/etc/pg-bgw/secrets/clerk"
	m.write(t, secret, "geheim\n")
	m.run(t, "chmod", "600", secret)
	unit := "[Service]\nLoadCredential=clerk:" + secret + "\n"
	if openFile {
		unit += "OpenFile=" + secret + ":clerk:read-only\n"
	}
	m.write(t, "/etc/systemd/system/pg-bgw.service.d/secrets.conf", unit)
	m.run(t, "systemctl", "daemon-reload")
	worker := func(label, script, more string) {
		m.write(t, "/etc/pg-bgw/workers.d/"+label+".hcl", fmt.Sprintf("worker %q {\n  command = [\"/bin/sh\", \"-c\", %q]\n  flags = [\"shmem_access\"%s\n  restart_time = \"1h\"\n%s}\n",
			label, script, map[bool]string{true: "]", false: ", \"backend_database_connection\"]\n  start_time = \"recovery_finished\""}[more == ""], more))
	}
	connection := func(file string) string {
		return "  connection {\n    role = \"clerk\"\n    password_file = \"" + file + "\"\n  }\n"
	}
	const report = `echo "$PGBGW_NAME has $(cat $PGPASSFILE)"; exec sleep 1000`
	worker("credential", report, connection("/run/credentials/pg-bgw.service/clerk"))
	names := []string{"credential"}
	if openFile {
		worker("passed", report, connection("fd:clerk"))
		names = append(names, "passed")
	}
	from := m.mark(t)
	m.run(t, "systemctl", "start", "pg-bgw")
	files := []string{secret, "/proc/$PPID/environ", "/proc/$PPID/fd/3", "/proc/$PPID/mem"}
	for _, name := range names {
		pid := m.pid(t, name)
		m.await(t, from, of("MESSAGE", name+" has *:*:*:clerk:geheim"))
		files = append(files, fmt.Sprintf("/proc/%d/fd/8", pid), fmt.Sprintf("/proc/%d/environ", pid), fmt.Sprintf("/proc/%d/mem", pid))
	}
	worker("spy", fmt.Sprintf(`for f in %s; do head -c 1 $f >/dev/null 2>&1 && echo "spied $f"; done; echo "spy is done"; exec sleep 1000`, strings.Join(files, " ")), "")
	m.run(t, "systemctl", "reload", "pg-bgw")
	m.await(t, from, of("MESSAGE", "spy is done"))
	if out := m.run(t, "journalctl", "--unit=pg-bgw", "--output=cat"); strings.Contains(out, "spied") {
		t.Errorf("a worker reads what is another's:\n%s", out)
	}
}
