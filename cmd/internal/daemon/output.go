package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"sync"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/launch"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// output gives each process its standard output and error: a stream of its own
// to the journal, or, where there is no journal, a pipe whose lines become
// lines of our log.
type output struct {
	native bool
	poller *launch.Poller
	log    *slog.Logger

	mu    sync.Mutex
	pipes map[units.Run]*lines
}

// maxLine is the longest line of a worker that is logged in one piece.
const maxLine = 8 << 10

// open returns the descriptor, which the caller closes once it is passed on,
// and the value of JOURNAL_STREAM, if it is a stream.
func (o *output) open(s supervise.Start) (fd int, stream string, err error) {
	if o.native {
		f, err := journal.OpenStream(s.Worker.Logs.Identifier, 6, !s.Worker.Logs.NoLevelPrefix)
		if err == nil {
			defer f.Close()
			id, _ := journal.StreamID(f)
			fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
			return fd, id, os.NewSyscallError("fcntl", err)
		}
		// journald is being restarted: the worker must run all the same.
		o.log.Warn("a worker's output goes through the daemon", "worker", s.Worker.Name, "error", err)
	}
	return o.pipe(s)
}

func (o *output) pipe(s supervise.Start) (int, string, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, "", os.NewSyscallError("pipe2", err)
	}
	// Our end only: the worker's must block. A new pipe has no other flags to keep.
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return -1, "", os.NewSyscallError("fcntl", err)
	}
	r := &lines{fd: p[0], out: o, name: s.Worker.Logs.Identifier, run: s.Run}
	o.mu.Lock()
	o.pipes[s.Run] = r
	o.mu.Unlock()
	if err := o.poller.Add(p[0], unix.EPOLLIN, r.ready); err != nil {
		o.remove(s.Run)
		unix.Close(p[0])
		unix.Close(p[1])
		return -1, "", err
	}
	return p[1], "", nil
}

// maxRest is how many chunks are read of the pipe of a process that has ended:
// more than a pipe holds (pipe(7): 1 MiB without privilege).
const maxRest = 128

// finish logs what a process that has ended still wrote, so that its last
// words come before its end does, and before ours, the last also without an end
// of line. A pipe that somebody else holds open, though the tree is gone, is read
// on by the poller.
func (o *output) finish(r units.Run) {
	l := o.remove(r)
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := 0; n < maxRest && l.one(); n++ {
	}
	l.flush()
}

func (o *output) remove(r units.Run) *lines {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.pipes[r]
	delete(o.pipes, r)
	return l
}

// lines reads the pipe of one process until all its writers are gone.
type lines struct {
	out  *output
	run  units.Run
	name string

	mu   sync.Mutex
	fd   int    // -1: closed
	rest []byte // the line under way
}

var chunks = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// ready reads one chunk, so that a worker that writes without end delays no
// other by more.
func (l *lines) ready(uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.one()
}

// one reads one chunk and reports whether there was one. l.mu is held.
func (l *lines) one() bool {
	if l.fd < 0 {
		return false
	}
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	n, err := unix.Read(l.fd, *buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return err == unix.EINTR
	case err != nil || n == 0:
		l.out.remove(l.run)
		l.out.poller.Discard(l.fd)
		l.fd = -1
		l.flush()
		return false
	}
	l.add((*buf)[:n])
	return true
}

func (l *lines) add(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.rest = append(l.rest, b...)
			if len(l.rest) >= maxLine {
				l.flush()
			}
			return
		}
		l.rest = append(l.rest, b[:i]...)
		l.flush()
		b = b[i+1:]
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.out.log.Info(string(l.rest), "worker", l.name, "run", l.run.String())
	}
	l.rest = nil
}
