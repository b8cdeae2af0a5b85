package launch

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Adopt takes over a worker that an earlier image of this process started
// (re-execution): id is the Spec.ID and pid the number that it was started with. It
// must be a child of this process that has not been waited for, dead or alive; the
// number is exact then, since the kernel does not give it away before. exited is called as with
// Start, also for a worker that is dead already.
func (l *Launcher) Adopt(id string, pid int, exited func(Exit)) (*Process, error) {
	if why := checkID(id); why != "" {
		return nil, &SpecError{ID: id, Field: "ID", Why: why}
	}
	if _, err := waitid(unix.P_PID, pid, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || pid <= 0 {
		return nil, fmt.Errorf("cannot adopt worker %s: %d is no child of this process: %w", id, pid, os.NewSyscallError("waitid", err))
	}
	token, err := kin.begin(id)
	if err != nil {
		return nil, err
	}
	p := &Process{l: l, id: id, exited: exited, pid: int32(pid), pidfd: -1}
	p.mu.Lock()
	err = p.watch()
	if err != nil {
		p.pid = 0
	}
	p.mu.Unlock()
	kin.settle(token, p)
	if err != nil {
		return nil, fmt.Errorf("cannot adopt worker %s: %w", id, err)
	}
	return p, nil
}
