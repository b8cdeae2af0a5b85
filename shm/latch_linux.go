package shm

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// bell is an eventfd in the runtime's poller. Ringing it and taking what was
// rung go past os.File's Read and Write, which would wait, and allocate
// nothing.
type bell struct {
	file  *os.File
	raw   syscall.RawConn
	write func(fd uintptr)
}

// newBell takes over the non-blocking eventfd fd.
func newBell(fd int) (*bell, error) {
	b := &bell{file: os.NewFile(uintptr(fd), "latch")}
	raw, err := b.file.SyscallConn()
	if err != nil {
		b.file.Close()
		return nil, err
	}
	b.raw = raw
	// Ring fails only on what is no eventfd, and that was refused before.
	b.write = func(fd uintptr) { _ = Ring(int(fd)) }
	return b, nil
}

// ring is Ring; ErrClosed after close.
func (b *bell) ring() error {
	if b.raw.Control(b.write) != nil {
		return ErrClosed
	}
	return nil
}

// drain reports whether it was rung since it was last looked at, without
// waiting.
func (b *bell) drain() (rung bool) {
	_ = b.raw.Control(func(fd uintptr) {
		var count [8]byte
		n, err := unix.Read(int(fd), count[:])
		rung = err == nil && n == len(count)
	})
	return rung
}

// NewLatchEvent makes the eventfd of a slot's latch, non-blocking and
// close-on-exec. The supervisor makes one per slot, keeps it over the restarts
// of its workers, passes it to them as "latch" and rings it with Ring. The
// caller owns it.
func NewLatchEvent() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("eventfd", err)
	}
	return fd, nil
}

// one is what is added to an eventfd's counter; never changed.
var one = [8]byte{1}

// Ring sets the latch behind an eventfd from outside of its segment: its owner
// wakes up, or will not sleep, and finds it set. Rings before that are one. It
// never waits and allocates nothing. A full counter is no error: the owner will
// wake.
func Ring(fd int) error {
	for {
		_, err := unix.Write(fd, one[:])
		switch err {
		case unix.EINTR:
			continue
		case nil, unix.EAGAIN:
			return nil
		}
		return os.NewSyscallError("write", err)
	}
}
