package daemon

import (
	"context"
	"errors"
	"fmt"
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
	maxStatusText   = 1024 // bytes of what a worker says of itself
	maxTurn         = 32   // registrations served before it is somebody else's turn
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
	mu     sync.Mutex // one record at a time
	fd     int
	closed bool
	waits  int
	ctx    context.Context // of waits, ends with the socket; nil: there was none
	cancel context.CancelFunc
	pid    uint32 // of the process; 0: not known yet
}

var records = sync.Pool{New: func() any { b := make([]byte, control.MaxRecord); return &b }}

// add takes over fd, also when it fails.
func (s *controlServer) add(r units.Run, w *units.Worker, fd int) error {
	c := &conn{server: s, run: r, worker: w, fd: fd}
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
	for n := 0; n < maxDrain && !c.closed && c.turn(); n++ {
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

// ready serves a turn, so that a worker that sends without end delays no other
// by more.
func (c *conn) ready(uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.turn()
	}
}

// turn serves one record, and before it the registrations that it comes after,
// at once; it reports whether there was anything. c.mu is held.
func (c *conn) turn() bool {
	var asked []control.Record
	for len(asked) < maxTurn {
		rec, wrong, ok := c.next()
		if ok && wrong == nil && rec.Type == control.Register {
			asked = append(asked, rec)
			continue
		}
		c.registerAll(asked)
		switch {
		case !ok:
			return len(asked) > 0
		case wrong != nil:
			c.refuse(rec, wrong)
		default:
			c.serve(rec)
		}
		return true
	}
	c.registerAll(asked)
	return true
}

// close gives the socket up. c.mu is held.
func (c *conn) close() {
	if !c.closed {
		c.closed = true
		if c.cancel != nil {
			c.cancel()
		}
		c.server.poller.Discard(c.fd)
	}
}

// next takes the next record and says what is wrong with it, if there is one to
// be had. c.mu is held.
func (c *conn) next() (rec control.Record, wrong error, ok bool) {
	buf := records.Get().(*[]byte)
	defer records.Put(buf)
	n, err := control.Receive(c.fd, *buf)
	if err != nil {
		if !errors.Is(err, unix.EAGAIN) { // io.EOF too: nothing more comes
			c.close()
		}
		return rec, nil, false
	}
	wrong = rec.Decode((*buf)[:n])
	return rec, wrong, true
}

// refuse answers what Decode could not read. Who does not speak this language
// loses the socket. c.mu is held.
func (c *conn) refuse(rec control.Record, err error) {
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
	}
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
		c.answer(rec, nil, c.isReady(rec.Text))
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

// isReady takes what this process says of itself.
func (c *conn) isReady(text string) error {
	if len(text) > maxStatusText {
		return invalid("status: it has %d bytes, at most %d are allowed", len(text), maxStatusText)
	}
	return c.server.daemon.supervisor.Ready(c.run, text)
}

func statusOf(i supervise.Info) func(*control.Record) {
	return func(a *control.Record) { a.Status, a.Pid = uint32(i.Status), int32(i.Pid) }
}

// registerAll registers the workers that another worker asks for. c.mu is held.
func (c *conn) registerAll(asked []control.Record) {
	if len(asked) == 0 {
		return
	}
	if c.pid == 0 {
		self, _ := c.server.daemon.supervisor.Lookup(c.run.Handle)
		c.pid = uint32(self.Pid)
	}
	all, of := make([]supervise.Registrant, 0, len(asked)), make([]control.Record, 0, len(asked))
	for _, rec := range asked {
		r, err := c.registrant(rec, c.pid)
		if err != nil {
			c.answer(rec, nil, err)
			continue
		}
		all, of = append(all, r), append(of, rec)
	}
	handles, errs := c.server.daemon.supervisor.RegisterAll(all)
	for i, rec := range of {
		c.answer(rec, func(a *control.Record) { a.Handle = control.Handle(handles[i]) }, errs[i])
	}
}

// registrant is what a request of this process, whose number is pid, would
// register. Its owner is the asking process, unless it says NotifyPid 0; any
// other pid is accepted and not notified (BGW-047).
func (c *conn) registrant(rec control.Record, pid uint32) (r supervise.Registrant, err error) {
	if extra := rec.Flags &^ control.RegisterSignal; extra != 0 {
		return r, invalid("flags: unknown bits %#x", extra)
	}
	def, err := definitionFromPairs(rec.Pairs)
	if err != nil {
		return r, err
	}
	r.Owner.UID = c.server.daemon.uid
	if !def.Set.Has(dbusapi.KeyNotifyPid) || def.NotifyPid == pid && pid != 0 {
		r.Owner.Kind, r.Owner.Run, r.Owner.Pid = supervise.WorkerOwner, c.run, pid
		r.Owner.Signal = rec.Flags&control.RegisterSignal != 0
	}
	r.Worker, err = c.server.daemon.workerOf(def)
	return r, err
}

// wait answers when f returns, at most 20 s later and without holding up
// what the worker asks next. c.mu is held.
func (c *conn) wait(rec control.Record, f func(context.Context, units.Handle) supervise.Info) {
	if !c.begin(rec) {
		return
	}
	timeout := maxControlWait
	if rec.TimeoutUSec < uint64(timeout.Microseconds()) {
		timeout = time.Duration(rec.TimeoutUSec) * time.Microsecond
	}
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(context.Background())
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
