package dbusapi

import (
	"context"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
)

// busDriver is the broker's own name and interface.
const busDriver = "org.freedesktop.DBus"

// peer is a connection that called us, or an owner. It is watched from before its credentials are asked until its name
// leaves the bus. Unique names are not used twice in the life of a bus, so it cannot become somebody else.
type peer struct {
	name   string
	ctx    context.Context // ends when the name leaves or the session ends
	cancel context.CancelFunc

	resolved chan struct{} // closed when the next two are set for good
	caller   Caller
	err      error

	rule ruleKind // under ruleBook.mu

	// Under session.mu.
	calls      int // under way
	waits      int // under way, counted in calls as well
	subscribed bool
	owner      bool // the Backend hears when it leaves
	gone       bool
}

// findPeer returns the peer of that name; fresh says that the caller must resolve it. Under s.mu.
func (s *session) findPeer(name string) (p *peer, fresh bool) {
	if p = s.peers[name]; p != nil {
		return p, false
	}
	p = &peer{name: strings.Clone(name), resolved: make(chan struct{})} // name may share the memory of a whole message
	p.ctx, p.cancel = context.WithCancel(s.ctx)
	s.peers[p.name] = p
	return p, true
}

// admit counts a call of the connection name, without blocking. leave must follow; identify comes between.
func (s *session) admit(name string) (p *peer, fresh bool, e *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, fresh = s.findPeer(name)
	if p.calls >= maxCalls {
		return nil, false, Errorf(ErrorLimitsExceeded, "%d calls of this connection are under way, the limit: wait for an answer", maxCalls)
	}
	p.calls++
	return p, fresh, nil
}

// identify waits until the broker has said who p is, and counts a call of that user; release must follow if it succeeds.
func (s *session) identify(p *peer, fresh bool) error {
	if fresh {
		s.resolve(p)
	}
	<-p.resolved
	if p.err != nil {
		return p.err
	}
	uid := p.caller.UID
	s.mu.Lock()
	defer s.mu.Unlock()
	if !privileged(uid) && s.callsPerUID[uid] >= maxCallsPerUID {
		return Errorf(ErrorLimitsExceeded, "%d calls of user %d are under way, the limit", maxCallsPerUID, uid)
	}
	s.callsPerUID[uid]++
	return nil
}

// release is the reverse of identify.
func (s *session) release(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callsPerUID[p.caller.UID]--; s.callsPerUID[p.caller.UID] == 0 {
		delete(s.callsPerUID, p.caller.UID)
	}
}

// leave is the reverse of admit.
func (s *session) leave(p *peer) {
	s.mu.Lock()
	p.calls--
	s.mu.Unlock()
}

// privileged says whose calls are not counted by user: an unprivileged crowd must not lock the administrator out.
func privileged(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// beginWait counts a wait of p; endWait must follow.
func (s *session) beginWait(p *peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.waits >= maxWaits {
		return Errorf(ErrorLimitsExceeded, "%d waits of this connection are under way, the limit", maxWaits)
	}
	p.waits++
	s.settle()
	return nil
}

func (s *session) endWait(p *peer) {
	s.underway.Add(1)
	s.mu.Lock()
	p.waits--
	s.mu.Unlock()
}

// subscribe sets or clears p's wish for signals.
func (s *session) subscribe(p *peer, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone || p.subscribed == on {
		return
	}
	p.subscribed = on
	if on {
		s.subscribers.Add(1)
	} else {
		s.subscribers.Add(-1)
	}
}

// listeners returns how many connections have subscribed.
func (s *session) listeners() int { return int(s.subscribers.Load()) }

// register runs f, which may make p an owner, and says whether it has. If p leaves meanwhile the Backend hears of it after
// f; if the session ends, BusLost comes after f.
func (s *session) register(p *peer, f func() (bool, error)) error {
	s.mu.Lock()
	if s.ended || p.gone {
		s.mu.Unlock()
		return Errorf(ErrorFailed, "the caller has left the bus")
	}
	s.registering.Add(1)
	s.mu.Unlock()
	defer s.registering.Done()

	owns, err := f()
	if !owns {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.owner = true
	if p.gone {
		s.gone.add(func() { s.server.backend.OwnerGone(p.name) })
	}
	return err
}

// watchOwner: see Server.WatchOwner.
func (s *session) watchOwner(name string) {
	if !isUniqueName(name) {
		return
	}
	s.mu.Lock()
	p, fresh := s.findPeer(name)
	p.owner = true
	s.mu.Unlock()
	if fresh {
		go s.resolve(p)
	}
}

// resolve has the broker watch p's name, and then say who p is: in this order, so that a name that leaves is never
// missed. Both messages are on their way at once.
func (s *session) resolve(p *peer) {
	defer close(p.resolved)
	if s.ctx.Err() != nil {
		p.err = context.Cause(s.ctx)
		return
	}
	added := s.watch(p)
	p.caller, p.err = s.credentials(p.ctx, p.name)
	if p.err == nil {
		p.err = added()
	}
	if p.err != nil {
		s.vanished(p.name)
	}
}

// credentials asks the broker who has a name: its uid, which must be known, and its pid, which may be missing.
//
// Not by GetConnectionCredentials, which answers both at once and the groups: its answer also holds ProcessFD, a
// descriptor, and dbus-broker (37) disconnects who asks without having negotiated descriptor passing.
func (s *session) credentials(ctx context.Context, name string) (Caller, error) {
	ask := func(member string) *dbus.Call {
		return s.conn.BusObject().GoWithContext(ctx, busDriver+"."+member, 0, nil, name)
	}
	user, process := ask("GetConnectionUnixUser"), ask("GetConnectionUnixProcessID") // both on their way at once
	c := Caller{Name: name}
	if err := (<-user.Done).Store(&c.UID); err != nil {
		return Caller{}, Errorf(ErrorAccessDenied, "cannot tell who is calling: %v", fromBus(err))
	}
	if err := fromBus((<-process.Done).Store(&c.PID)); err != nil && !IsError(err, errorProcessUnknown) {
		return Caller{}, Errorf(ErrorAccessDenied, "cannot tell who is calling: %v", err)
	}
	return c, nil
}

// vanished forgets a name that left the bus.
func (s *session) vanished(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[name]
	if p == nil {
		return
	}
	delete(s.peers, name)
	p.gone = true
	if p.subscribed {
		s.subscribers.Add(-1)
	}
	p.cancel()
	owner := p.owner
	s.gone.add(func() {
		s.rules.remove(p)
		if owner {
			s.server.backend.OwnerGone(name)
		}
	})
}

// isUniqueName checks the syntax of a unique name. A broker disconnects who sends to something else.
func isUniqueName(name string) bool {
	if len(name) < 4 || len(name) > 255 || name[0] != ':' {
		return false
	}
	dots, start := 0, true
	for _, c := range []byte(name[1:]) {
		switch {
		case c == '.' && !start:
			dots++
			start = true
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-':
			start = false
		default:
			return false
		}
	}
	return dots > 0 && !start
}
