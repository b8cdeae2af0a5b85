package server

import (
	"github.com/pg-bgw/pg-bgw/units"
)

// seen is everything that a state is concluded from: what is so now, never
// what has happened since when.
type seen struct {
	session bool // one is held and has not shown its end
	standby bool // what it last reported

	ended   reply  // no session, no answer since: what its end said (crashed, shuttingDown, silent, unclear)
	endText string // and in which words

	answer reply // the newest
	text   string

	// reached is how far the postmaster that answered last has come at best; it
	// is PhaseUnknown where that one cannot be told from another.
	reached units.Phase
	wasUp   bool // we had a session since it was last seen down, starting or another

	left    units.Phase // reached when the held session was closed for the sake of a smart stop
	clients int         // other sessions; -1: not known
}

// conclude says what the server is doing. It sets Kind, Evidence, Reached and
// Clients.
func conclude(s seen) State {
	st := State{Evidence: s.text, Clients: -1}
	switch {
	case s.session:
		return concludeHeld(s)
	case s.ended != noReply:
		st.Kind, st.Evidence = kindOf[s.ended], s.endText
	case s.left != units.PhaseUnknown && s.answer == shuttingDown:
		st.Kind, st.Reached, st.Clients = SmartStop, s.left, s.clients
		st.Evidence += "; the held session was closed"
	case s.answer == full || s.answer == denied || s.answer == insecure:
		st.Kind, st.Reached = concludeDenied(s)
	case s.answer == notNow && s.wasUp: // not up any more: a stop, or a crash restart
		st.Kind = Stopping
	default:
		st.Kind = kindOf[s.answer]
	}
	return st
}

// kindOf is what an answer says when there is nothing else to go by; nothing
// (Unknown) where it is not listed.
var kindOf = map[reply]Kind{
	startingUp:    Starting,
	notConsistent: Recovering,
	shuttingDown:  Stopping,
	crashed:       CrashRestart,
	notNow:        Starting,
	refused:       Down,
	silent:        Unreachable,
	noRoute:       Unreachable,
}

// concludeHeld is for a server that we have a session with. That says more
// than a refusal of another one, except where the answer can only come from a
// postmaster to which the session no longer belongs.
func concludeHeld(s seen) State {
	st := State{Kind: Running, Evidence: "the held session reports a primary", Clients: s.clients}
	reached := units.PhaseRunning
	if s.standby {
		st.Kind, st.Evidence = HotStandby, "the held session reports a standby"
		reached = units.PhaseConsistent
	}
	switch s.answer {
	case startingUp, notConsistent, crashed, silent, noRoute:
		st = State{Kind: kindOf[s.answer], Evidence: s.text, Clients: -1}
	case shuttingDown:
		st.Kind, st.Evidence, st.Reached = SmartStop, s.text, reached
	case full, denied, insecure, hungUp, unclear:
		st.Evidence += "; " + s.text
	}
	return st
}

// concludeDenied is for a server that lets us know that it is up, but gives us
// no session. Its role is that of the same postmaster before, since another
// role needs another postmaster, except that a standby may have been promoted.
// Of one that cannot be told from another nothing is claimed if it may be one
// that we know as more.
func concludeDenied(s seen) (kind Kind, reached units.Phase) {
	switch {
	case s.answer != insecure && s.reached == units.PhaseRunning:
		return Running, units.PhaseUnknown
	case s.answer != insecure && s.reached == units.PhaseConsistent:
		return HotStandby, units.PhaseUnknown
	case s.wasUp:
		return Unknown, units.PhaseUnknown
	case s.answer == insecure: // no process has looked at the server's state yet
		return Unknown, units.PhaseStarted
	default:
		return Unknown, units.PhaseConsistent
	}
}
