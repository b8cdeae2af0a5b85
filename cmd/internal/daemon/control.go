package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm/control"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/launch"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// Limits of one control socket. The daemon never waits for a worker: one that
// does not read its answers loses its socket.
const (
	maxControlWaits = 32
	maxControlWait  = 20 * time.Second
	maxDrain        = 4096 // records read of a process that has ended: more than a socket holds
)

// controlServer serves the control sockets, one for each process.
type controlServer struct {
	daemon *Daemon
	poller *launch.Poller
	log    *slog.Logger

	mu    sync.Mutex
	conns map[units.Run]*conn
}

// A conn is the daemon's end of one process's control socket.
type conn struct {
	server *controlServer
	run    units.Run
	worker *units.Worker
	ctx    context.Context // ends with the socket
	cancel context.CancelFunc

	mu     sync.Mutex // one record at a time
	fd     int
	closed bool
	waits  int
}

var records = sync.Pool{New: func() any { b := make([]byte, control.MaxRecord); return &b }}

// add takes over fd, also when it fails.
func (s *controlServer) add(r units.Run, w *units.Worker, fd int) error {
	c := &conn{server: s, run: r, worker: w, fd: fd}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	s.conns[r] = c
	s.mu.Unlock()
	if err := s.poller.Add(fd, unix.EPOLLIN, c.ready); err != nil {
		s.drop(r)
		return err
	}
	return nil
}

// drop closes the socket of a process; unknown ones are ignored.
func (s *controlServer) drop(r units.Run) {
	defer s.daemon.dynamics.release(r)
	if c := s.remove(r); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.close()
	}
}

// finish serves what a process that has ended still said, and closes its
// socket.
func (s *controlServer) finish(r units.Run) {
	defer s.daemon.dynamics.release(r)
	c := s.remove(r)
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := 0; n < maxDrain && !c.closed && c.one(); n++ {
	}
	c.close()
}

func (s *controlServer) remove(r units.Run) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conns[r]
	delete(s.conns, r)
	return c
}

// tell sends an event to a process; one that is gone is none.
func (s *controlServer) tell(r units.Run, rec control.Record) {
	s.mu.Lock()
	c := s.conns[r]
	s.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.send(rec, -1)
	}
}

// ready serves one record, so that a worker that sends without end delays no
// other by more.
func (c *conn) ready(uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.one()
	}
}

// close gives the socket up. c.mu is held.
func (c *conn) close() {
	if !c.closed {
		c.closed = true
		c.cancel()
		c.server.poller.Discard(c.fd)
	}
}

// one serves one record and reports whether there was one. c.mu is held.
func (c *conn) one() bool {
	buf := records.Get().(*[]byte)
	defer records.Put(buf)
	n, err := control.Receive(c.fd, *buf)
	switch {
	case err == io.EOF:
		c.close()
		return false
	case err != nil:
		if !errors.Is(err, unix.EAGAIN) {
			c.close()
		}
		return false
	}
	var rec control.Record
	if err := rec.Decode((*buf)[:n]); err != nil {
		return c.refuse(rec, err)
	}
	c.serve(rec)
	return true
}

// refuse answers what Decode could not read. Who does not speak this language
// loses the socket.
func (c *conn) refuse(rec control.Record, err error) bool {
	var version *control.VersionError
	var unknown *control.UnknownTypeError
	switch {
	case errors.As(err, &version) && rec.ID != 0:
		c.send(rec.Refuse(unix.EPROTONOSUPPORT, err.Error()), -1)
	case errors.As(err, &unknown) && rec.ID != 0:
		c.send(rec.Refuse(unix.ENOSYS, err.Error()), -1)
	default:
		c.server.log.Warn("a worker's control socket is closed", "run", c.run.String(), "worker", c.worker.Name, "error", err)
		c.close()
		return false
	}
	return true
}

// send sends a record; a worker that does not read loses the socket. One that is
// gone does not: what it has sent before counts, and its end comes after that.
// c.mu is held.
func (c *conn) send(rec control.Record, pass int) {
	if c.closed {
		return
	}
	b, err := rec.Append(nil)
	if err == nil {
		err = control.Send(c.fd, b, pass)
	}
	if err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		c.server.log.Warn("a worker's control socket is closed", "run", c.run.String(), "worker", c.worker.Name, "error", err)
		c.close()
	}
}

