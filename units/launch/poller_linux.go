package launch

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Poller waits for any number of descriptors with one goroutine and no
// thread: an epoll instance that is itself parked in the runtime's poller.
type Poller struct {
	file *os.File // owns the epoll descriptor
	raw  syscall.RawConn
	epfd int

	mu      sync.Mutex
	entries map[int32]entry
	last    int32 // generation given out last
	closed  bool

	starts atomic.Int32 // that are under way
}

// While more than manyStarts are under way, events are gathered for gatherTime: what
// a hundred starts say one by one costs as much as what it is about, and takes the
// processors from them. So whoever waits for one of them or for an exit is told
// later by as much.
const (
	manyStarts = 8
	gatherTime = 3 * time.Millisecond
)

// An entry is what a descriptor is waited for. Descriptor numbers are used again at
// once, so an event carries the generation too, and one for an entry that has been
// replaced since the kernel reported it is dropped.
type entry struct {
	gen int32
	f   func(events uint32)
}

// NewPoller starts a poller.
func NewPoller() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// os.NewFile registers a descriptor with the runtime's poller only if it is non-blocking.
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(epfd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	p := &Poller{file: file, raw: raw, epfd: epfd, entries: map[int32]entry{}}
	go p.run()
	return p, nil
}

// Add calls f on the poller's goroutine whenever one of events (EPOLLIN,
// EPOLLOUT, EPOLLPRI; EPOLLERR and EPOLLHUP always) holds for fd,
// level-triggered unless EPOLLET or EPOLLONESHOT is given. f must not block and
// must consume what made it called. The caller keeps fd open until Remove.
func (p *Poller) Add(fd int, events uint32, f func(events uint32)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	p.last++
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.last}
	if err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return os.NewSyscallError("epoll_ctl add", err)
	}
	p.entries[int32(fd)] = entry{gen: p.last, f: f}
	return nil
}

// Modify changes the events of a descriptor that was added.
func (p *Poller) Modify(fd int, events uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.entries[int32(fd)]
	if p.closed || !ok {
		return os.ErrClosed
	}
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: e.gen}
	return os.NewSyscallError("epoll_ctl modify", unix.EpollCtl(p.epfd, unix.EPOLL_CTL_MOD, fd, &ev))
}

// Remove forgets fd. Called on the poller's goroutine, it guarantees that f is
// not called again; called elsewhere, a call that has begun may still be running.
// An unknown fd is ignored.
func (p *Poller) Remove(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.entries[int32(fd)]; !ok {
		return
	}
	delete(p.entries, int32(fd))
	if !p.closed {
		// Fails only for a descriptor that the caller has closed already.
		_ = unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// Discard is Remove and close(2) in one, which takes fd out of the kernel's set by
// itself. No other descriptor may refer to the same open file: it would keep it there.
func (p *Poller) Discard(fd int) {
	p.mu.Lock()
	delete(p.entries, int32(fd))
	p.mu.Unlock()
	unix.Close(fd)
}

// Close ends the goroutine. The function being called at that time, if any, is
// the last. Descriptors stay the caller's.
func (p *Poller) Close() error {
	p.mu.Lock()
	p.closed = true
	p.entries = map[int32]entry{}
	p.mu.Unlock()
	if err := p.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// run dispatches events until the epoll descriptor is closed. The runtime's
// poller is edge-triggered, so the set is emptied before each wait in it.
func (p *Poller) run() {
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			n = epollNow(int(fd), events)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, ev := range events[:n] {
			if f := p.find(ev); f != nil {
				f(ev.Events)
			}
		}
		if p.starts.Load() > manyStarts {
			time.Sleep(gatherTime)
		}
	}
}

func (p *Poller) find(ev unix.EpollEvent) func(uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.entries[ev.Fd]; ok && e.gen == ev.Pad {
		return e.f
	}
	return nil
}

// epollNow returns how many events there are, without waiting.
func epollNow(epfd int, events []unix.EpollEvent) int {
	for {
		n, err := unix.EpollWait(epfd, events, 0)
		if err != unix.EINTR {
			return max(n, 0)
		}
	}
}
