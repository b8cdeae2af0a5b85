package systemtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// otherRoot enters a Debian root: an overlay that writes to memory, in namespaces
// that end with the first process. Arguments: a directory, the Debian root, files
// for /test, and a command.
const otherRoot = `
dir=$1 lower=$2 files=$3; shift 3
mount -t tmpfs -o mode=755 tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/root"
cp -a "$files" "$dir/root/test"
mount -t proc proc "$dir/root/proc"
mount --rbind /dev "$dir/root/dev"
mount --rbind /sys "$dir/root/sys"
exec chroot "$dir/root" "$@"
`

// TestNewerPostgreSQL runs the tests that follow a real server with PostgreSQL 17,
// that of Debian 13, on Debian 13, and those of modules for it, which are built
// there. The packages' own runs have the host's.
func TestNewerPostgreSQL(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	if why := os.Getenv("PGBGW_NO_POSTGRESQL"); why != "" {
		t.Skip("no PostgreSQL 17: " + why)
	}
	root := os.Getenv("PGBGW_POSTGRESQL_ROOT")
	if root == "" {
		root = "/var/cache/pg-bgw-dev/trixie-postgresql"
	}
	if _, err := os.Stat(filepath.Join(root, "usr/include/postgresql/17/server")); err != nil {
		unavailable(t, "no root of Debian 13 with PostgreSQL 17, which packaging/dev test makes: "+err.Error())
	}
	files := t.TempDir()
	build := exec.Command("sh", "-euc", `
		chmod 755 "$1"
		go test -c -o "$1/" ../../units/server ../../cmd/pg-bgwd ../../cmd/pg-bgwctl ../../cmd/pg-bgwctl/module
		(cd ../.. && cp -r --parents contrib shm/testdata cmd/pg-bgwd cmd/pg-bgwctl "$1/")
		cp "$2/usr/sbin/pg-bgwd" "$2/usr/bin/pg-bgwctl" "$2/usr/lib/pg-bgw/pg-bgw-launcher" "$1/"`, "sh", files, installed(t))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the tests: %v\n%s", err, out)
	}
	for _, run := range [][]string{ // a directory, a program and its flags
		{".", "server.test", "-test.skip=^TestReadme$"}, // which reads the source
		{"cmd/pg-bgwd", "pg-bgwd.test", "-test.run=^Test(Server|Password|Passed|Certificate|Connection|Module)"},
		{"cmd/pg-bgwctl", "pg-bgwctl.test", "-test.run=^Test(Connect|Setup)"},
		{"cmd/pg-bgwctl/module", "module.test", "-test.run=."},
	} {
		t.Run(run[1], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation=private", "--ipc", "--pid", "--fork", "--kill-child", "--",
				"/bin/sh", "-euc", otherRoot, "sh", t.TempDir(), root, files,
				"sh", "-euc", `cd "/test/$1"; shift; exec "$@"`, "sh", run[0], "/test/" + run[1], "-test.v"}, run[2:]...)...)
			cmd.Env = append(os.Environ(), "CI=true", "PGBGW_TEST_PROGRAMS=/test")
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}
