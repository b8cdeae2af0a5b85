package dbusapi

import (
	"context"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

// The calls that a Client makes often do without the bus library, whose reflection costs several times what everybody
// else does for a registration: they are encoded and their answers are read here.

// pendingCalls are the calls of a Client whose answers the library does not see.
type pendingCalls struct {
	mu      sync.Mutex
	waiting map[uint32]chan answer // by serial; each has room for the one answer
}

// answer is what came for a call: an error, or the body.
type answer struct {
	err       error
	signature string
	body      string
	big       bool
}

func (p *pendingCalls) add(serial uint32) chan answer {
	c := make(chan answer, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[serial] = c
	return c
}

// remove returns who waits for the answer to serial, for the last time; nil for nobody.
func (p *pendingCalls) remove(serial uint32) chan answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.waiting[serial]
	delete(p.waiting, serial)
	return c
}

// register calls a registering method of the manager; the bus starts the daemon if it is not there.
func (c *Client) register(ctx context.Context, member string, args ...any) (Handle, error) {
	a, err := c.direct(ctx, member, 0, args...)
	if err != nil {
		return Handle{}, err
	}
	r := reader{text: a.body, big: a.big}
	path := dbus.ObjectPath(r.string())
	if a.signature != "o" || r.bad {
		return Handle{}, Errorf(ErrorFailed, "%s was answered with %q, not with a handle", member, bounded(a.signature, maxName))
	}
	return ParseHandle(path)
}

// registerAll is RegisterDynamicBackgroundWorkers.
func (c *Client) registerAll(ctx context.Context, defs []Definition, flags RegisterFlags) ([]Registration, error) {
	const member = "RegisterDynamicBackgroundWorkers"
	a, err := c.direct(ctx, member, 0, defs, uint64(flags))
	if err != nil {
		return nil, err
	}
	r := reader{text: a.body, big: a.big}
	answers := make([]Registration, 0, len(defs))
	for end := r.array(8); r.within(end); {
		r.align(8)
		path, name, text := dbus.ObjectPath(r.string()), r.string(), r.string()
		var one Registration
		if name != "" {
			one.Err = &Error{Name: strings.Clone(name), Message: strings.Clone(text)}
		} else if one.Handle, err = ParseHandle(path); err != nil {
			r.bad = true
		}
		answers = append(answers, one)
	}
	if a.signature != "a(oss)" || r.bad || len(answers) != len(defs) {
		return nil, Errorf(ErrorFailed, "%s was answered with %q, not with an answer for each worker", member, bounded(a.signature, maxName))
	}
	return answers, nil
}

// direct calls a method of the manager and waits for the answer, for ctx, or for the end of the connection.
func (c *Client) direct(ctx context.Context, member string, flags dbus.Flags, args ...any) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	serial := c.conn.framed.serials.GetSerial()
	came := c.calls.add(serial)
	defer c.calls.remove(serial)
	m := &message{kind: dbus.TypeMethodCall, flags: flags, to: BusName, path: ManagerPath, iface: ManagerInterface, member: member, body: args}
	if err := c.conn.framed.sendAs(serial, m); err != nil {
		return answer{}, err
	}
	select {
	case a := <-came:
		return a, a.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-c.conn.Context().Done():
	}
	select {
	case a := <-came: // the last that came
		return a, a.err
	default:
		return answer{}, dbus.ErrClosed
	}
}

// heard takes the answers to direct calls, and the news that an owner gets of each start and exit. A broker lets
// nobody answer who was not asked.
func (c *Client) heard(h head, body []byte) bool {
	switch {
	case h.answers != 0 && (h.kind == dbus.TypeMethodReply || h.kind == dbus.TypeError):
		came := c.calls.remove(h.answers)
		if came != nil {
			came <- answerOf(&h, string(body))
		}
		return came != nil
	case h.kind == dbus.TypeSignal && h.iface == ManagerInterface && h.member == stateChangedMember && h.signature == stateChangedSignature:
		r := reader{text: string(body), big: h.big}
		s := dbus.Signal{Sender: h.sender, Path: h.path, Body: r.stateChanged()}
		if !r.bad {
			c.signals.DeliverSignal(h.iface, h.member, &s)
		}
		return true
	}
	return false
}

func answerOf(h *head, body string) answer {
	a := answer{signature: h.signature, body: body, big: h.big}
	if h.kind == dbus.TypeError {
		e := &Error{Name: h.errorName}
		if len(h.signature) > 0 && h.signature[0] == 's' {
			r := reader{text: body, big: h.big}
			e.Message = r.string()
		}
		a.err = e
	}
	return a
}

const (
	stateChangedMember    = "WorkerStateChanged"
	stateChangedSignature = "ossuiist"
)

// stateChanged reads the arguments of WorkerStateChanged.
func (r *reader) stateChanged() []any {
	return []any{
		dbus.ObjectPath(r.string()), r.string(), r.string(), r.uint32(), int32(r.uint32()), int32(r.uint32()), r.string(), r.uint64(),
	}
}
