package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The names below the delegated cgroup. Ours are prefixed because the kernel's
// files live beside them.
const (
	supervisorCgroup = "supervisor"
	workerPrefix     = "worker-"
)

// leftoverTimeout bounds how long OpenCgroups waits for processes of an earlier
// life that do not die of SIGKILL (uninterruptible sleep).
const leftoverTimeout = 10 * time.Second

// CgroupOptions are what OpenCgroups may be told. The zero value is complete.
type CgroupOptions struct {
	// Root is a cgroup directory that is ours to fill; this process is not moved.
	// "": the cgroup that the service manager delegated to this process.
	Root string
	// Keep are the IDs of workers that live on (re-execution); all other
	// worker-* cgroups are killed and removed.
	Keep []string
}

// Cgroups is the delegated cgroup v2 in which each worker gets its own:
//
//	supervisor/     this process and the launcher
//	worker-<ID>/    one per worker
type Cgroups struct {
	root        string // absolute path
	mount       string // where cgroup v2 is mounted
	dir         int    // root, O_PATH
	procs       int    // cgroup.procs of root, O_PATH; -1: none
	controllers []string
}

// OpenCgroups moves this process into supervisor/ below the delegated cgroup,
// enables the controllers that there are, and clears leftovers of an earlier
// life. Call it before READY=1. An error says why there is no delegation: go on
// without, with the reason in the log.
func OpenCgroups(opts CgroupOptions) (*Cgroups, error) {
	root, mount := opts.Root, opts.Root
	if root == "" {
		var err error
		if root, mount, err = findDelegated(os.DirFS("/")); err != nil {
			return nil, fmt.Errorf("cannot use cgroups: %w", err)
		}
	}
	c, err := openRoot(root, mount)
	if err != nil {
		return nil, err
	}
	if opts.Root == "" {
		if err := c.moveSelf(); err != nil {
			c.Close()
			return nil, err
		}
	}
	if err := c.enableControllers(); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.removeLeftovers(opts.Keep); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func openRoot(root, mount string) (*Cgroups, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("cannot use cgroup %s: %w", root, os.NewSyscallError("statfs", err))
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("cannot use cgroup %s: it is not on a cgroup v2 file system", root)
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot use cgroup %s: %w", root, os.NewSyscallError("open", err))
	}
	c := &Cgroups{root: root, mount: mount, dir: dir}
	// For each clone3 into a cgroup the kernel looks whether this file could be written
	// to, and would make its inode, and free it, each time if nobody had it open.
	c.procs, _ = unix.Openat(dir, "cgroup.procs", unix.O_PATH|unix.O_CLOEXEC, 0)
	return c, nil
}

// hierarchies is the directory of all cgroup file systems (cgroups(7)): where there
// are some of version 1, that of version 2 is below it.
const hierarchies = "/sys/fs/cgroup"

// protected is the directory in which a worker with Spec.ReadOnlyCgroups changes nothing.
func (c *Cgroups) protected() string {
	if strings.HasPrefix(c.mount, hierarchies+"/") {
		return hierarchies
	}
	return c.mount
}

// moveSelf puts this process into supervisor/: a cgroup that has processes of
// its own cannot hand controllers down (cgroups(7), no internal processes).
func (c *Cgroups) moveSelf() error {
	err := unix.Mkdirat(c.dir, supervisorCgroup, 0o755)
	if err == nil || err == unix.EEXIST {
		err = c.write(supervisorCgroup+"/cgroup.procs", "0")
	}
	if err != nil {
		return fmt.Errorf("cannot use cgroup %s: cannot move into %s: %w (does the unit have Delegate=yes?)", c.root, supervisorCgroup, err)
	}
	return nil
}

// enableControllers hands down every controller that the limits need and that
// there is. A controller that cannot be enabled counts as not there.
func (c *Cgroups) enableControllers() error {
	there, err := c.read("cgroup.controllers")
	if err != nil {
		return fmt.Errorf("cannot use cgroup %s: %w", c.root, err)
	}
	for _, name := range strings.Fields(there) {
		if slices.Contains(wantedControllers(), name) {
			_ = c.write("cgroup.subtree_control", "+"+name)
		}
	}
	enabled, err := c.read("cgroup.subtree_control")
	if err != nil {
		return fmt.Errorf("cannot use cgroup %s: %w", c.root, err)
	}
	c.controllers = strings.Fields(enabled)
	slices.Sort(c.controllers)
	return nil
}

func (c *Cgroups) removeLeftovers(keep []string) error {
	entries, err := os.ReadDir(c.root)
	if err != nil {
		return fmt.Errorf("cannot use cgroup %s: %w", c.root, err)
	}
	deadline := time.Now().Add(leftoverTimeout)
	for _, e := range entries {
		id, ours := strings.CutPrefix(e.Name(), workerPrefix)
		if !ours || !e.IsDir() || slices.Contains(keep, id) {
			continue
		}
		if err := c.removeLeftover(id, deadline); err != nil {
			return fmt.Errorf("cannot remove leftover cgroup %s: %w", filepath.Join(c.root, e.Name()), err)
		}
	}
	return nil
}

func (c *Cgroups) removeLeftover(id string, deadline time.Time) error {
	if err := c.kill(id); err != nil {
		return err
	}
	events, err := c.openEvents(id)
	if removed(err) {
		return nil // by somebody else
	}
	if err != nil {
		return err
	}
	defer unix.Close(events)
	for {
		populated, err := readPopulated(events)
		if err != nil {
			return err
		}
		if !populated {
			return c.removeTree(id)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return errors.New("its processes do not die")
		}
		fds := []unix.PollFd{{Fd: int32(events), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(min(left, lookFirst)/time.Millisecond)+1); err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}

// Root returns the delegated cgroup's directory.
func (c *Cgroups) Root() string { return c.root }

// Controllers returns the controllers that workers' cgroups have, sorted.
func (c *Cgroups) Controllers() []string { return slices.Clone(c.controllers) }

// Close closes what c has open. No Launcher may be using c any more.
func (c *Cgroups) Close() error {
	if c.procs >= 0 {
		unix.Close(c.procs)
	}
	return os.NewSyscallError("close", unix.Close(c.dir))
}
