package launch

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// strangers says whether this process may have a child that is neither a leader
// nor somebody else's, that is, whether any worker has left an orphan. It is the
// cheap question before a look at all of /proc, and errs to yes.
//
// The children of a thread are listed in /proc/self/task/TID/children
// (proc_tid_children(5)), which is exact as long as none of them is reaped
// during the reading: f.mu is held, and so only somebody else's can be. The list of
// threads must be the same before and after, since a thread that ends bequeaths its
// children to another.
func (f *family) strangers() bool {
	own, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before, err := threads()
	if err != nil {
		return true
	}
	for _, tid := range before {
		children, err := os.ReadFile("/proc/self/task/" + tid + "/children")
		if err != nil {
			return true
		}
		if f.anyStranger(children, own) {
			return true
		}
	}
	after, err := threads()
	return err != nil || !slices.Equal(before, after)
}

// anyStranger looks at a list of numbers, each with a blank behind it.
func (f *family) anyStranger(children []byte, own int) bool {
	pid := 0
	for _, c := range children {
		if c != ' ' {
			pid = pid*10 + int(c-'0')
			continue
		}
		if f.leaders[pid] == nil {
			if sid, err := unix.Getsid(pid); err != nil || sid != own {
				return true
			}
		}
		pid = 0
	}
	return false
}

func threads() ([]string, error) {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	names = slices.DeleteFunc(names, func(s string) bool { _, err := strconv.Atoi(s); return err != nil })
	slices.Sort(names)
	return names, err
}
