package dbusapi

import (
	"context"
	"runtime/debug"
	"slices"

	"github.com/godbus/dbus/v5"
)

// call is one method call on its way from the library to its method. The library asks for an object, an interface, a
// method and decoded arguments in turn; call says yes to all four, and answers for itself in Call, where sender and
// message are known, errors get their standard names, and nothing can escape.
type call struct {
	session *session
	path    dbus.ObjectPath
	iface   string
	member  string
	sender  string
	message *dbus.Message
}

// LookupObject begins a call. The library calls it on a goroutine per message.
func (s *session) LookupObject(path dbus.ObjectPath) (dbus.ServerObject, bool) {
	return &call{session: s, path: path}, true
}

func (c *call) LookupInterface(name string) (dbus.Interface, bool) {
	c.iface = name
	return c, true
}

func (c *call) LookupMethod(name string) (dbus.Method, bool) {
	c.member = name
	return c, true
}

func (c *call) DecodeArguments(_ *dbus.Conn, sender string, message *dbus.Message, _ []any) ([]any, error) {
	c.sender, c.message = sender, message
	return nil, nil
}

// The library does not ask for these after DecodeArguments.

func (c *call) NumArguments() int     { return 0 }
func (c *call) NumReturns() int       { return 0 }
func (c *call) ArgumentValue(int) any { return nil }
func (c *call) ReturnValue(int) any   { return nil }

// Call runs the method. Its error is always an *Error, and a panic is one too: it fails this call alone.
func (c *call) Call(...any) (results []any, err error) {
	<-c.session.ready
	defer func() {
		if v := recover(); v != nil {
			c.session.server.log.Error("a call from the bus failed: internal error", "member", c.member,
				"path", string(c.path), "panic", v, "stack", string(debug.Stack()))
			results, err = nil, Errorf(ErrorFailed, "internal error in %s; the log has more", c.member)
		}
	}()
	if results, err = c.run(); err != nil {
		return nil, toBus(err)
	}
	return results, nil
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
	p, err := c.session.enter(c.sender)
	if err != nil {
		return nil, err
	}
	defer c.session.leave(p)

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
		Context: p.ctx, server: c.session.server, session: c.session, peer: p, caller: p.caller, node: n, args: c.message.Body,
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
