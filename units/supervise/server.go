package supervise

import (
	"container/heap"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// maxStarting is how many workers of one server may be Starting at a time, so
// that a server which has just come up meets a stream of new sessions and not
// a wall of them, and that a launcher which is slow answers for few. Without a
// server there is nobody to spare, and no such limit.
const maxStarting = 32

// unknownClients is the number of clients of a server that cannot count them.
const unknownClients = -1

// A server is what is known of one: only Phase and Clients change it.
type server struct {
	name       string // "": none, nobody else uses it
	phase      units.Phase
	clients    int       // sessions besides ours, or unknownClients
	smartSince time.Time // when its smart stop began
	over       bool      // in a smart stop only ours is left: what must go goes
	lost       time.Time // when it was last seen to be up, or a smart stop of it was over

	members  int       // registrations that name it
	starting int       // of them, in state Starting
	parked   readyHeap // of them, what may start when fewer are Starting
}

// server returns the server of that name; naming it makes it. It is never
// forgotten: there are as many as the administrator has named.
func (t *table) server(name string) *server {
	for _, sv := range t.servers {
		if sv.name == name {
			return sv
		}
	}
	sv := &server{name: name}
	sv.forgetClients()
	t.servers = append(t.servers, sv)
	return sv
}

func (sv *server) forgetClients() {
	if sv.clients = unknownClients; sv.name == "" {
		sv.clients = 0
	}
}

func (sv *server) smart() bool { return sv.phase&units.SmartStop != 0 }

// full reports whether another start has to wait.
func (sv *server) full() bool { return sv.name != "" && sv.starting >= maxStarting }

// permits reports whether w may be started now (BGW-077 to BGW-083). In a
// smart stop what needs no session starts (BGW-085); what does waits, since
// the server refuses it.
func (sv *server) permits(w *units.Worker) bool {
	return !sv.over && !(sv.smart() && w.Connects()) && sv.phase.Permits(w.StartTime)
}

// bars reports whether w waits for what a smart stop will not bring: so who
// waits for its start must not hold the stop up (deviation from BGW-094).
func (sv *server) bars(w *units.Worker) bool { return sv.smart() && !sv.permits(w) }

// fails reports whether w needs a session that sv, as is known, does not give.
func (sv *server) fails(w *units.Worker) bool {
	return w.Connects() && (sv.over || sv.phase.Rejects(units.ConsistentState))
}

// turnedAway reports whether a process of w that ran from start to end may have
// asked for a session when a smart stop gave none any more. Afterwards none is
// started, so only its very beginning leaves that open.
func (sv *server) turnedAway(w *units.Worker, start, end time.Time) bool {
	return sv.smart() && w.Connects() && sv.smartSince.Sub(start) <= doubtTime && end.Sub(sv.smartSince) <= doubtTime
}

// expels says why a process of w must end, or "". It looks at what holds now
// and at nothing before, so that it comes to the same whichever changes were
// seen.
func (sv *server) expels(w *units.Worker) string {
	ends := w.OnServerStop == units.ServerStopTerminate
	switch base := sv.phase.Base(); {
	case base == units.PhaseUnknown:
		return ""
	case sv.over && (ends || w.Connects()): // BGW-086; what is kept would hold the stop up (BGW-087)
		return "its server is shutting down"
	case base == units.PhaseDown && ends:
		return "its server is down"
	case base == units.PhaseCrashed && w.OnServerCrash == units.ServerCrashCrash:
		return "its server crashed"
	case w.StopOnDemotion != units.DemotionStop || sv.phase.Permits(w.StartTime):
		return ""
	case base == units.PhaseConsistent || sv.phase&units.Demoted != 0:
		return "its server is a standby"
	case base == units.PhaseStarted && ends && w.OnServerCrash == units.ServerCrashCrash:
		return "its server begins anew" // by a stop or crash that was not seen, which would have ended it
	}
	return ""
}

// onPhase brings every worker of a server to what the phase wants of it.
func (t *table) onPhase(ev phase) {
	sv, p := t.server(ev.server), ev.phase
	if !p.Up() {
		p &^= units.SmartStop
	}
	if sv.phase == p {
		return
	}
	was := *sv
	sv.phase = p
	if was.phase.Up() {
		sv.lost = t.now
	}
	if p.Base() != units.PhaseUnknown && sv.smart() != (!sv.smartSince.IsZero()) {
		if sv.over, sv.smartSince = false, (time.Time{}); sv.smart() {
			sv.smartSince = t.now
		}
		sv.forgetClients()
	}
	if !p.Up() {
		sv.forgetClients()
	}
	t.followAll(sv, &was)
}

func (t *table) onClients(ev clients) {
	if ev.server != "" {
		t.server(ev.server).clients = max(ev.n, unknownClients)
	}
}

// vacated reports whether nobody but us is left on sv, or may be taken to be
// since the wait began at since.
func (t *table) vacated(sv *server, since time.Time) bool {
	if sv.clients != unknownClients {
		return sv.clients == 0
	}
	at, ok := t.graceEnd(since)
	return ok && !at.After(t.now)
}

// graceEnd returns when a wait that began at since ends at the latest, where
// clients cannot be counted.
func (t *table) graceEnd(since time.Time) (time.Time, bool) {
	g := t.settings.SmartStopGrace
	return since.Add(g), g < units.Infinity
}

// holdsUp reports whether sv may still have clients that a Smart shutdown of
// ours waits for.
func (t *table) holdsUp(sv *server) bool {
	return sv.members > 0 && sv.phase.Base() != units.PhaseDown && !sv.over && !t.vacated(sv, t.smartSince)
}

// smartProgress ends what waits for clients, when they are gone.
func (t *table) smartProgress() {
	for _, sv := range t.servers {
		if sv.smart() && !sv.over && t.vacated(sv, sv.smartSince) {
			was := *sv
			sv.over, sv.lost = true, t.now
			t.followAll(sv, &was)
		}
	}
	if t.mode != Smart {
		return
	}
	for _, sv := range t.servers {
		if t.holdsUp(sv) {
			return
		}
	}
	t.onShutdown(Fast)
}

// smartNext returns when smartProgress has something to do at the latest.
func (t *table) smartNext() (next time.Time, ok bool) {
	earlier := func(since time.Time) {
		if at, limited := t.graceEnd(since); limited && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	counted := false
	for _, sv := range t.servers {
		if sv.smart() && !sv.over && sv.clients == unknownClients {
			earlier(sv.smartSince)
		}
		counted = counted || sv.clients > 0 && t.holdsUp(sv)
	}
	if t.mode == Smart && !counted {
		earlier(t.smartSince)
	}
	return next, ok
}

// park keeps e until fewer of its server's workers are Starting.
func (t *table) park(e *entry) {
	heap.Push(&e.server.parked, e)
	e.parked = true
}

// unpark lets go what is parked and has room now, and reports whether it has
// found anything.
func (t *table) unpark() (found bool) {
	for _, sv := range t.servers {
		for room := maxStarting - sv.starting; room > 0 && len(sv.parked) > 0; room-- {
			e := heap.Pop(&sv.parked).(*entry)
			e.parked = false
			heap.Push(&t.ready, e)
			found = true
		}
	}
	return found
}

// roomy reports whether unpark would find something.
func (t *table) roomy() bool {
	for _, sv := range t.servers {
		if len(sv.parked) > 0 && sv.starting < maxStarting {
			return true
		}
	}
	return false
}
