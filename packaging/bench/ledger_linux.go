package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Go side of c/ledger.h, which says who writes what.
const (
	ledgerMagic   = 0x3144454c57474250
	ledgerRecords = 2048

	futexWaitOp = 0 // FUTEX_WAIT of linux/futex.h, between processes
	futexWakeOp = 1 // FUTEX_WAKE
)

type ledgerRecord struct {
	startNS   uint64
	exitNS    uint64
	requestNS uint64
	pid       uint32
	starts    uint32
	_         [4]uint64
}

type ledgerMemory struct {
	magic  uint64
	starts uint32
	wakeAt uint32
	_      [6]uint64
	record [ledgerRecords]ledgerRecord
}

// A ledger is the file in which workers say when they started.
type ledger struct {
	path string
	raw  []byte
	mem  *ledgerMemory
}

// A start is what a worker said last: process pid (in its own pid namespace)
// is the starts-th one of this worker and ran its first instruction at first.
// asked is when PostgreSQL was asked for it, left when it, or its predecessor, left
// on SIGTERM or SIGUSR2; all in nanoseconds of CLOCK_MONOTONIC.
type start struct {
	first, left, asked int64
	pid                int
	starts             uint32
}

// newLedger makes an empty ledger that any user's worker may write.
func newLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the ledger: %w", err)
	}
	defer f.Close()
	size := int(unsafe.Sizeof(ledgerMemory{}))
	if err := errors.Join(f.Truncate(int64(size)), f.Chmod(0o666)); err != nil {
		return nil, fmt.Errorf("cannot make the ledger: %w", err)
	}
	raw, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("cannot map the ledger %s: %w", path, os.NewSyscallError("mmap", err))
	}
	l := &ledger{path: path, raw: raw, mem: (*ledgerMemory)(unsafe.Pointer(&raw[0]))}
	l.mem.magic = ledgerMagic
	return l, nil
}

func (l *ledger) close() error {
	l.mem = nil
	return errors.Join(unix.Munmap(l.raw), os.Remove(l.path))
}

// at is what worker i said last; the zero start if it never ran.
func (l *ledger) at(i int) start {
	r := &l.mem.record[i]
	n := atomic.LoadUint32(&r.starts)
	return start{
		first:  int64(atomic.LoadUint64(&r.startNS)),
		left:   int64(atomic.LoadUint64(&r.exitNS)),
		asked:  int64(atomic.LoadUint64(&r.requestNS)),
		pid:    int(atomic.LoadUint32(&r.pid)),
		starts: n,
	}
}

// A mark is the number of starts of workers first.., as they were once.
type mark struct {
	first  int
	starts []uint32
}

// mark notes the starts of n workers, for await.
func (l *ledger) mark(first, n int) mark {
	m := mark{first, make([]uint32, n)}
	for i := range m.starts {
		m.starts[i] = l.at(first + i).starts
	}
	return m
}

// await blocks until every worker of m has started again since m. It sleeps in
// the kernel and only the last of those starts wakes it. The error names how
// many are missing when ctx ends first.
func (l *ledger) await(ctx context.Context, m mark) error {
	for {
		seen := atomic.LoadUint32(&l.mem.starts)
		missing, example := l.missing(m)
		if missing == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d workers did not start, number %d for one: %w",
				missing, len(m.starts), example, context.Cause(ctx))
		}
		target := seen + uint32(missing)
		atomic.StoreUint32(&l.mem.wakeAt, target)
		if now := atomic.LoadUint32(&l.mem.starts); int32(now-target) < 0 {
			futexWait(&l.mem.starts, now, 100*time.Millisecond)
		}
	}
}

func (l *ledger) missing(m mark) (n, example int) {
	for i, before := range m.starts {
		if l.at(m.first+i).starts == before {
			n, example = n+1, m.first+i
		}
	}
	return n, example
}

// last is the time of the newest first instruction of workers first..first+n-1.
func (l *ledger) last(first, n int) int64 {
	var t int64
	for i := first; i < first+n; i++ {
		t = max(t, l.at(i).first)
	}
	return t
}

// futexWait returns when woken, after d, or for no reason: callers look again.
func futexWait(word *uint32, value uint32, d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWaitOp,
		uintptr(value), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// monotonic is the ledger's clock.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("bench: internal error: no monotonic clock: " + err.Error())
	}
	return ts.Nano()
}
