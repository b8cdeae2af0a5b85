package server

import (
	"math/rand/v2"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// How often the server is asked, besides when something makes it worth while.
const (
	soonest    = 25 * time.Millisecond // after a change
	probeLocal = 2 * time.Second       // with a session: only a second one is told of a smart stop
	probeQuiet = 15 * time.Second      // the same where a file tells of it earlier, or over a network
	countEvery = time.Second           // the clients of a server in a smart stop
	burst      = 10 * time.Millisecond // a standby's role, for a while after a hint
	burstFor   = 2 * time.Second
)

// longest is how long no question is put while the server is in a state that
// ends without telling us. Until then the interval is a fifth of the time that
// has gone by since something changed: a server that starts at once is found
// at once, one that takes hours to recover is not flooded.
func (l *loop) longest() time.Duration {
	switch {
	case l.seen.answer == denied || l.seen.answer == insecure || l.seen.answer == unclear:
		return 15 * time.Second // somebody has to mend something first
	case !l.local || l.state.Kind == Unreachable:
		return 5 * time.Second
	default:
		return 2 * time.Second
	}
}

// interval is the time to the next question after an answer at now.
func (l *loop) interval(now time.Time) time.Duration {
	d := min(max(now.Sub(l.eager)/5, soonest), l.longest())
	if l.session != nil && l.seen.answer != silent && l.seen.answer != noRoute {
		d = probeQuiet
		if l.local && !l.hinted || l.seen.answer == shuttingDown {
			d = probeLocal
		}
	}
	return jitter(d)
}

// jitter takes or adds up to a fifth, so that several watchers do not ask in step.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(d*2/5)
}

// watchesRole reports whether the held session is asked for its role.
func (l *loop) watchesRole() bool {
	s := l.session
	return s != nil && s.standby && !l.relaxed.Load() && len(s.queue) == 0
}

func (l *loop) watchesClients() bool {
	return l.session != nil && (l.state.Kind == SmartStop || l.counting.Load()) && len(l.session.queue) == 0
}

// next is when act has something to do, if nothing happens before.
func (l *loop) next(now time.Time) time.Time {
	t := now.Add(time.Hour)
	earlier := func(when time.Time) {
		if when.Before(t) {
			t = when
		}
	}
	if !l.asking {
		earlier(l.askAt)
	}
	if l.watchesRole() {
		earlier(l.roleAt)
	}
	if l.watchesClients() {
		earlier(l.countAt)
	}
	if s := l.session; s != nil && len(s.queue) > 0 {
		earlier(s.since.Add(l.config.patience()))
	}
	if l.session != nil && l.state.Kind == SmartStop && l.seen.clients < 0 {
		earlier(l.state.Since.Add(l.smartStopGrace()))
	}
	return t
}

// act does what is due.
func (l *loop) act(now time.Time) {
	if s := l.session; s != nil && len(s.queue) > 0 && now.Sub(s.since) >= l.config.patience() {
		l.drop(silent, "the held session does not answer", now)
		l.settle(now)
	}
	if !l.asking && !now.Before(l.askAt) {
		l.ask()
	}
	var err error
	if l.watchesRole() && !now.Before(l.roleAt) {
		l.roleAt = now.Add(jitter(l.config.Interval))
		if now.Sub(l.hint) < burstFor {
			l.roleAt = now.Add(min(burst, l.config.Interval))
		}
		err = l.session.askRole(now)
	}
	if err == nil && l.watchesClients() && !now.Before(l.countAt) {
		l.countAt = now.Add(jitter(countEvery))
		err = l.session.query(countQuery, now)
	}
	if err != nil {
		l.drop(unclear, "the held session ended: "+cause(err), now)
		l.settle(now)
	}
}

// settle concludes the state anew and tells of it if it has changed.
func (l *loop) settle(now time.Time) {
	if l.state.Kind != SmartStop && !l.counting.Load() {
		l.seen.clients = -1
	}
	l.leave(now)
	st := l.conclude()
	if !l.told && st.Kind == Unknown && l.seen.answer == noReply {
		return // nothing is found out yet
	}
	st.Label, st.Since = l.config.Label, now
	st.Version, st.Conninfo = l.version, l.where
	if l.master.alive() && st.Kind != Down { // which is seen before its exit
		st.Postmaster = l.master.pid
	}
	if l.told && st.Kind == l.state.Kind {
		st.Since = l.state.Since
	} else {
		l.eager = now
	}
	st.Demoted = l.demoted(st.Kind)
	st.Crash = st.Kind == CrashRestart || l.state.Crash && (st.Kind == l.state.Kind || !up(l.state.Kind))
	if l.told && !l.state.differs(st) {
		return
	}
	if st.Kind != l.state.Kind && l.askAt.After(now.Add(soonest)) && !up(st.Kind) {
		l.askAt = now.Add(soonest)
	}
	l.state, l.told = st, true
	l.changed(st)
}

// conclude brings what is seen up to date and says what it means.
func (l *loop) conclude() State {
	l.seen.session = l.session != nil && l.session.known
	if l.seen.session {
		l.seen.standby = l.session.standby
	}
	l.seen.reached = units.PhaseUnknown
	if l.master.alive() {
		l.seen.reached = l.reached
	}
	st := conclude(l.seen)
	if l.seen.session && up(st.Kind) {
		l.reached = st.base()
	}
	return st
}

func up(k Kind) bool { return k == HotStandby || k == Running || k == SmartStop }

// demoted says whether the server, being in k, has been a primary and is one
// no more.
func (l *loop) demoted(k Kind) bool {
	if k == Running {
		l.primary = true
		return false
	}
	if !l.primary {
		return false
	}
	switch k {
	case HotStandby:
		return true
	case Down, Starting, Recovering: // the last is a primary's crash recovery too
		return l.state.Demoted || willBeStandby(l.config.DataDirectory)
	default:
		return l.state.Demoted
	}
}

// leave closes the held session when the server, in a smart stop, waits for
// nobody but us, or when for too long nobody can tell.
func (l *loop) leave(now time.Time) {
	if l.session == nil || l.state.Kind != SmartStop || l.seen.answer != shuttingDown {
		return
	}
	grace := now.Sub(l.state.Since) >= l.smartStopGrace()
	if l.seen.clients == 0 || l.seen.clients < 0 && grace {
		l.session.close()
		l.session, l.seen.left = nil, l.state.Reached
		l.seen.ended = noReply
		l.askAt = now.Add(soonest)
	}
}
