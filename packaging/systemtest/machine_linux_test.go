package systemtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds each wait, so that what never comes is a failure and not a
// test that hangs: far more than anything takes while others keep the processors
// busy. The emulated machine has a time of its own, which that does not touch.
const patience = 90 * time.Second

// mounts makes the machine's root in a mount namespace of its own: a Debian root
// under an overlay that writes to memory, and a copy of the installed files in
// it. /run is hidden because nspawn keeps notes there. Arguments: a directory,
// the Debian root, the installed files, and the command to become.
const mounts = `
dir=$1 lower=$2 installed=$3; shift 3
mount -t tmpfs -o mode=755 tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/root"
cp -a "$installed/." "$dir/root/"
units=$dir/root/etc/systemd/system
for unit in systemd-udevd systemd-udev-trigger systemd-logind systemd-resolved systemd-networkd \
	systemd-timesyncd systemd-sysctl systemd-modules-load systemd-random-seed apparmor; do
	ln -sf /dev/null "$units/$unit.service"
done
ln -sf /dev/null "$units/timers.target"
printf '[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\nAllowIsolate=yes\n' \
	>"$units/test.target"
ln -sf "/lib/systemd/system/$BROKER.service" "$units/dbus.service"
mount -t tmpfs tmpfs /run
exec "$@"
`

// A machine is one booted systemd.
type machine struct {
	leader int    // process 1 of the machine, as the host sees it; 0: this test runs in the machine
	bus    string // dbus-daemon or dbus-broker
}

var machines atomic.Int32

// boot boots k with the given bus and ends it with the test.
func boot(t *testing.T, k kind) *machine {
	t.Helper()
	lower := k.root(t)
	name := fmt.Sprintf("pg-bgw-test-%d-%d", os.Getpid(), machines.Add(1))
	group := newCgroup(t, name)
	dir := t.TempDir()
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-euc", mounts, "sh",
		dir, lower, installed(t),
		"systemd-nspawn", "--directory="+dir+"/root", "--machine="+name, "--register=no", "--keep-unit",
		"--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self", // as any machine has them
		"--console=pipe", "--notify-ready=yes", "--kill-signal=SIGRTMIN+3", "--boot", "--", "--unit=test.target")
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "NOTIFY_SOCKET="+notify.LocalAddr().String(), "BROKER="+k.bus)
	console, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	ended := startOnThread(t, cmd)
	t.Cleanup(func() { shutdown(t, cmd, ended, console.Name()) })
	m := &machine{bus: k.bus}
	if err := m.awaitBoot(notify, ended); err != nil {
		t.Fatalf("cannot boot %s: %v\n%s", k, err, text(console.Name()))
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _, _ := m.try("journalctl", "--no-pager", "--lines=200", "--output=short-precise")
			t.Logf("the machine's journal:\n%s", out)
		}
	})
	return m
}

// startOnThread starts cmd on a thread that lives as long as the process, which
// is what Pdeathsig means by a parent, and returns a channel that is closed when
// cmd has ended.
func startOnThread(t *testing.T, cmd *exec.Cmd) <-chan struct{} {
	t.Helper()
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return ended
}

// awaitBoot reads what nspawn reports: first who process 1 is, later that it is
// ready.
func (m *machine) awaitBoot(notify *net.UnixConn, ended <-chan struct{}) error {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-ended:
			notify.SetReadDeadline(time.Unix(1, 0))
		case <-stop:
		}
	}()
	notify.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(buf[:n])) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "X_NSPAWN_LEADER_PID":
				if m.leader, err = strconv.Atoi(value); err != nil {
					return err
				}
			case "READY":
				if m.leader == 0 {
					return errors.New("nspawn did not say who process 1 is")
				}
				return nil
			}
		}
	}
}

// shutdown powers the machine off, and kills what is left.
func shutdown(t *testing.T, cmd *exec.Cmd, ended <-chan struct{}, console string) {
	cmd.Process.Signal(syscall.SIGTERM) // nspawn passes it on
	select {
	case <-ended:
	case <-time.After(patience):
		cmd.Process.Kill()
		<-ended
		t.Errorf("the machine did not power off:\n%s", text(console))
	}
}

func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// command makes a command that runs inside the machine as root. nsenter forks to
// enter the process space, so the end of ctx kills a group.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	if m.leader != 0 {
		args = append([]string{"nsenter", "--target=" + strconv.Itoa(m.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TERM=dumb", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER="}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// try runs a command and returns what it printed and its exit status.
func (m *machine) try(args ...string) (stdout, stderr string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := m.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", err.Error(), -1
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// run runs a command that must succeed and returns its standard output without
// the last line's end.
func (m *machine) run(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := m.try(args...)
	if status != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
	return strings.TrimSuffix(out, "\n")
}

// refused runs a command that must fail, and returns all it printed.
func (m *machine) refused(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := m.try(args...)
	if status == 0 {
		t.Fatalf("%s: succeeded\n%s%s", strings.Join(args, " "), out, errs)
	}
	return out + errs
}

// until repeats what nobody tells of until it is so.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

// silent runs a command that must succeed and print nothing at all.
func (m *machine) silent(t *testing.T, args ...string) {
	t.Helper()
	out, errs, status := m.try(args...)
	if status != 0 || out+errs != "" {
		t.Errorf("%s: exit status %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
}

// write puts a file into the machine.
func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := m.command(ctx, "install", "-D", "-m", "0644", "/dev/stdin", path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot write %s: %v\n%s", path, err, out)
	}
}
