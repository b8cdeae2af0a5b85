package launch

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The codes of a SIGCHLD siginfo (waitid(2)).
const (
	cldExited = 1
	cldDumped = 3
)

// wait reaps the child that idType and id name. With now it does not wait: EAGAIN.
func wait(idType, id int, now bool) (syscall.WaitStatus, *syscall.Rusage, error) {
	options := unix.WEXITED
	if now {
		options |= unix.WNOHANG
	}
	var ru unix.Rusage
	info, err := waitid(idType, id, options, &ru)
	if err != nil {
		return 0, nil, err
	}
	if info.pid == 0 {
		return 0, nil, unix.EAGAIN
	}
	rusage := syscall.Rusage{
		Utime: syscall.Timeval(ru.Utime), Stime: syscall.Timeval(ru.Stime),
		Maxrss: ru.Maxrss, Ixrss: ru.Ixrss, Idrss: ru.Idrss, Isrss: ru.Isrss,
		Minflt: ru.Minflt, Majflt: ru.Majflt, Nswap: ru.Nswap,
		Inblock: ru.Inblock, Oublock: ru.Oublock, Msgsnd: ru.Msgsnd, Msgrcv: ru.Msgrcv,
		Nsignals: ru.Nsignals, Nvcsw: ru.Nvcsw, Nivcsw: ru.Nivcsw,
	}
	return info.waitStatus(), &rusage, nil
}

// A child is what waitid says about one.
type child struct {
	pid, code, status int
}

// waitStatus returns the same as wait4(2) would have.
func (c child) waitStatus() syscall.WaitStatus {
	switch c.code {
	case cldExited:
		return syscall.WaitStatus(c.status << 8)
	case cldDumped:
		return syscall.WaitStatus(c.status | 0x80)
	}
	return syscall.WaitStatus(c.status)
}
