package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// make creates the cgroup of worker id with its limits and opens it for clone3.
func (c *Cgroups) make(id string, limits map[string]string) (fd int, err error) {
	name := workerPrefix + id
	if err := mkdirat(c.dir, name, 0o755); err != nil {
		if err == unix.EEXIST {
			return -1, &SpecError{ID: id, Field: "ID", Why: "is that of a worker which has not ended"}
		}
		return -1, fmt.Errorf("cannot start worker %s: cannot make cgroup %s/%s: %w", id, c.root, name, os.NewSyscallError("mkdir", err))
	}
	if err := c.limit(id, limits); err != nil {
		c.rmdir(id)
		return -1, err
	}
	fd, err = unix.Openat(c.dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		c.rmdir(id)
		return -1, fmt.Errorf("cannot start worker %s: cannot open cgroup %s/%s: %w", id, c.root, name, os.NewSyscallError("open", err))
	}
	return fd, nil
}

func (c *Cgroups) limit(id string, limits map[string]string) error {
	for name, value := range limits {
		err := c.write(workerPrefix+id+"/"+name, value)
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOENT):
			return badLimit(id, name, "the kernel has no "+name+" for the controllers that there are")
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
			return badLimit(id, name, fmt.Sprintf("the kernel refuses %q: %v", value, err))
		default:
			return fmt.Errorf("cannot start worker %s: cannot write %q to %s: %w", id, value, name, err)
		}
	}
	return nil
}

// relimit gives the cgroup of a worker that runs these limits, and what a new
// cgroup has for all others.
func (c *Cgroups) relimit(id string, wanted map[string]string) error {
	for _, l := range limits {
		value, asked := wanted[l.name]
		if !asked {
			value = l.initial
		}
		supported := c.supports(l.name)
		if supported != nil && !asked {
			continue
		}
		err := supported
		if err == nil {
			err = c.write(workerPrefix+id+"/"+l.name, value)
		}
		if errors.Is(err, unix.ENOENT) && !asked {
			continue // this kernel has no such attribute
		}
		if err != nil {
			return fmt.Errorf("cannot set %s of worker %s to %q: %w", l.name, id, value, err)
		}
	}
	return nil
}

// supports says why a limit cannot be set, or nil.
func (c *Cgroups) supports(limit string) error {
	if c == nil {
		return errors.New("needs cgroups, and there are none (run as a service with Delegate=yes)")
	}
	if name := controllerOf(limit); !slices.Contains(c.controllers, name) {
		return fmt.Errorf("the %s controller is not delegated (add %s to Delegate= in the unit)", name, name)
	}
	return nil
}

// kill sends SIGKILL to every process of worker id. A cgroup that is gone has none.
func (c *Cgroups) kill(id string) error {
	err := c.write(workerPrefix+id+"/cgroup.kill", "1")
	if removed(err) {
		return nil
	}
	return err
}

// removed says whether err is that of a file in a cgroup which is gone: for good
// (ENOENT), or since it was looked up (ENODEV).
func removed(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// rmdir removes the cgroup of worker id if nothing is in it.
func (c *Cgroups) rmdir(id string) error {
	err := unix.Unlinkat(c.dir, workerPrefix+id, unix.AT_REMOVEDIR)
	if err == unix.ENOENT {
		return nil
	}
	return os.NewSyscallError("rmdir", err)
}

// openEvents opens cgroup.events; EPOLLPRI on it tells of a change since the last read.
func (c *Cgroups) openEvents(id string) (int, error) {
	fd, err := unix.Openat(c.dir, workerPrefix+id+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return fd, os.NewSyscallError("open cgroup.events", err)
}

// readPopulated reads cgroup.events. A cgroup that is gone (ENODEV) has no processes.
func readPopulated(events int) (bool, error) {
	var b [256]byte
	n, err := unix.Pread(events, b[:], 0)
	if err == unix.ENODEV {
		return false, nil
	}
	if err != nil {
		return false, os.NewSyscallError("read cgroup.events", err)
	}
	return field(string(b[:n]), "populated") != 0, nil
}

// oomKilled says whether the kernel killed for want of memory in worker id's cgroup.
func (c *Cgroups) oomKilled(id string) bool {
	if !slices.Contains(c.controllers, "memory") {
		return false
	}
	text, err := c.read(workerPrefix + id + "/memory.events")
	return err == nil && field(text, "oom_kill")+field(text, "oom_group_kill") > 0
}

// field returns the number behind a name in a flat keyed file, 0 if there is none.
func field(text, name string) int {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return 0
}

// removeTree removes the cgroup of worker id with the cgroups that the worker
// made in it, which have no processes any more. It goes down and up with one
// descriptor, so that their depth costs none.
func (c *Cgroups) removeTree(id string) error {
	top := workerPrefix + id
	at, err := unix.Openat(c.dir, top, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer func() { unix.Close(at) }()
	for names := []string{top}; ; {
		sub, err := firstDir(at)
		next := ".."
		if err == nil && sub != "" {
			next = sub
		}
		fd, err := unix.Openat(at, next, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open "+next, err)
		}
		unix.Close(at)
		at = fd
		if next != ".." {
			names = append(names, next)
			continue
		}
		last := names[len(names)-1]
		if names = names[:len(names)-1]; len(names) == 0 {
			return c.rmdir(id)
		}
		if err := unix.Unlinkat(at, last, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
			return os.NewSyscallError("rmdir "+last, err)
		}
	}
}

// firstDir returns the name of a directory in the directory fd, "" if there is none.
func firstDir(fd int) (string, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return "", os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(dup), "cgroup")
	defer f.Close()
	for {
		entries, err := f.ReadDir(64)
		for _, e := range entries {
			if e.IsDir() {
				return e.Name(), nil
			}
		}
		if err != nil {
			return "", nil
		}
	}
}

func (c *Cgroups) write(name, value string) error {
	fd, err := unix.Openat(c.dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open "+name, err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return os.NewSyscallError("write "+name, err)
}

// read returns the first 4 KiB of a file below the root.
func (c *Cgroups) read(name string) (string, error) {
	fd, err := unix.Openat(c.dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", os.NewSyscallError("open "+name, err)
	}
	defer unix.Close(fd)
	var b [4096]byte
	n, err := unix.Read(fd, b[:])
	return string(b[:max(n, 0)]), os.NewSyscallError("read "+name, err)
}
