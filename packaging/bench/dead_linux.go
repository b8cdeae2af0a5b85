package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What a run leaves when it is killed: its supervisors end with it, and with
// them their workers, since the kernel tells them of its death; its directories
// and cgroups stay, and a worker might. The next run clears them away.

// scratchPrefix begins the name of a run's scratch directory and of all of its cgroups.
const scratchPrefix = "pgbgw-bench-"

// ledgersOf is where a run with that scratch directory has its ledgers, if it
// can.
func ledgersOf(scratch string) string { return filepath.Join("/dev/shm", filepath.Base(scratch)) }

func claimPath(scratch string) string { return filepath.Join(scratch, "claim") }

// claim locks a scratch directory for the life of this process.
func claim(scratch string) (*os.File, error) {
	f, err := os.OpenFile(claimPath(scratch), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", f.Name(), os.NewSyscallError("flock", err)), f.Close())
	}
	return f, nil
}

// clearDead ends and removes what dead runs below parent have left. A
// directory that nobody has claimed, that somebody alive has, or that is another
// user's, is let be.
func clearDead(parent string) error {
	dirs, _ := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	var all error
	for _, dir := range dirs {
		if !isOurs(dir) || !isOurs(claimPath(dir)) {
			continue
		}
		f, err := claim(dir)
		if err != nil {
			continue // it lives
		}
		killBelow(dir)
		all = errors.Join(all, clearCgroups(filepath.Base(dir)), os.RemoveAll(ledgersOf(dir)), os.RemoveAll(dir), f.Close())
	}
	return all
}

// isOurs says whether path is there, is no link, and belongs to this user: all
// may write where scratch directories are.
func isOurs(path string) bool {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK && int(st.Uid) == os.Geteuid()
}

// killBelow kills every process whose program is below dir.
func killBelow(dir string) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err == nil && runsBelow(pid, dir) {
			killIf(pid, func() bool { return runsBelow(pid, dir) })
		}
	}
}

func runsBelow(pid int, dir string) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(exe, dir+"/")
}

// killIf kills a process by a handle that pins it, if still says yes of what
// was pinned.
func killIf(pid int, still func() bool) {
	if p, err := os.FindProcess(pid); err == nil {
		if still() {
			p.Kill()
		}
		p.Release()
	}
}

// clearCgroups kills and removes the cgroups of a run: the container's and
// those of pg-bgw's daemons.
func clearCgroups(name string) error {
	mount := cgroup2Mount()
	if mount == "" {
		return nil
	}
	groups, _ := filepath.Glob(filepath.Join(mount, name+"-*"))
	var all error
	for _, g := range append(groups, filepath.Join(mount, name)) {
		if err := os.WriteFile(filepath.Join(g, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
		all = errors.Join(all, removeCgroupSoon(g))
	}
	return errors.Join(all, removeCgroupOfSystemd(name))
}
