package dbusapi

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"github.com/godbus/dbus/v5"
)

// session is one connection of the Server to a bus and everything that is void when it breaks: unique names, their
// credentials, subscriptions, calls under way. It is the library's SignalHandler.
type session struct {
	server *Server
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	conn   *busConn
	ready  chan struct{} // closed when conn is set, or there will be none and ctx has ended

	out     *queue // signals to send, in order
	gone    *queue // what follows from names that left, in order
	workers sync.WaitGroup
	full    atomic.Bool // out was full, and that was logged

	subscribers atomic.Int64

	calls   chan *call // to a goroutine that rests
	resting atomic.Int32

	leaving  atomic.Bool   // no further call is carried out
	underway atomic.Int64  // calls that were taken and not answered, without waits
	answered chan struct{} // has room for one: of a leaving session, none is under way

	mu          sync.Mutex
	peers       map[string]*peer
	callsPerUID map[uint32]int
	ended       bool
	registering sync.WaitGroup // calls that may make their caller an owner; Add only under mu while !ended

	rules ruleBook
}

// newSession connects and serves, without the name.
func (s *Server) newSession(ctx context.Context) (*session, error) {
	sess := &session{
		server: s, ready: make(chan struct{}), out: newQueue(maxOutbox), gone: newQueue(math.MaxInt),
		peers: map[string]*peer{}, callsPerUID: map[uint32]int{}, calls: make(chan *call),
		answered: make(chan struct{}, 1),
	}
	sess.ctx, sess.cancel = context.WithCancel(context.Background())
	defer close(sess.ready)
	conn, err := dialBus(ctx, s.address, sess.take, nil, dbus.WithSignalHandler(sess))
	if err != nil {
		sess.cancel()
		return nil, err
	}
	sess.conn = conn
	sess.rules.bus = conn.BusObject()
	context.AfterFunc(conn.Context(), sess.cancel)
	sess.workers.Go(func() { sess.out.run(sess.ctx, conn.framed.outbox.gather) })
	sess.workers.Go(func() { sess.gone.run(sess.ctx, func(batch func()) { batch() }) })
	return sess, nil
}

// takeName asks for the bus name, without waiting in a queue for it.
func (s *session) takeName(ctx context.Context) error {
	var reply dbus.RequestNameReply
	err := s.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.RequestName", 0,
		BusName, uint32(dbus.NameFlagDoNotQueue)).Store((*uint32)(&reply))
	if err != nil {
		return fromBus(err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner && reply != dbus.RequestNameReplyAlreadyOwner {
		return ErrNameOwned
	}
	return nil
}

// end leaves the bus. When it has returned, no OwnerGone and no registration of this session follows.
func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	_ = s.conn.Close()
	s.cancel()
	s.registering.Wait()
	s.workers.Wait()
}

// enqueue queues something to send. When the bus does not read, what no longer fits is dropped: signals are hints.
func (s *session) enqueue(send func()) {
	if s.out.add(send) {
		s.full.Store(false)
	} else if !s.full.Swap(true) {
		s.server.log.Warn("the message bus does not read, signals are dropped", "waiting", maxOutbox)
	}
}

// flush waits until everything queued so far is sent.
func (s *session) flush(ctx context.Context) error {
	sent := make(chan struct{})
	if !s.out.add(func() { s.conn.framed.outbox.drain(); close(sent) }) {
		return errors.New("cannot send the last signals: the message bus does not read")
	}
	select {
	case <-sent:
		return nil
	case <-s.ctx.Done():
		return nil // nobody is there to be told
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle counts a call under way less.
func (s *session) settle() {
	if s.underway.Add(-1) == 0 && s.leaving.Load() {
		select {
		case s.answered <- struct{}{}:
		default:
		}
	}
}

// drain carries out no further call, and waits until those under way are answered. It does not wait for waits, which would
// last: who waits is told that the service has ended, which is an answer, too.
func (s *session) drain(ctx context.Context) {
	s.leaving.Store(true)
	for s.underway.Load() > 0 {
		select {
		case <-s.answered:
		case <-s.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// DeliverSignal is called by the library for each signal, in order, on the goroutine that reads the bus. Of all that
// peers may send, only the broker's word on a name that left is taken.
func (s *session) DeliverSignal(iface, member string, signal *dbus.Signal) {
	if signal.Sender != busDriver || iface != busDriver || member != "NameOwnerChanged" || len(signal.Body) != 3 {
		return
	}
	name, _ := signal.Body[0].(string)
	if owner, ok := signal.Body[2].(string); ok && owner == "" {
		s.vanished(name)
	}
}
