package dbusapi

import (
	"sync"

	"github.com/godbus/dbus/v5"
)

// ruleBook keeps the match rules by which the broker tells us that a name left: one for each peer, so that the comings
// and goings of all others wake nobody, and above maxMatches one for all names (dbus-daemon allows 512 for a connection).
// Rules are sent under mu, so that the broker sees them in the order in which they were counted.
type ruleBook struct {
	bus dbus.BusObject

	mu     sync.Mutex
	single int // peers with a rule of their own
	shared int // peers that share the wide rule
}

type ruleKind int

const (
	ruleNone ruleKind = iota
	ruleSingle
	ruleShared
)

const wideRule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus'," +
	"path='/org/freedesktop/DBus',member='NameOwnerChanged'"

func ruleFor(name string) string { return wideRule + ",arg0='" + name + "'" }

// watch has p's name watched. The function it returns gives the broker's answer; it waits for it.
func (s *session) watch(p *peer) func() error {
	s.rules.mu.Lock()
	defer s.rules.mu.Unlock()
	s.mu.Lock()
	gone := p.gone
	s.mu.Unlock()
	if gone {
		return func() error { return Errorf(ErrorFailed, "the caller has left the bus") }
	}
	rule := s.rules.add(p)
	if rule == "" {
		return func() error { return nil }
	}
	call := s.rules.bus.Go(busDriver+".AddMatch", 0, nil, rule)
	return func() error {
		if err := (<-call.Done).Err; err != nil {
			return Errorf(ErrorLimitsExceeded, "cannot watch the caller on the bus: %v", fromBus(err))
		}
		return nil
	}
}

// add counts p and returns the rule to send for it, "" for none. Under b.mu.
func (b *ruleBook) add(p *peer) string {
	if b.single < maxMatches {
		b.single++
		p.rule = ruleSingle
		return ruleFor(p.name)
	}
	b.shared++
	p.rule = ruleShared
	if b.shared == 1 {
		return wideRule
	}
	return ""
}

// remove takes p's rule back.
func (b *ruleBook) remove(p *peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rule := ""
	switch p.rule {
	case ruleSingle:
		b.single--
		rule = ruleFor(p.name)
	case ruleShared:
		if b.shared--; b.shared == 0 {
			rule = wideRule
		}
	}
	p.rule = ruleNone
	if rule != "" {
		b.bus.Go(busDriver+".RemoveMatch", 0, nil, rule)
	}
}
