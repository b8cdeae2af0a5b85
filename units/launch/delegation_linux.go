package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// findDelegated returns the cgroup that was delegated to this process and where
// cgroup v2 is mounted. fsys is the root of the file system.
func findDelegated(fsys fs.FS) (root, mount string, err error) {
	own, err := readText(fsys, "proc/self/cgroup", ownCgroup)
	if err != nil {
		return "", "", err
	}
	mounted, err := readText(fsys, "proc/self/mountinfo", cgroupMount)
	if err != nil {
		return "", "", err
	}
	below, err := mounted.path(own)
	if err != nil {
		return "", "", err
	}
	// A service manager with DelegateSubgroup= (systemd 254), or an earlier image
	// of this program, has put this process below the delegated cgroup.
	if path.Base(below) == supervisorCgroup {
		below = path.Dir(below)
	}
	return below, mounted.point, delegated(fsys, below)
}

func readText[T any](fsys fs.FS, name string, parse func(string) (T, error)) (T, error) {
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		var zero T
		return zero, err
	}
	return parse(string(b))
}

// ownCgroup returns the path of the "0::" line (cgroups(7), /proc/pid/cgroup).
func ownCgroup(text string) (string, error) {
	for line := range strings.Lines(text) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && strings.HasPrefix(p, "/") {
			return p, nil
		}
	}
	return "", errors.New("this process is in no cgroup v2: no line of /proc/self/cgroup begins with 0:: and a path")
}

// A cgroup2Mount is a mount of cgroup v2: what of the hierarchy is seen where.
type cgroup2Mount struct {
	root, point string
}

// path returns where the cgroup own is seen.
func (m cgroup2Mount) path(own string) (string, error) {
	if m.root == "/" {
		return path.Join(m.point, own), nil
	}
	below, ok := strings.CutPrefix(own, m.root)
	if !ok || below != "" && below[0] != '/' {
		return "", fmt.Errorf("cgroup %s is not below %s, which is what %s shows", own, m.root, m.point)
	}
	return path.Join(m.point, below), nil
}

// cgroupMount returns the mount of cgroup v2 that shows most of the hierarchy
// (proc_pid_mountinfo(5): root, mount point, ... - type).
func cgroupMount(mountinfo string) (cgroup2Mount, error) {
	var found cgroup2Mount
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		m := cgroup2Mount{root: unescape(fields[3]), point: unescape(fields[4])}
		if found.point == "" || len(m.root) < len(found.root) {
			found = m
		}
	}
	if found.point == "" {
		return found, errors.New("cgroup v2 is not mounted")
	}
	return found, nil
}

// unescape undoes the \ooo of mountinfo for blank, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// delegated says whether the cgroup at dir is this process's to fill. For an
// unprivileged one the permission is the sign. Root may write everywhere, so there
// it is the mark that systemd sets (CGROUP_DELEGATION, "trusted.delegate"), where systemd runs.
func delegated(fsys fs.FS, dir string) error {
	rel := strings.TrimPrefix(dir, "/")
	if _, err := fs.Stat(fsys, path.Join(rel, "cgroup.type")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this process is in the root cgroup %s, which is nobody's to delegate", dir)
	}
	if os.Geteuid() != 0 {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return fmt.Errorf("cgroup %s is not delegated: %w (set Delegate=yes in the unit)", dir, os.NewSyscallError("access", err))
		}
		return nil
	}
	if _, err := fs.Stat(fsys, "run/systemd/system"); err != nil {
		return nil
	}
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return nil
		}
	}
	return fmt.Errorf("cgroup %s is not delegated (set Delegate=yes in the unit)", dir)
}
