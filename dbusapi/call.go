package dbusapi

import (
	"context"
	"runtime/debug"

	"github.com/godbus/dbus/v5"
)

// call is one method call.
type call struct {
	head
	session *session
	peer    *peer
	fresh   bool // peer is to be asked for
	body    string
}

// take begins a call. It is called on the goroutine that reads the bus, so it only admits: the rest has a goroutine
// to itself, and no method waits for another.
func (s *session) take(h head, body []byte) *Error {
	s.underway.Add(1)
	if s.leaving.Load() {
		s.settle()
		return nil // the bus says that the service has ended
	}
	p, fresh, e := s.admit(h.sender)
	if e != nil {
		s.settle()
		return e
	}
	c := &call{head: h, session: s, peer: p, fresh: fresh, body: string(body)}
	select {
	case s.calls <- c:
	default: // nobody rests
		go s.serve(c)
	}
	return nil
}

// maxResting is how many goroutines are kept for the calls to come: their stacks have the size that a call needs.
const maxResting = 16

// serve carries out c and then what comes while few enough others rest.
func (s *session) serve(c *call) {
	for {
		results, err := c.guard(c.fresh)
		s.leave(c.peer) // before the answer: who has it may call again
		c.answer(results, err)
		s.settle()
		if s.resting.Add(1) > maxResting {
			s.resting.Add(-1)
			return
		}
		select {
		case c = <-s.calls:
			s.resting.Add(-1)
		case <-s.ctx.Done():
			return
		}
	}
}

// guard runs the call. A panic fails this call alone.
func (c *call) guard(fresh bool) (results []any, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.session.server.log.Error("a call from the bus failed: internal error", "member", c.member,
				"path", string(c.path), "panic", v, "stack", string(debug.Stack()))
			results, err = nil, Errorf(ErrorFailed, "internal error in %s; the log has more", c.member)
		}
	}()
	<-c.session.ready
	if err := c.session.identify(c.peer, fresh); err != nil {
		return nil, err
	}
	defer c.session.release(c.peer)
	return c.run()
}

// answer sends the results or the error, if the caller wants an answer. Results that do not make a message become an error.
func (c *call) answer(results []any, err error) {
	if !c.wantsAnswer() || c.session.ctx.Err() != nil {
		return
	}
	conn := c.session.conn.framed
	if err == nil {
		err = conn.send(&message{kind: dbus.TypeMethodReply, to: c.peer.name, answers: c.serial, body: results})
	}
	if err != nil {
		_ = conn.send(errorMessage(c.peer.name, c.serial, toBus(err))) // fails only when nobody is there to be told
	}
}

// request is what a method gets: who calls, on which object, with arguments of the types that the XML says.
type request struct {
	context.Context // ends when the caller leaves or the bus is lost
	server          *Server
	session         *session
	peer            *peer
	caller          Caller
	node            node
	args            []any // see reader.arguments
}

func (c *call) run() ([]any, error) {
	n, ok := findNode(c.path)
	if !ok {
		return nil, unknownObject(c.path)
	}
	method, err := c.findMethod(n)
	if err != nil {
		return nil, err
	}
	if c.signature != method.in {
		return nil, Errorf(ErrorInvalidArgs, "%s: expected arguments of signature %q, got %q", c.member, method.in, c.signature)
	}
	args, err := (&reader{text: c.body, big: c.big}).arguments(method.in)
	if err != nil {
		return nil, err
	}
	return method.run(&request{
		Context: c.peer.ctx, server: c.session.server, session: c.session, peer: c.peer, caller: c.peer.caller, node: n, args: args,
	})
}

// findMethod returns the method called of an interface of n. A call may leave the interface out.
func (c *call) findMethod(n node) (methodXML, error) {
	known := c.iface == ""
	for _, name := range n.interfaces() {
		if c.iface == "" || c.iface == name {
			known = true
			if m, ok := interfaces[name].methods[c.member]; ok {
				return m, nil
			}
		}
	}
	if !known {
		return methodXML{}, Errorf(ErrorUnknownInterface, "%s has no interface %s", c.path, bounded(c.iface, 255))
	}
	return methodXML{}, Errorf(ErrorUnknownMethod, "%s has no method %s", c.path, bounded(c.member, 255))
}

func unknownObject(path dbus.ObjectPath) *Error {
	return Errorf(ErrorUnknownObject, "there is no object %s", bounded(string(path), 255))
}
