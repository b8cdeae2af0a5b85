package server

import (
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// Kind is what a server is doing, as finely as it can be seen from outside.
type Kind uint8

// The kinds. The package's documentation says what each is concluded from.
const (
	Unknown      Kind = iota // not seen yet, or what was seen says too little
	Down                     // nobody listens
	Starting                 // the postmaster answers; the startup process has just begun
	Recovering               // archive recovery or a standby, sessions are not accepted
	HotStandby               // in recovery, and sessions are accepted
	Running                  // recovery finished: writes are accepted
	SmartStop                // no new sessions; the server waits for its clients
	Stopping                 // shutting down
	CrashRestart             // a process of the server crashed; everything is begun anew
	Unreachable              // no answer in time, or no way to it
)

var kindNames = []string{
	"unknown", "down", "starting", "recovering", "hot_standby", "running",
	"smart_stop", "stopping", "crash_restart", "unreachable",
}

// String returns the name that listings and properties show, as in "hot_standby".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// A State is what a [Watcher] knows of its server at one moment.
type State struct {
	Label    string    // of the server, from Config
	Kind     Kind      // what it is doing
	Evidence string    // what that was concluded from, for people; one line without secrets
	Since    time.Time // when Kind was first seen, with the monotonic clock

	// Reached is how far the server is known to have come where Kind does not
	// say: in SmartStop, where it is what was reached before, and in Unknown,
	// where a server that accepts sessions but gives us none is at least
	// consistent. Elsewhere it is units.PhaseUnknown.
	Reached units.Phase

	// Demoted: the server was Running and is now, or is about to come back as,
	// a standby. It holds until the server is Running again.
	Demoted bool

	// Crash: the server is in a crash restart, or came to this state through
	// one. The first HotStandby or Running after it still says so.
	Crash bool

	// Clients is how many client sessions other than those of pg-bgw and its
	// workers the server has, counted in SmartStop and after
	// [Watcher.CountClients]; -1: not counted, or it cannot be known.
	Clients int

	// Version is what the newest session was told (server_version); empty before
	// the first one.
	Version string

	// Postmaster is the pid of a local server's postmaster while it is known to
	// live; 0: none, or it cannot be seen from here.
	Postmaster int

	// Conninfo is where the server was last asked, in libpq's keywords: host,
	// port, user, database and sslmode, nothing that is secret.
	Conninfo string
}

// Phase returns what the state means for workers (BGW-077 to BGW-085), with
// units.SmartStop and units.Demoted where they hold. Whatever says nothing
// about the server is units.PhaseUnknown.
func (s State) Phase() units.Phase {
	p := s.base()
	if s.Kind == SmartStop && p.Up() {
		p |= units.SmartStop
	}
	if s.Demoted && p != units.PhaseUnknown {
		p |= units.Demoted
	}
	return p
}

func (s State) base() units.Phase {
	switch s.Kind {
	case Down, Stopping:
		return units.PhaseDown
	case CrashRestart:
		return units.PhaseCrashed
	case Starting, Recovering:
		return units.PhaseStarted
	case HotStandby:
		return units.PhaseConsistent
	case Running:
		return units.PhaseRunning
	case SmartStop, Unknown:
		return s.Reached
	default:
		return units.PhaseUnknown
	}
}

// differs reports whether o is worth a callback after s: Since alone is not,
// and neither is the wording of the evidence while nothing else changes,
// except in Unknown, where it is all there is.
func (s State) differs(o State) bool {
	if s.Kind == Unknown && s.Evidence != o.Evidence {
		return true
	}
	s.Evidence, s.Since = o.Evidence, o.Since
	return s != o
}
