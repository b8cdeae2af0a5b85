package units

import "slices"

// Phase is how far a PostgreSQL server has come, as far as the life of its
// workers goes: one of the phases below, with [SmartStop] or [Demoted] added
// where they hold. The zero Phase means that nothing is known.
type Phase uint8

// The phases, in the order in which each permits at least what the ones before
// it permit.
const (
	PhaseUnknown    Phase = iota // nothing is known: nothing is started, nothing is stopped
	PhaseDown                    // stopped or stopping, by request
	PhaseCrashed                 // a process of the server crashed, and all of them are begun anew
	PhaseStarted                 // the postmaster exists and accepts no sessions: PostmasterStart
	PhaseConsistent              // hot standby: ConsistentState as well
	PhaseRunning                 // recovery finished: everything
)

// What may be added to a phase.
const (
	// SmartStop, added to PhaseStarted and above: the server stops as soon as its
	// clients have gone, and accepts no new ones. What its phase permits goes on
	// (BGW-084, BGW-085).
	SmartStop Phase = 1 << 6

	// Demoted, added to any phase below PhaseRunning: the server had finished
	// recovery once and is, or is about to come back as, a standby. PhaseConsistent
	// says so by itself.
	Demoted Phase = 1 << 7

	phaseBits = SmartStop | Demoted
)

var phaseNames = []string{"unknown", "down", "crashed", "started", "consistent", "recovery_finished"}

// String names the phase, with ", smart stop" and ", demoted" after it where
// they are added.
func (p Phase) String() string {
	s := name(phaseNames, int(p.Base()))
	if p&SmartStop != 0 {
		s += ", smart stop"
	}
	if p&Demoted != 0 {
		s += ", demoted"
	}
	return s
}

// Base is p without SmartStop and Demoted.
func (p Phase) Base() Phase { return p &^ phaseBits }

// Up reports whether the server is known to run.
func (p Phase) Up() bool { return p.Base() >= PhaseStarted }

// Permits reports whether a worker of start time t may be started in p
// (BGW-077 to BGW-083).
func (p Phase) Permits(t StartTime) bool { return p.Up() && p.Base()-PhaseStarted >= Phase(t) }

// Rejects reports whether p says that a worker of start time t cannot have a
// place on its server now: the server is known, and has not come so far.
func (p Phase) Rejects(t StartTime) bool { return p.Base() != PhaseUnknown && !p.Permits(t) }

// OnServerStop says what becomes of a worker when its server stops.
type OnServerStop uint8

// The values of OnServerStop.
const (
	ServerStopTerminate OnServerStop = iota // it is ended, and starts again with the server
	ServerStopKeep                          // it runs on
)

var onServerStopNames = []string{"terminate", "keep"}

func (o OnServerStop) String() string { return name(onServerStopNames, int(o)) }

// ParseOnServerStop is the inverse of String.
func ParseOnServerStop(s string) (OnServerStop, bool) {
	i := slices.Index(onServerStopNames, s)
	return OnServerStop(max(i, 0)), i >= 0
}

// OnServerStopNames lists what ParseOnServerStop takes.
func OnServerStopNames() []string { return slices.Clone(onServerStopNames) }

// OnServerCrash says what becomes of a worker when its server crashes and
// begins anew.
type OnServerCrash uint8

// The values of OnServerCrash.
const (
	ServerCrashCrash OnServerCrash = iota // attached: its segment crashes, as in PostgreSQL; otherwise it is ended
	ServerCrashKeep                       // it runs on, unless its segment crashes
)

var onServerCrashNames = []string{"crash", "keep"}

func (o OnServerCrash) String() string { return name(onServerCrashNames, int(o)) }

// ParseOnServerCrash is the inverse of String.
func ParseOnServerCrash(s string) (OnServerCrash, bool) {
	i := slices.Index(onServerCrashNames, s)
	return OnServerCrash(max(i, 0)), i >= 0
}

// OnServerCrashNames lists what ParseOnServerCrash takes.
func OnServerCrashNames() []string { return slices.Clone(onServerCrashNames) }

// Demotion says what becomes of a worker when its server is demoted, that is,
// comes back as a standby.
type Demotion uint8

// The values of Demotion.
const (
	DemotionDefault Demotion = iota // DemotionStop for RecoveryFinished with a database connection, else DemotionKeep
	DemotionStop                    // it is ended, and starts again when the server is promoted
	DemotionKeep                    // it runs on, if it outlives the server's stop
)
