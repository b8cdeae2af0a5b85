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
