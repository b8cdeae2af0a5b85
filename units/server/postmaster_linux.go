package server

import (
	"bytes"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// soPeerPidfd is SO_PEERPIDFD (Linux 6.5), which x/sys does not name.
const soPeerPidfd = 77

// A peer is who listens on a Unix socket, as the kernel noted it at listen(2).
type peer struct {
	pid int
	uid uint32
}

// peerOf returns the listener on the other side of conn (unix(7), SO_PEERCRED).
func peerOf(conn net.Conn) (peer, error) {
	var cred *unix.Ucred
	err := control(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return os.NewSyscallError("getsockopt SO_PEERCRED", err)
	})
	if err != nil {
		return peer{}, err
	}
	return peer{pid: int(cred.Pid), uid: cred.Uid}, nil
}

// isUser reports whether p runs as the user of that name.
func (p peer) isUser(name string) bool {
	u, err := user.Lookup(name)
	return err == nil && u.Uid == strconv.FormatUint(uint64(p.uid), 10)
}

func control(conn net.Conn, f func(fd int) error) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return os.ErrInvalid
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// A postmaster is a process held by a pidfd, so that its number cannot mean
// another process while it lives. A nil one is none.
type postmaster struct {
	pid  int
	file *os.File
	dead chan struct{} // closed when it has exited
}

// is reports whether p is alive and has this number.
func (p *postmaster) is(pid int) bool { return p != nil && pid > 0 && p.pid == pid && p.alive() }

func (p *postmaster) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.dead:
		return false
	default:
		return true
	}
}

func (p *postmaster) close() {
	if p != nil {
		p.file.Close()
	}
}

// hold opens the listener on the other side of conn, which was made after the
// tick dialed, or returns nil: it is in another pid namespace, it is gone, or
// its number may have been used again.
func hold(conn net.Conn, who peer, dialed int64) *postmaster {
	if who.pid <= 0 {
		return nil
	}
	fd, err := peerPidfd(conn)
	if err != nil {
		fd, err = unix.PidfdOpen(who.pid, unix.PIDFD_NONBLOCK)
		if err != nil || !olderThan(who.pid, dialed) {
			if err == nil {
				unix.Close(fd)
			}
			return nil
		}
	}
	p := &postmaster{pid: who.pid, file: os.NewFile(uintptr(fd), "pidfd"), dead: make(chan struct{})}
	go p.wait()
	return p
}

// peerPidfd asks the socket for a pidfd, which is free of any race.
func peerPidfd(conn net.Conn) (int, error) {
	fd := -1
	err := control(conn, func(s int) (err error) {
		fd, err = unix.GetsockoptInt(s, unix.SOL_SOCKET, soPeerPidfd)
		return os.NewSyscallError("getsockopt SO_PEERPIDFD", err)
	})
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// wait closes dead when the process has exited, and returns without that when
// the file is closed first. A pidfd is readable from the exit on (pidfd_open(2)).
func (p *postmaster) wait() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	err = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n > 0
	})
	if err == nil {
		close(p.dead)
	}
}

// ticks returns the time since boot in the unit of proc_pid_stat(5), USER_HZ,
// which is 100 on every architecture that PostgreSQL runs on.
func ticks() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return now.Nano() / 1e7
}

// olderThan reports whether process pid began before the given tick. A number
// that was used again after a connection was made belongs to a process that
// is younger than the connection.
func olderThan(pid int, tick int64) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	// Field 22, counted from behind the command's name, which may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return false
	}
	started, err := strconv.ParseInt(string(fields[19]), 10, 64)
	return err == nil && started < tick
}
