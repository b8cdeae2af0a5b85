package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroup2Mount is where the unified hierarchy is, "" without one.
func cgroup2Mount() string {
	return mountOf(func(kind, _ string) bool { return kind == "cgroup2" })
}

// systemdMount is where systemd's hierarchy of cgroup v1 is, "" without one.
// Beside v2, nspawn makes the cgroups of its container there too, and leaves them.
func systemdMount() string {
	return mountOf(func(kind, options string) bool {
		return kind == "cgroup" && slices.Contains(strings.Split(options, ","), "name=systemd")
	})
}

func mountOf(is func(kind, options string) bool) string {
	b, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && is(f[2], f[3]) {
			return f[1]
		}
	}
	return ""
}

// removeCgroupOfSystemd removes what nspawn has left of a container of that name.
func removeCgroupOfSystemd(name string) error {
	mount := systemdMount()
	if mount == "" {
		return nil
	}
	return removeCgroupSoon(filepath.Join(mount, name))
}

// removeCgroupSoon removes a tree of cgroups whose processes have been killed:
// the kernel may take a moment longer than the wait for the last of them.
func removeCgroupSoon(top string) error {
	var last error
	err := until(context.Background(), 2*time.Second, "removing cgroup "+top, func() bool {
		last = removeCgroup(top)
		return last == nil
	})
	return errors.Join(err, last)
}

// removeCgroup removes an empty tree of cgroups, the deepest first.
func removeCgroup(top string) error {
	entries, err := os.ReadDir(top)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(top, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(top)
}
