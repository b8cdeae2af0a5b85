package sdnotify

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sendTimeout bounds one send to a manager that does not read.
const sendTimeout = time.Second

// maxAddress is the size of sockaddr_un.sun_path without the closing NUL.
const maxAddress = 107

// A socket is an unconnected datagram socket and the address to send to. It
// is not connected, and not a net.UnixConn, because that one refuses to send
// descriptors over a connected datagram socket.
type socket struct {
	file    *os.File
	address unix.SockaddrUnix
}

func openSocket(address string) (*socket, error) {
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return nil, errors.New("it must be an absolute path, or @ and an abstract name")
	}
	if len(address) > maxAddress || len(address) == 1 {
		return nil, errors.New("a socket's name has 2 to 107 bytes")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "notify")
	timeout := unix.NsecToTimeval(sendTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		file.Close()
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return &socket{file: file, address: unix.SockaddrUnix{Name: address}}, nil
}

func (s *socket) close() error { return s.file.Close() }

// send sends text as one datagram, with pass attached when it is not nil.
func (s *socket) send(text string, pass *os.File) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var rights []byte
	if pass != nil {
		rights = unix.UnixRights(int(pass.Fd()))
	}
	// Sendmsg writes into the address, and calls may run side by side.
	address := s.address
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		for {
			sendErr = unix.Sendmsg(int(fd), []byte(text), rights, &address, unix.MSG_NOSIGNAL)
			if sendErr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return os.ErrClosed // the only reason Control has
	}
	return os.NewSyscallError("sendmsg", sendErr)
}

// monotonic is the time of CLOCK_MONOTONIC, which the manager compares with
// its own; time.Now's monotonic reading is not exposed as a number.
func monotonic() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(ts.Nano()), nil
}
