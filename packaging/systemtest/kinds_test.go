package systemtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A kind is a Debian root and the bus that it runs.
type kind struct {
	name string // "host" or "trixie"
	bus  string // unit of the bus: dbus or dbus-broker
}

func (k kind) String() string { return k.name + "-" + k.bus }

// everywhere runs f on each root and with each bus, one machine each.
func everywhere(t *testing.T, f func(t *testing.T, m *machine)) {
	for _, k := range []kind{
		{"host", "dbus"}, {"host", "dbus-broker"},
		{"trixie", "dbus"}, {"trixie", "dbus-broker"},
	} {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			f(t, boot(t, k))
		})
	}
}

// root returns the lower layer of k, and skips the test where it cannot be had.
func (k kind) root(t *testing.T) string {
	t.Helper()
	requireRoot(t)
	if k.name == "host" {
		return "/"
	}
	if why := os.Getenv("PGBGW_NO_TRIXIE"); why != "" {
		t.Skip("no root of Debian 13: " + why)
	}
	root := os.Getenv("PGBGW_TRIXIE_ROOT")
	if root == "" {
		root = "/var/cache/pg-bgw-dev/trixie"
	}
	if _, err := os.Stat(filepath.Join(root, "lib/systemd/systemd")); err != nil {
		unavailable(t, "no root of Debian 13, which packaging/dev test makes: "+err.Error())
	}
	return root
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		unavailable(t, "only root can boot a machine")
	}
	for _, program := range []string{"systemd-nspawn", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			unavailable(t, err.Error())
		}
	}
	if cgroup2() == "" {
		unavailable(t, "cgroup v2 is not mounted")
	}
}

// unavailable skips a test for want of something, or fails it where the
// environment promises everything.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// installDir is made by TestMain.
var installDir string

// install installs the project, once, for a copy in every machine.
var install = sync.OnceValue(func() error {
	cmd := exec.Command("../dev", "install")
	cmd.Env = append(os.Environ(), "DESTDIR="+installDir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("packaging/dev install: %w\n%s", err, out)
	}
	return nil
})

func installed(t *testing.T) string {
	t.Helper()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	return installDir
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pg-bgw-installed-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the machines' / has its mode
	}
	if err != nil {
		panic(err)
	}
	installDir = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}
