package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stdoutSocket is where journald takes the standard output of processes.
const stdoutSocket = "/run/systemd/journal/stdout"

// writeWait is how long one try to send to journald lasts. Close can give up
// between two of them.
const writeWait = 250 * time.Millisecond

// streamBuffer is the send buffer that OpenStream asks for, so that a worker
// does not wait for a journald that is busy. The kernel may give less.
const streamBuffer = 8 << 20

// A nativeSocketWriter sends records to journald as datagrams. The socket is
// not connected: a journald that starts anew is found by its path.
type nativeSocketWriter struct {
	fd      int
	address unix.SockaddrUnix
}

func dialNative(path string) (*nativeSocketWriter, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	wait := unix.NsecToTimeval(writeWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return &nativeSocketWriter{fd: fd, address: unix.SockaddrUnix{Name: path}}, nil
}

func (w *nativeSocketWriter) write(record []byte) (again bool, err error) {
	err = unix.Sendmsg(w.fd, record, nil, &w.address, unix.MSG_NOSIGNAL)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return true, nil
	}
	return false, os.NewSyscallError("sendmsg", err)
}

func (w *nativeSocketWriter) close() error { return unix.Close(w.fd) }

// OpenStream opens a stream to journald that is meant to be the standard output
// and error of one start of one worker. identifier becomes SYSLOG_IDENTIFIER;
// priority, 0 to 7, is that of lines without a prefix; with levelPrefix lines
// may begin with <0> to <7>. The file blocks when written, is not inherited
// unless passed on, and is the caller's to close. It never waits for journald:
// when that is not there or too busy to take another stream, it is an error.
func OpenStream(identifier string, priority int, levelPrefix bool) (*os.File, error) {
	return openStream(stdoutSocket, identifier, priority, levelPrefix)
}

func openStream(path, identifier string, priority int, levelPrefix bool) (*os.File, error) {
	header, err := streamHeader(identifier, priority, levelPrefix)
	if err != nil {
		return nil, fmt.Errorf("cannot open a stream to the journal: %w", err)
	}
	fd, err := connectStream(path, header)
	if err != nil {
		return nil, fmt.Errorf("cannot open a stream to the journal at %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), "journal:"+identifier), nil
}

// streamHeader is what journald reads first, seven lines: identifier, unit
// (empty: journald finds it by the cgroup), priority, whether prefixes count,
// and whether to forward to syslog, to the kernel log and to the console.
func streamHeader(identifier string, priority int, levelPrefix bool) (string, error) {
	if strings.ContainsAny(identifier, "\n\x00") {
		return "", fmt.Errorf("identifier %q: a line break or a NUL cannot be part of it", identifier)
	}
	if priority < 0 || priority > 7 {
		return "", fmt.Errorf("priority %d: it must be 0 to 7", priority)
	}
	prefix := 0
	if levelPrefix {
		prefix = 1
	}
	return fmt.Sprintf("%s\n\n%d\n%d\n0\n0\n0\n", identifier, priority, prefix), nil
}

func connectStream(path, header string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setUpStream(fd, path, header); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setUpStream(fd int, path, header string) error {
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
		return os.NewSyscallError("shutdown", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, streamBuffer) // a wish
	if _, err := unix.SendmsgN(fd, []byte(header), nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return os.NewSyscallError("send", err)
	}
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, false))
}

// StreamID is the value of JOURNAL_STREAM for f: the device and inode in
// decimal, "dev:ino" (systemd.exec(5)).
func StreamID(f *os.File) (string, error) {
	if f == nil {
		return "", os.ErrInvalid
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	var statErr error
	if err := raw.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &st) }); err != nil {
		return "", err
	}
	if statErr != nil {
		return "", os.NewSyscallError("fstat", statErr)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}

// duplicate returns f under a number above 2.
func duplicate(f *os.File) (*os.File, error) {
	if f == nil {
		return nil, os.ErrInvalid
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var dup int
	var dupErr error
	if err := raw.Control(func(fd uintptr) { dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	return os.NewFile(uintptr(dup), f.Name()), nil
}
