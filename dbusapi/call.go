package dbusapi

import (
	"context"
	"runtime/debug"
	"slices"

	"github.com/godbus/dbus/v5"
)

// call is one method call.
type call struct {
	session *session
	peer    *peer
	path    dbus.ObjectPath
	iface   string // "" if the caller left it out
	member  string
	message *dbus.Message
}

// take begins a call. It is called on the goroutine that reads the bus, so it only admits: the rest has a goroutine of
// its own, and no method waits for another.
func (s *session) take(m *dbus.Message) *Error {
	sender, _ := m.Headers[dbus.FieldSender].Value().(string)
	p, fresh, e := s.admit(sender)
	if e != nil {
		return e
	}
	c := &call{session: s, peer: p, message: m}
	c.path, _ = m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	c.iface, _ = m.Headers[dbus.FieldInterface].Value().(string)
	c.member, _ = m.Headers[dbus.FieldMember].Value().(string)
	go func() {
		results, err := c.guard(fresh)
		s.leave(p) // before the answer: who has it may call again
		c.answer(results, err)
	}()
	return nil
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
	if c.message.Flags&dbus.FlagNoReplyExpected != 0 || c.session.ctx.Err() != nil {
		return
	}
	conn, serial := c.session.conn.framed, c.message.Serial()
	if err == nil {
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Body: results, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(c.peer.name),
			dbus.FieldReplySerial: dbus.MakeVariant(serial),
		}}
		if len(results) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(results...))
		}
		err = conn.send(reply)
	}
	if err != nil {
		_ = conn.send(errorMessage(c.peer.name, serial, toBus(err))) // fails only when nobody is there to be told
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
	args            []any
}

func (c *call) run() ([]any, error) {
	n, ok := findNode(c.path)
	if !ok {
		return nil, unknownObject(c.path)
	}
	iface, err := c.findInterface(n)
	if err != nil {
		return nil, err
	}
	got, _ := c.message.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	if want := iface.methods[c.member].in; got.String() != want {
		return nil, Errorf(ErrorInvalidArgs, "%s: expected arguments of signature %q, got %q", c.member, want, got.String())
	}
	return methods[iface.name+"."+c.member](&request{
		Context: c.peer.ctx, server: c.session.server, session: c.session, peer: c.peer, caller: c.peer.caller, node: n, args: c.message.Body,
	})
}

// findInterface returns the interface of n that has the member called. A call may leave the interface out.
func (c *call) findInterface(n node) (*interfaceXML, error) {
	names := n.interfaces()
	if c.iface != "" {
		if !slices.Contains(names, c.iface) {
			return nil, Errorf(ErrorUnknownInterface, "%s has no interface %s", c.path, bounded(c.iface, 255))
		}
		names = []string{c.iface}
	}
	for _, name := range names {
		if _, ok := interfaces[name].methods[c.member]; ok {
			return interfaces[name], nil
		}
	}
	return nil, Errorf(ErrorUnknownMethod, "%s has no method %s", c.path, bounded(c.member, 255))
}

func unknownObject(path dbus.ObjectPath) *Error {
	return Errorf(ErrorUnknownObject, "there is no object %s", bounded(string(path), 255))
}
