package systemtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup2 finds where cgroup v2 is mounted, "" when it is not.
func cgroup2() string {
	return mountOf(func(kind, _ string) bool { return kind == "cgroup2" })
}

// cgroup1 finds where systemd's hierarchy of cgroup v1 is, "" when it is not.
// Beside v2, nspawn makes a machine's cgroup there too, and leaves it.
func cgroup1() string {
	return mountOf(func(kind, options string) bool {
		return kind == "cgroup" && slices.Contains(strings.Split(options, ","), "name=systemd")
	})
}

func mountOf(is func(kind, options string) bool) string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && is(fields[2], fields[3]) {
			return fields[1]
		}
	}
	return ""
}

// newCgroup makes a cgroup for one machine. With the test everything in it is
// killed and it is removed. First it removes those of test runs that are gone.
func newCgroup(t *testing.T, name string) *os.File {
	t.Helper()
	removeStale()
	path := filepath.Join(cgroup2(), name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err == nil {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dir.Close()
		if err := removeCgroup(path); err != nil {
			t.Errorf("cannot remove %s: %v", path, err)
		}
	})
	return dir
}

func removeStale() {
	names := map[string]bool{}
	for _, base := range []string{cgroup2(), cgroup1()} {
		if base == "" {
			continue
		}
		left, _ := filepath.Glob(filepath.Join(base, "pg-bgw-test-*"))
		for _, path := range left {
			names[filepath.Base(path)] = true
		}
	}
	for name := range names {
		var pid, n int
		if _, err := fmt.Sscanf(name, "pg-bgw-test-%d-%d", &pid, &n); err != nil {
			continue
		}
		if path := filepath.Join(cgroup2(), name); syscall.Kill(pid, 0) == syscall.ESRCH && !locked(path) {
			removeCgroup(path)
		}
	}
}

// locked says that a test run has the cgroup, whose number may be one of another
// process space.
func locked(path string) bool {
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}

// removeCgroup kills what is in path and below and removes it all, and what nspawn
// has made under its name in systemd's hierarchy. cgroup.kill returns before its
// victims are gone, and then rmdir says EBUSY; the events file tells when the last
// one is.
func removeCgroup(path string) error {
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := awaitEmpty(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := removeDirs(path)
	if base := cgroup1(); base != "" {
		err = errors.Join(err, removeDirs(filepath.Join(base, filepath.Base(path))))
	}
	return err
}

// removeDirs removes an empty tree of cgroups, the deepest first, if it is there.
func removeDirs(path string) error {
	var dirs []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = os.Remove(dirs[i])
	}
	return err
}

func awaitEmpty(path string) error {
	return awaitFile(filepath.Join(path, "cgroup.events"), func(s string) bool { return strings.Contains(s, "populated 0") })
}

// awaitFile waits until a file of a cgroup, whose changes inotify tells of, is as
// it should be, and says so when that is not within patience.
func awaitFile(path string, done func(text string) bool) error {
	inotify, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer syscall.Close(inotify)
	if _, err := syscall.InotifyAddWatch(inotify, path, syscall.IN_MODIFY); err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; {
		text, err := os.ReadFile(path)
		if err != nil || done(string(text)) {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("%s stays %q", path, text)
		}
		ready := []unix.PollFd{{Fd: int32(inotify), Events: unix.POLLIN}}
		const often = 1000 // ms; the kernel does not tell of every change of a cgroup
		if n, err := unix.Poll(ready, min(often, int(left.Milliseconds())+1)); err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		} else if n <= 0 {
			continue
		}
		if _, err := syscall.Read(inotify, make([]byte, 4096)); err != nil && err != syscall.EINTR {
			return err
		}
	}
}

// procs lists the processes of a cgroup of the machine and of those below it, as
// the machine numbers them.
func (m *machine) procs(t *testing.T, path string) []int {
	t.Helper()
	out, _, _ := m.try("sh", "-c", `find "/sys/fs/cgroup$1" -name cgroup.procs -exec cat {} + 2>/dev/null`, "sh", path)
	var pids []int
	for _, field := range strings.Fields(out) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}