// answer sends what a request has come to. c.mu is held.
func (c *conn) answer(rec control.Record, fill func(*control.Record), err error) {
	if err != nil {
		c.send(rec.Refuse(errnoOf(err), err.Error()), -1)
		return
	}
	a := rec.Accept()
	if fill != nil {
		fill(&a)
	}
	c.send(a, -1)
}

func (c *conn) serve(rec control.Record) {
	sup := c.server.daemon.supervisor
	h := units.Handle(rec.Handle)
	switch rec.Type {
	case control.Hello:
		c.answer(rec, func(a *control.Record) { a.Text = "pg-bgwd " + c.server.daemon.opts.Version }, nil)
	case control.Attach:
		c.answer(rec, nil, sup.Attach(c.run))
	case control.Detach:
		c.server.daemon.dynamics.release(c.run)
		c.answer(rec, nil, sup.Detach(c.run))
	case control.Ready:
		c.answer(rec, nil, sup.Ready(c.run, rec.Text))
	case control.Register:
		handle, err := c.register(rec)
		c.answer(rec, func(a *control.Record) { a.Handle = control.Handle(handle) }, err)
	case control.GetPid:
		i, _ := sup.Lookup(h)
		c.answer(rec, statusOf(i), nil)
	case control.WaitStartup:
		c.wait(rec, sup.WaitStartup)
	case control.WaitShutdown:
		c.wait(rec, sup.WaitShutdown)
	case control.Terminate:
		c.answer(rec, nil, sup.Terminate(h))
	case control.Latch:
		c.latch(rec)
	case control.DynamicCreate, control.DynamicAttach, control.DynamicDetach, control.DynamicPin,
		control.DynamicUnpin, control.DynamicNamed, control.DynamicReady:
		c.dynamic(rec)
	default: // an answer or an event: not for us
		c.refuse(rec, &control.UnknownTypeError{Type: rec.Type})
	}
}

func statusOf(i supervise.Info) func(*control.Record) {
	return func(a *control.Record) { a.Status, a.Pid = uint32(i.Status), int32(i.Pid) }
}

// register registers a worker that another worker asks for. Its owner is the
// asking process, unless it says NotifyPid 0; any other pid is accepted and
// not notified (BGW-047).
func (c *conn) register(rec control.Record) (units.Handle, error) {
	if extra := rec.Flags &^ control.RegisterSignal; extra != 0 {
		return units.Handle{}, invalid("flags: unknown bits %#x", extra)
	}
	def, err := definitionFromPairs(rec.Pairs)
	if err != nil {
		return units.Handle{}, err
	}
	w, err := c.server.daemon.workerOf(def)
	if err != nil {
		return units.Handle{}, err
	}
	i, _ := c.server.daemon.supervisor.Lookup(c.run.Handle)
	o := supervise.Owner{UID: c.server.daemon.uid}
	pid := uint32(i.Pid)
	if !def.Set.Has(dbusapi.KeyNotifyPid) || def.NotifyPid == pid && pid != 0 {
		o.Kind, o.Run, o.Pid = supervise.WorkerOwner, c.run, pid
		o.Signal = rec.Flags&control.RegisterSignal != 0
	}
	return c.server.daemon.supervisor.Register(w, o)
}

// wait answers when f returns, at most 20 s later and without holding up
// what the worker asks next.
func (c *conn) wait(rec control.Record, f func(context.Context, units.Handle) supervise.Info) {
	if !c.begin(rec) {
		return
	}
	timeout := maxControlWait
	if rec.TimeoutUSec < uint64(timeout.Microseconds()) {
		timeout = time.Duration(rec.TimeoutUSec) * time.Microsecond
	}
	go func() {
		ctx, cancel := context.WithTimeout(c.ctx, timeout)
		defer cancel()
		i := f(ctx, units.Handle(rec.Handle))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waits--
		c.answer(rec, statusOf(i), nil)
	}()
}

func (c *conn) latch(rec control.Record) {
	if int(rec.Slot) >= c.server.daemon.maxSlots() {
		c.send(rec.Refuse(unix.ENOENT, fmt.Sprintf("there is no slot %d", rec.Slot)), -1)
		return
	}
	fd, err := c.server.daemon.segments.latch(rec.Slot)
	if err != nil {
		c.answer(rec, nil, err)
		return
	}
	c.send(rec.Accept(), fd)
}
