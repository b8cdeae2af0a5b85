package shm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pollable puts fd, which it owns from then on, into the runtime's poller; its
// open file description becomes non-blocking.
func pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl(F_SETFL)", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func closeFd(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// closeOnExec keeps fd from programs that the worker runs, and finds out that
// it is open at all.
func closeOnExec(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags|unix.FD_CLOEXEC)
	}
	return os.NewSyscallError("fcntl(F_SETFD)", err)
}

// checkControl refuses what is no SOCK_SEQPACKET socket.
func checkControl(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err == nil && kind != unix.SOCK_SEQPACKET {
		return fmt.Errorf("it is a socket of type %d, not SOCK_SEQPACKET", kind)
	}
	return os.NewSyscallError("getsockopt(SO_TYPE)", err)
}

// checkDeath refuses what is no pipe.
func checkDeath(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("it is no pipe")
	}
	return nil
}

// checkLatch refuses what is no non-blocking eventfd. Its flag is not set here:
// the open file description is shared with whoever rings.
func checkLatch(fd int) error {
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err == nil && link != "anon_inode:[eventfd]" {
		return fmt.Errorf("it is %s, not an eventfd", link)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return os.NewSyscallError("fcntl(F_GETFL)", err)
	}
	if flags&unix.O_NONBLOCK == 0 {
		return fmt.Errorf("it is not non-blocking")
	}
	return nil
}

// watchDeath calls died when the last writer of the death pipe is gone; closing
// the returned file ends the watch without that. The pipe's read end is shared
// by all workers, and must not be made non-blocking for them: so it is an epoll
// instance with nothing but the pipe in it that waits in the runtime's poller.
func watchDeath(pipe int, died func()) (*os.File, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// No events are asked for: a hang-up is always reported, bytes never.
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, pipe, &unix.EpollEvent{}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	f, err := pollable(fd, "death")
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	go func() {
		err := raw.Read(func(fd uintptr) bool {
			var events [1]unix.EpollEvent
			n, _ := unix.EpollWait(int(fd), events[:], 0)
			return n > 0
		})
		if err == nil {
			died()
		}
	}()
	return f, nil
}
