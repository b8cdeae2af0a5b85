package shm

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bell is an eventfd in the runtime's poller. It is rung by adding 1 to its
// counter, which makes it readable until that is taken; or tapped by adding 0,
// which wakes who waits for it to be writable (it always is), and leaves nothing
// behind. So one goroutine waits for taps without a look at the counter, and
// another one for rings, whom a tap does not wake.
//
// Ringing, tapping and taking what was rung go past os.File's Read and Write,
// and allocate nothing. They are raw system calls, which the runtime does not
// see: at any other one of a process that was idle it wakes its monitor thread,
// which then looks around every 20 µs for a while. That costs more than the
// wake-up itself. None of them waits: the descriptor is non-blocking.
type bell struct {
	file *os.File
	raw  syscall.RawConn
	add1 func(fd uintptr)
	add0 func(fd uintptr)
	all  func(fd uintptr) // takes what was rung
	rung bool             // there was something
	// where is the latch's word, if this process may write it now, or nil; may
	// be nil itself.
	where func() *atomic.Uint32

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
	// These fail only on what is no eventfd, and that was refused before.
	b.add1 = func(fd uintptr) { _ = add(int(fd), &one) }
	b.add0 = func(fd uintptr) { _ = add(int(fd), &zero) }
	b.all = func(fd uintptr) { b.rung = takeRings(fd) == 0 }
	return b, nil
}

// ring is Ring; ErrClosed after close.
func (b *bell) ring() error {
	if b.file == nil {
		return b.addToOther(&one)
	}
	return b.control(b.add1)
}

// tap makes an owner look that has latchTapped in its word. ErrClosed after
// close.
func (b *bell) tap() error {
	if b.file == nil {
		return b.addToOther(&zero)
	}
	return b.control(b.add0)
}

func (b *bell) addToOther(what *[8]byte) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.other < 0 {
		return ErrClosed
	}
	return add(b.other, what)
}

func (b *bell) control(f func(fd uintptr)) error {
	if b.raw.Control(f) != nil {
		return ErrClosed
	}
	return nil
}

// take empties the counter, and reports whether there was anything; one
// goroutine at a time. ErrClosed after close.
func (b *bell) take() (rung bool, err error) {
	b.rung = false
	err = b.control(b.all)
	return b.rung, err
}

// awaitTap calls done until it is true: at once, and then each time that there
// was a tap or a ring since the call before, for which it waits in the runtime's
// poller; or a look of others at the counter. One goroutine at a time.
// os.ErrDeadlineExceeded at the file's deadline for writing, ErrClosed after
// close.
func (b *bell) awaitTap(done func(fd uintptr) bool) error {
	switch err := b.raw.Write(done); {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	return ErrClosed
}

// awaitRings calls rung at once, and then each time that there was a ring since
// the call before. It returns after close.
func (b *bell) awaitRings(rung func()) {
	_ = b.raw.Read(func(uintptr) bool { rung(); return false })
}

// interrupt ends a sleep in awaitTap, and those to come until a deadline is set.
func (b *bell) interrupt() { b.file.SetWriteDeadline(time.Unix(1, 0)) }

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

// tapsWork reports whether the kernel wakes who waits for an eventfd that
// somebody adds 0 to. Linux always did, but says so nowhere.
var tapsWork = sync.OnceValue(func() bool {
	fd, err := NewLatchEvent()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(poll)
	// As the runtime's poller does.
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff}
	if unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &e) != nil {
		return false
	}
	writable := func() bool {
		var got [1]unix.EpollEvent
		n, err := unix.EpollWait(poll, got[:], 0)
		return n == 1 && err == nil && got[0].Events == unix.EPOLLOUT
	}
	// It is from the start, and then only news.
	return writable() && !writable() && add(fd, &zero) == nil && writable()
})

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

// What is added to an eventfd's counter, never changed.
var (
	one  = [8]byte{1} // by a ring
	zero [8]byte      // by a tap
)

// Ring sets the latch behind an eventfd from outside of its segment: its owner
// wakes up, or will not sleep, and finds it set. Rings before that are one. It
// never waits and allocates nothing. A full counter is no error: the owner will
// wake.
func Ring(fd int) error { return add(fd, &one) }

func add(fd int, what *[8]byte) error {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(what)), uintptr(len(what)))
		switch errno {
		case unix.EINTR:
			continue
		case 0, unix.EAGAIN:
			return nil
		}
		return os.NewSyscallError("write", errno)
	}
}
