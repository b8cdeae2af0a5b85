package dbusapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Limits on what callers can occupy. Those per uid do not hold for root and for the Server's own user.
const (
	maxCalls       = 64   // calls of one connection under way
	maxWaits       = 32   // waits of one connection under way
	maxCallsPerUID = 1024 // calls under way of all connections of one uid, waits included
	maxWait        = 20 * time.Second
	maxMatches     = 400     // names watched by a rule of their own: dbus-daemon allows 512 rules for a connection
	maxOutbox      = 1 << 16 // messages waiting for a bus that does not read
	maxDump        = 8 << 20 // bytes of Dump's text
)

// Options says how a Server appears on the bus.
type Options struct {
	// Address is "system" (default), "session" or a D-Bus address such as "unix:path=/run/dbus/system_bus_socket".
	Address string
	// Log gets what no caller can be told: a panic with its stack, why the bus cannot be reached again, a full queue.
	// Default: discard.
	Log *slog.Logger
	// Lost is called when the connection to the bus has broken, before Backend.BusLost, and Regained when there is one
	// again under our name. They are called in turn and never at once, delay the connection, and must not call Close.
	// Both may be nil.
	Lost, Regained func()
}

// Server serves a Backend on the bus under the name org.pgbgw1. All methods may be called at any time and from any
// goroutine, those that publish also before Start and while the bus is away.
type Server struct {
	backend  Backend
	address  string
	log      *slog.Logger
	lost     func()
	regained func()

	waits   waitList
	session atomic.Pointer[session] // nil while there is no bus

	mu     sync.Mutex
	cancel context.CancelFunc // ends run; nil before Start
	done   chan struct{}      // closed when run has returned
}

// NewServer returns a Server that is not connected yet.
func NewServer(b Backend, o Options) *Server {
	s := &Server{backend: b, address: o.Address, log: o.Log, lost: o.Lost, regained: o.Regained}
	if s.address == "" {
		s.address = "system"
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, f := range []*func(){&s.lost, &s.regained} {
		if *f == nil {
			*f = func() {}
		}
	}
	return s
}

// Start connects to the bus and takes the name; calls are served from then on, and the connection is kept up until
// Close. The error wraps ErrNameOwned when another process has the name. ctx bounds the connecting only. Start may be
// called again after it failed.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		return errors.New("cannot start the bus server: it is started")
	}
	first, err := s.connect(ctx)
	if err != nil {
		return err
	}
	var runCtx context.Context
	runCtx, s.cancel = context.WithCancel(context.Background())
	s.done = make(chan struct{})
	go s.run(runCtx, first)
	return nil
}

// Close sends what was published before and answers the calls under way, until ctx ends, then gives the name back and
// leaves the bus. Waits, and what is not done by then, are cut off. The Backend hears of no BusLost. Close of a Server
// that is not started does nothing.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	cancel, done := s.cancel, s.done
	s.mu.Unlock()
	if cancel == nil {
		return nil
	}
	var err error
	if sess := s.session.Load(); sess != nil {
		err = sess.flush(ctx) // first: a call may last
		sess.drain(ctx)
		err = errors.Join(err, sess.flush(ctx))
	}
	cancel()
	<-done
	return err
}

// run keeps the server on the bus until ctx ends.
func (s *Server) run(ctx context.Context, sess *session) {
	defer close(s.done)
	for {
		select {
		case <-sess.ctx.Done():
		case <-ctx.Done():
		}
		s.session.Store(nil)
		sess.end()
		if ctx.Err() != nil {
			return
		}
		s.lost()
		s.backend.BusLost()
		if sess = s.reconnect(ctx); sess == nil {
			return
		}
		s.regained()
	}
}

// Pauses between two attempts to reach the bus: doubled each time, with jitter so that all clients of a restarted
// broker do not come at once.
const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// reconnect tries until it has a session, or returns nil when ctx ends. A name that somebody else took meanwhile is
// waited for as well: the workers run on, and giving up would end them.
func (s *Server) reconnect(ctx context.Context) *session {
	last := ""
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		sess, err := s.connect(ctx)
		if err == nil {
			return sess
		}
		if text := err.Error(); text != last && ctx.Err() == nil {
			s.log.Warn("still without the message bus", "error", err)
			last = text
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// connect makes a session, ready to serve before the name is asked for, so that an activating call finds it.
func (s *Server) connect(ctx context.Context) (*session, error) {
	sess, err := s.newSession(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to bus %q: %w", s.address, err)
	}
	s.session.Store(sess)
	if err := sess.takeName(ctx); err != nil {
		s.session.CompareAndSwap(sess, nil)
		sess.end()
		return nil, fmt.Errorf("cannot take the name %s on bus %q: %w", BusName, s.address, err)
	}
	return sess, nil
}
