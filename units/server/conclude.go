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
	// is zero where that one cannot be told from another.
	reached units.Phase
	wasUp   bool // sessions were accepted since it was last seen down or starting

	left    bool // the held session was closed for the sake of a smart stop
	clients int  // other sessions in a smart stop; -1: not known
}

// conclude says what the server is doing. It sets Kind, Evidence, Reached and
// Clients.
func conclude(s seen) State {
	st := State{Evidence: s.text}
	switch {
	case s.session:
		st = concludeHeld(s)
	case s.ended != noReply:
		st.Kind, st.Evidence = kindOf[s.ended], s.endText
	case s.answer == full || s.answer == denied || s.answer == insecure:
		st = concludeDenied(s)
	case s.answer == notNow && s.wasUp: // not up any more: a stop, or a crash restart
		st.Kind = Stopping
	default:
		st.Kind = kindOf[s.answer]
	}
	if st.Kind == Stopping && s.left {
		st.Evidence += "; nobody but pg-bgw is connected"
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
	st := State{Kind: Running, Evidence: "the held session reports a primary"}
	reached := units.PhaseRunning
	if s.standby {
		st = State{Kind: HotStandby, Evidence: "the held session reports a standby"}
		reached = units.PhaseConsistent
	}
	switch s.answer {
	case startingUp, notConsistent, crashed:
		return State{Kind: kindOf[s.answer], Evidence: s.text}
	case silent, noRoute:
		return State{Kind: Unreachable, Evidence: s.text}
	case shuttingDown:
		return State{Kind: SmartStop, Evidence: s.text, Reached: reached, Clients: s.clients}
	case full, denied, insecure, hungUp, unclear:
		st.Evidence += "; " + s.text
	}
	return st
}

// concludeDenied is for a server that lets us know that it is up, but gives us
// no session. Its role is that of the same postmaster before, since another
// role needs another postmaster, except that a standby may have been promoted.
func concludeDenied(s seen) State {
	least := units.PhaseConsistent
	if s.answer == insecure { // no process has checked the server's state yet
		least = units.PhaseStarted
	}
	switch {
	case least == units.PhaseConsistent && s.reached == units.PhaseRunning:
		return State{Kind: Running, Evidence: s.text}
	case least == units.PhaseConsistent && s.reached == units.PhaseConsistent:
		return State{Kind: HotStandby, Evidence: s.text}
	default:
		return State{Kind: Unknown, Evidence: s.text, Reached: least}
	}
}
