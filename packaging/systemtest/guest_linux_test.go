package systemtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootPatience bounds the emulated machine's whole life. A processor without
// hardware for it takes a minute to boot, and shares the host with other tests.
const bootPatience = 20 * time.Minute

// inGuest says that this process is the test inside the emulated machine.
func inGuest() bool { return os.Getenv("PGBGW_GUEST") != "" }

// emulate runs the test of that name on an emulated machine, which has what no
// container has: the cgroup controllers. The machine is Debian 13 with our files
// and this test program, which finds itself inGuest there. It needs neither root
// nor hardware, and leaves nothing. Its time is that of the instructions which it has
// executed, so that a busy host makes nothing in it late.
func emulate(t *testing.T) {
	t.Helper()
	base := emulated(t)
	dir := t.TempDir()
	second := guestDisk(t, dir)
	console, report := filepath.Join(dir, "console"), filepath.Join(dir, "report")
	ctx, cancel := context.WithTimeout(context.Background(), bootPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "Westmere,-cx16", "-smp", "1", "-m", "1024",
		"-icount", "shift=1", "-rtc", "clock=vm",
		"-nodefaults", "-display", "none", "-no-reboot",
		"-serial", "file:"+console, "-serial", "file:"+report,
		"-kernel", filepath.Join(base, "kernel"), "-initrd", filepath.Join(base, "initrd"),
		"-drive", "if=virtio,format=raw,snapshot=on,file="+filepath.Join(base, "disk"),
		"-drive", "if=virtio,format=raw,snapshot=on,file="+second,
		"-append", "root=/dev/vda rw console=ttyS0 loglevel=4 systemd.unit=test.target systemd.show_status=0 net.ifnames=0")
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &errs, &errs
	cmd.Env = append(os.Environ(), "TMPDIR="+dir) // where the snapshots go
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	<-startOnThread(t, cmd)
	out := strings.ReplaceAll(text(report), "\r", "")
	if strings.HasSuffix(out, "\nexit status 0\n") {
		t.Log(out)
		return
	}
	t.Errorf("the emulated machine reports:\n%s", out)
	t.Logf("qemu: %v\n%s\nits console:\n%s", ctx.Err(), errs.String(), text(console))
}

// emulated returns the directory of the machine's disk and kernel.
func emulated(t *testing.T) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the emulated machine is an amd64")
	}
	if why := os.Getenv("PGBGW_NO_MACHINE"); why != "" {
		t.Skip("no disk for an emulated machine: " + why)
	}
	for _, program := range []string{"qemu-system-x86_64", "mke2fs"} {
		if _, err := exec.LookPath(program); err != nil {
			unavailable(t, err.Error())
		}
	}
	base := os.Getenv("PGBGW_MACHINE")
	if base == "" {
		base = "/var/cache/pg-bgw-dev/machine"
	}
	if _, err := os.Stat(filepath.Join(base, "disk")); err != nil {
		unavailable(t, "no disk for an emulated machine, which packaging/dev test makes: "+err.Error())
	}
	return base
}

// run is what the machine does. Its standard output is the second serial line.
const guestRun = `
exec >/dev/ttyS1 2>&1 </dev/null
stty -F /dev/ttyS1 raw
cp -a /mnt/installed/. /
cd /mnt/systemtest
PGBGW_GUEST=1 CI=true ./systemtest.test -test.v -test.timeout %s -test.run '^%s$' && status=0 || status=$?
printf '\nexit status %%d\n' "$status"
`

// guestDisk makes the machine's second disk: the installed files, this package's
// tests where they find their data, those of packages that need this machine, and
// the script run.
func guestDisk(t *testing.T, dir string) string {
	t.Helper()
	root, disk := filepath.Join(dir, "second"), filepath.Join(dir, "second.disk")
	tests := filepath.Join(root, "systemtest")
	sh := fmt.Sprintf(`mkdir -p %[1]s %[2]s
		cp -a %[3]s %[1]s/installed
		cp -a testdata %[2]s/
		cp -a ../catalog %[1]s/
		go test -c -o %[2]s/systemtest.test .
		go test -c -o %[2]s/launch.test ../../units/launch
		go test -c -o %[2]s/shm.test ../../shm
		mke2fs -q -t ext4 -O ^has_journal -d %[1]s %[4]s 128M`, root, tests, installed(t), disk)
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	run := fmt.Sprintf(guestRun, bootPatience, t.Name())
	if err := os.WriteFile(filepath.Join(root, "run"), []byte(run), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-euc", sh)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot make the machine's second disk: %v\n%s", err, out)
	}
	return disk
}
