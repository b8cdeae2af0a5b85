package systemtest

import (
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const unitFile = "/usr/lib/systemd/system/pg-bgw.service"

// setUp does in the machine what a package does after unpacking.
func setUp(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, "systemd-sysusers", "pg-bgw.conf")
	m.silent(t, "systemd-tmpfiles", "--create", "pg-bgw.conf")
	m.silent(t, "journalctl", "--update-catalog")
	m.silent(t, "systemctl", "daemon-reload")
	m.run(t, "busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig")
}

func TestInstalledFiles(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		setUp(t, m)
		t.Run("user", func(t *testing.T) { checkUser(t, m) })
		t.Run("unit", func(t *testing.T) { checkUnit(t, m) })
		t.Run("examples", func(t *testing.T) { checkExamples(t, m) })
		t.Run("exposure", func(t *testing.T) { checkExposure(t, m) })
		t.Run("catalog", func(t *testing.T) { checkCatalog(t, m) })
		t.Run("manual", func(t *testing.T) { checkManual(t, m) })
		t.Run("policy", func(t *testing.T) { checkPolicy(t, m) })
	})
}

func checkUser(t *testing.T, m *machine) {
	fields := strings.Split(m.run(t, "getent", "passwd", "pg-bgw"), ":")
	if len(fields) != 7 || fields[5] != "/var/lib/pg-bgw" || path.Base(fields[6]) != "nologin" {
		t.Errorf("the user is %q", fields)
	}
	if uid, err := strconv.Atoi(fields[2]); err != nil || uid <= 0 || uid >= 1000 {
		t.Errorf("uid %q is not one of a system user", fields[2])
	}
}

func checkUnit(t *testing.T, m *machine) {
	m.silent(t, "systemd-analyze", "verify", unitFile)
	out := m.run(t, "systemctl", "show", "pg-bgw", "--property=LoadState,Type,KillMode,RemoveIPC,Delegate,User,CanReload")
	for _, want := range []string{"LoadState=loaded", "Type=notify", "KillMode=mixed", "RemoveIPC=no", "Delegate=yes", "User=pg-bgw", "CanReload=yes"} {
		if !strings.Contains("\n"+out+"\n", "\n"+want+"\n") {
			t.Errorf("the unit lacks %s:\n%s", want, out)
		}
	}
}

// Each example must load without a word beside the unit it is for.
func checkExamples(t *testing.T, m *machine) {
	names := []string{"20-as-postgres.conf", "10-multi-user.conf"}
	if m.knows(t, "RestartSteps") {
		names = append(names, "30-restart-steps.conf")
	}
	for _, name := range names {
		dir := "/run/systemd/system/pg-bgw.service.d"
		m.silent(t, "install", "-D", "--mode=0644", "-t", dir, "/usr/share/doc/pg-bgw/examples/"+name)
		m.silent(t, "systemctl", "daemon-reload")
		m.silent(t, "systemd-analyze", "verify", unitFile)
		if out := m.run(t, "systemctl", "show", "pg-bgw", "--property=DropInPaths"); !strings.Contains(out, name) {
			t.Errorf("%s is not read: %s", name, out)
		}
		m.silent(t, "rm", "-r", dir)
	}
	m.silent(t, "systemctl", "daemon-reload")
}

// knows says whether systemd has that setting of a service.
func (m *machine) knows(t *testing.T, setting string) bool {
	t.Helper()
	return m.run(t, "systemctl", "show", "pg-bgw", "--property="+setting) != ""
}

func checkExposure(t *testing.T, m *machine) {
	const limit = 2.5
	out := m.run(t, "systemd-analyze", "security", "--offline=yes", "--no-pager", unitFile)
	found := regexp.MustCompile(`Overall exposure level for pg-bgw.service: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze security names no level:\n%s", out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > limit {
		t.Errorf("exposure level %s, want at most %v:\n%s", found[1], limit, out)
	}
}

func checkCatalog(t *testing.T, m *machine) {
	if out := m.run(t, "journalctl", "--list-catalog"); !strings.Contains(out, "pg-bgw: pg-bgw is ready") {
		t.Error("the catalog has no entry of ours")
	}
}

func checkManual(t *testing.T, m *machine) {
	pages, err := filepath.Glob("../man/*.[1-8]")
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no pages: %v", err)
	}
	for _, page := range pages {
		section := strings.TrimPrefix(filepath.Ext(page), ".")
		name := strings.TrimSuffix(filepath.Base(page), "."+section)
		_, errs, status := m.try("man", "--warnings", section, name)
		if status != 0 || errs != "" {
			t.Errorf("man %s %s: exit status %d\n%s", section, name, status, errs)
		}
	}
}

// checkPolicy checks who may be org.pgbgw1; with a daemon, the tests of the bus
// check who may call it.
func checkPolicy(t *testing.T, m *machine) {
	request := []string{"dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.RequestName", "string:org.pgbgw1", "uint32:4"}
	for _, user := range []string{"pg-bgw", "root"} {
		if out := m.run(t, append([]string{"setpriv", "--reuid=" + user, "--clear-groups"}, request...)...); !strings.Contains(out, "uint32 1") {
			t.Errorf("%s cannot own the name:\n%s", user, out)
		}
	}
	for _, user := range []string{"nobody", "daemon"} {
		out := m.refused(t, append([]string{"setpriv", "--reuid=" + user, "--clear-groups"}, request...)...)
		if !strings.Contains(out, "org.freedesktop.DBus.Error.AccessDenied") {
			t.Errorf("%s: %s", user, out)
		}
	}
	if out := m.run(t, "journalctl", "--no-pager", "--boot", "--unit=dbus.service", "--output=cat"); strings.Contains(out, "pgbgw1") {
		t.Errorf("the bus complains about our files:\n%s", out)
	}
}
