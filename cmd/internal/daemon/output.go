package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"sync"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
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
	r := &lines{fd: p[0], out: o, name: s.Worker.Logs.Identifier, run: s.Run.String()}
	if err := o.poller.Add(p[0], unix.EPOLLIN, r.ready); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return -1, "", err
	}
	return p[1], "", nil
}

// lines reads the pipe of one process until all its writers are gone. It is
// called on the poller's goroutine only.
type lines struct {
	fd   int
	out  *output
	name string
	run  string
	rest []byte // the line under way
}

var chunks = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func (l *lines) ready(uint32) {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	n, err := unix.Read(l.fd, *buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || n == 0:
		l.out.poller.Remove(l.fd)
		unix.Close(l.fd)
		l.flush()
		return
	}
	l.add((*buf)[:n])
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
		l.out.log.Info(string(l.rest), "worker", l.name, "run", l.run)
	}
	l.rest = nil
}
