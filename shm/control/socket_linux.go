package control

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// NewPair makes the two ends of a control socket, both close-on-exec. The
// supervisor's end is non-blocking; the worker's end is not, as a worker that
// was written in another language expects. The caller owns both.
func NewPair() (supervisor, worker int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	// A new socket has no other flags to keep.
	if _, err := unix.FcntlInt(uintptr(fds[0]), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, -1, os.NewSyscallError("fcntl", err)
	}
	return fds[0], fds[1], nil
}

// Send sends one encoded record and never waits: unix.EAGAIN says that the peer
// does not read, unix.EPIPE or unix.ECONNRESET that it is gone (both wrapped).
// pass is a descriptor to go with it, or -1; the caller still owns it.
func Send(fd int, record []byte, pass int) error {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	var rights []byte
	if pass >= 0 {
		rights = unix.UnixRights(pass)
	}
	for {
		_, err := unix.SendmsgN(fd, record, rights, nil, flags)
		if err != unix.EINTR {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

// Receive reads one record into buf, which should have MaxRecord bytes, and
// returns its length; fd must be non-blocking. Descriptors that came with it
// are dropped by the kernel: nobody can fill the supervisor's table. io.EOF
// says that the peer is gone and everything that it said is read, unix.EAGAIN
// (wrapped) that there is nothing. A record longer than buf is cut, which Decode
// then notices.
func Receive(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR, err == unix.ECONNRESET:
			// A peer that has left records unread resets the connection (unix(7)),
			// which is said once and before what it has sent itself.
			continue
		case err == nil && n == 0:
			return 0, io.EOF
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		}
		return n, nil
	}
}

// ReceiveWith is Receive for a worker: it also takes one descriptor, made
// close-on-exec, which the caller then owns, or -1.
func ReceiveWith(fd int, buf []byte) (n, passed int, err error) {
	var oob [unix.SizeofCmsghdr + 8]byte
	// CmsgLen and not CmsgSpace: the padding would be room for a second
	// descriptor.
	room := oob[:unix.CmsgLen(4)]
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, buf, room, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR, err == unix.ECONNRESET: // as in Receive
			continue
		case err != nil:
			return 0, -1, os.NewSyscallError("recvmsg", err)
		}
		passed = firstRight(room[:oobn])
		if flags&unix.MSG_TRUNC != 0 {
			closeIfOpen(passed)
			return 0, -1, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, len(buf))
		}
		if n == 0 {
			closeIfOpen(passed)
			return 0, -1, io.EOF
		}
		return n, passed, nil
	}
}

// firstRight returns the first descriptor in oob and closes all others.
func firstRight(oob []byte) int {
	first := -1
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if first < 0 {
				first = fd
				continue
			}
			unix.Close(fd)
		}
	}
	return first
}

func closeIfOpen(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}
