package shm

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bell is an eventfd in the runtime's poller. Ringing it and taking what was
// rung go past os.File's Read and Write, and allocate nothing.
//
// They are raw system calls, which the runtime does not see: at any other one of
// a process that was idle it wakes its monitor thread, which then looks around
// every 20 µs for a while. That costs more than the wake-up itself. None of them
// waits: the descriptor is non-blocking.
type bell struct {
	file  *os.File
	raw   syscall.RawConn
	write func(fd uintptr)
	read  func(fd uintptr) bool // of await
	errno syscall.Errno         // of what read did

	// Another's bell is not in the poller, and has no file: the poller would
	// wake this process each time the other one takes what was rung.
	mu    sync.RWMutex
	other int // descriptor; -1: closed
}

// newOtherBell takes over the non-blocking eventfd of another process's latch,
// to be rung.
func newOtherBell(fd int) *bell { return &bell{other: fd} }

// close gives the descriptor up.
func (b *bell) close() error {
	if b.file != nil {
		return b.file.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	fd := b.other
	if b.other = -1; fd < 0 {
		return ErrClosed
	}
	return os.NewSyscallError("close", unix.Close(fd))
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
	b.read = func(fd uintptr) bool {
		b.errno = takeRings(fd)
		return b.errno != unix.EAGAIN
	}
	return b, nil
}

// ring is Ring; ErrClosed after close.
func (b *bell) ring() error {
	if b.file == nil {
		b.mu.RLock()
		defer b.mu.RUnlock()
		if b.other < 0 {
			return ErrClosed
		}
		return Ring(b.other)
	}
	if b.raw.Control(b.write) != nil {
		return ErrClosed
	}
	return nil
}

// drain reports whether it was rung since it was last looked at, without
// waiting.
func (b *bell) drain() (rung bool) {
	_ = b.raw.Control(func(fd uintptr) { rung = takeRings(fd) == 0 })
	return rung
}

// await waits until it is rung, in the runtime's poller; one goroutine at a
// time. os.ErrDeadlineExceeded at the file's deadline, ErrClosed after close.
func (b *bell) await() error {
	switch err := b.raw.Read(b.read); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case err != nil:
		return ErrClosed
	case b.errno != 0:
		return os.NewSyscallError("read", b.errno)
	}
	return nil
}

// takeRings empties an eventfd's counter; EAGAIN where it is 0.
func takeRings(fd uintptr) syscall.Errno {
	var count [8]byte
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
		if errno != unix.EINTR {
			return errno
		}
	}
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
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
		switch errno {
		case unix.EINTR:
			continue
		case 0, unix.EAGAIN:
			return nil
		}
		return os.NewSyscallError("write", errno)
	}
}
