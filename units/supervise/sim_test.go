package supervise

import (
	"fmt"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// A sim stands around a table and holds it to its promises: it sees events and
// effects only, never the table's own fields (check does that).
type sim struct {
	table     *table
	now       time.Time
	phases    map[string]units.Phase
	procs     map[units.Run]*simProc // not gone yet
	slots     map[uint32]units.Run   // the live process of each slot
	last      map[units.Handle]Info  // of registrations that have not ended
	ever      map[units.Handle]bool
	crashing  map[string]bool
	forgotten map[chan Info]bool
	waits     []wait
	shutdown  bool
	outage    map[units.Run]bool // ended for their server's sake, and nothing else has been asked of them
	past      []event            // started and exited: to be said again
}

type simProc struct {
	run       units.Run
	worker    *units.Worker
	answered  bool // its start
	exitEarly bool
	signals   []units.Signal
	kills     int
	limiting  int // limitEffects without an answer
}

func newSim(s Settings) *sim {
	return &sim{
		table: newTable(7, 1, s), now: epoch0, phases: map[string]units.Phase{}, procs: map[units.Run]*simProc{},
		slots: map[uint32]units.Run{}, last: map[units.Handle]Info{}, ever: map[units.Handle]bool{},
		crashing: map[string]bool{}, forgotten: map[chan Info]bool{}, outage: map[units.Run]bool{},
	}
}

func (s *sim) step(ev event) error {
	switch ev := ev.(type) {
	case phase:
		s.phases[ev.server] = ev.phase
	case request:
		delete(s.outage, s.slots[ev.handle.Slot])
	case reload, ownerGone:
		clear(s.outage)
	case wait:
		s.waits = append(s.waits, ev)
	case forget:
		s.forgotten[ev.reply] = true
	case shutdown:
		s.shutdown = s.shutdown || ev.mode >= Fast
	}
	starts := 0
	for _, e := range s.table.step(s.now, ev) {
		var err error
		switch e := e.(type) {
		case startEffect:
			starts++
			err = s.onStart(e.start)
		case signalEffect:
			err = s.onSignal(e)
		case killEffect:
			err = s.onKill(e)
		case limitEffect:
			err = s.onLimit(e)
		case publishEffect:
			err = s.onChange(*e.change)
		case reply[Info]:
			if len(e.to) > 0 || s.forgotten[e.to] {
				err = fmt.Errorf("a wait of %v is answered twice or after it was taken back", e.value.Handle)
			} else {
				e.send()
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", showEffect(e), err)
		}
	}
	if starts > maxStartsPerPass {
		return fmt.Errorf("%d starts in one step (BGW-076)", starts)
	}
	if at, ok := s.table.next(); ok && !at.After(s.now) && starts < maxStartsPerPass {
		return fmt.Errorf("the loop would spin: a tick is due at %v", at)
	}
	return s.table.check()
}

func (s *sim) onStart(st Start) error {
	i, registered := s.last[st.Run.Handle]
	w := st.Worker
	switch {
	case !registered:
		return fmt.Errorf("it is not registered")
	case s.shutdown:
		return fmt.Errorf("shutting down (BGW-088)")
	case !s.phases[w.Server].Permits(w.StartTime):
		return fmt.Errorf("phase %v (BGW-077 to BGW-083)", s.phases[w.Server])
	case w.Connects() && s.phases[w.Server].Up() && s.phases[w.Server]&units.SmartStop != 0:
		return fmt.Errorf("its server takes no sessions")
	case s.crashing[w.Segment] && w.Attach != units.AttachNever:
		return fmt.Errorf("segment %s is crashing (BGW-072)", w.Segment)
	case s.now.Before(i.NextStart):
		return fmt.Errorf("before %v (BGW-053)", i.NextStart)
	case i.State == units.Held:
		return fmt.Errorf("it is held")
	case st.Run.Start != i.Start+1:
		return fmt.Errorf("start number after %d", i.Start)
	}
	if r, busy := s.slots[st.Run.Slot]; busy {
		return fmt.Errorf("%v is still there", r)
	}
	s.slots[st.Run.Slot] = st.Run
	s.procs[st.Run] = &simProc{run: st.Run, worker: w}
	return nil
}

func (s *sim) onSignal(e signalEffect) error {
	p := s.procs[e.run]
	switch {
	case p == nil || !p.answered:
		return fmt.Errorf("there is no such process")
	case !e.group:
		return nil
	case p.kills > 0:
		return fmt.Errorf("it was killed before")
	}
	for _, old := range p.signals {
		if old == e.signal || old == units.SIGQUIT {
			return fmt.Errorf("it got %v before (BGW-037, BGW-067)", old)
		}
	}
	p.signals = append(p.signals, e.signal)
	return nil
}

func (s *sim) onKill(e killEffect) error {
	p := s.procs[e.run]
	if p == nil {
		return nil // a start was answered twice: only the script of a fuzzer does it
	}
	if p.kills++; p.kills > 1 || len(p.signals) == 0 {
		return fmt.Errorf("%d kills after signals %v (BGW-066)", p.kills, p.signals)
	}
	return nil
}

func (s *sim) onLimit(e limitEffect) error {
	p := s.procs[e.run]
	if p == nil || !p.answered || len(p.signals)+p.kills > 0 {
		return fmt.Errorf("there is no such process, or it was asked to end")
	}
	if p.limiting++; p.limiting > 1 {
		return fmt.Errorf("twice at a time")
	}
	return nil
}

// onChange holds that every change begins where the one before ended, that a
// registration begins and ends once, and that owners are told exactly when
// they must be (BGW-044 to BGW-048).
func (s *sim) onChange(c Change) error {
	h := c.Info.Handle
	switch c.Kind {
	case Crashed:
		if s.crashing[c.Segment] {
			return fmt.Errorf("a second round (BGW-067)")
		}
		s.crashing[c.Segment] = true
		return nil
	case Renewed:
		s.crashing[c.Segment] = false
		return nil
	case Retired:
		if s.table.defined(c.Segment) {
			return fmt.Errorf("segment %s is defined", c.Segment)
		}
		s.crashing[c.Segment] = false
		return nil
	case Skipped:
		return nil
	case Registered:
		if s.ever[h] {
			return fmt.Errorf("this handle was there before (BGW-026)")
		}
		s.ever[h] = true
	default:
		if before, ok := s.last[h]; !ok || before != c.Before {
			return fmt.Errorf("before it was\n%+v, not\n%+v", before, c.Before)
		}
	}
	if err := s.onOutage(c); err != nil {
		return err
	}
	if c.Kind == Exited || c.Kind == StartFailed && s.slots[h.Slot].Handle == h {
		delete(s.procs, s.slots[h.Slot])
		delete(s.slots, h.Slot)
	}
	want := Owner{}
	if c.Kind == Started || c.Kind == StartFailed || c.Kind == Exited || c.Kind == Unregistered && c.Before.State != units.Ended {
		want = c.Before.Owner
	}
	if c.Notify != want {
		return fmt.Errorf("notifies %+v, not %+v", c.Notify, want)
	}
	s.last[h] = c.Info
	if c.Kind == Unregistered {
		delete(s.last, h)
		if c.Info.State != units.Ended {
			return fmt.Errorf("it is %v", c.Info.State)
		}
		if r, ok := s.slots[h.Slot]; ok {
			return fmt.Errorf("its process %v is still there", r)
		}
	}
	return nil
}

// outages are the reasons for which a server's phase ends workers.
var outages = map[string]bool{
	"its server is down": true, "its server crashed": true, "its server is a standby": true,
	"its server begins anew": true, "its server is shutting down": true,
}

// onOutage holds that whoever is ended for its server's sake comes back: not
// as a failure, not after its restart time, not never.
func (s *sim) onOutage(c Change) error {
	r := units.Run{Handle: c.Info.Handle, Start: c.Info.Start}
	if c.Info.State == units.Stopping && c.Before.State != units.Stopping && outages[c.Info.Reason] && !c.Info.Worker.StopWithOwner {
		s.outage[r] = true
	}
	if c.Kind != Exited || !s.outage[r] {
		return nil
	}
	delete(s.outage, r)
	late := c.Info.NextStart.Sub(s.now) > s.table.settings.StartSplay
	if (c.Info.State != units.Waiting || !c.Info.NextStart.IsZero() && late) && s.table.mode < Fast {
		return fmt.Errorf("an outage counts as its end or failure: %v until %v", c.Info.State, c.Info.NextStart)
	}
	return nil
}

// started answers the start of p; exited ends it, before the answer too.
func (s *sim) started(p *simProc, err error) error {
	ev := started{run: p.run, err: err}
	if err == nil {
		ev.proc = fakeProcess(p.run.Start + 100)
	}
	p.answered = true
	s.past = append(s.past, ev)
	return s.step(ev)
}

// limited answers what is asked for p's limits.
func (s *sim) limited(p *simProc, err error) error {
	p.limiting--
	return s.step(limited{p.run, err})
}

func (s *sim) exited(p *simProc, x units.Exit) error {
	x.At = s.now
	p.exitEarly = !p.answered
	ev := exited{p.run, x}
	s.past = append(s.past, ev)
	return s.step(ev)
}

// finish shuts down and holds that then nothing and nobody is left.
func (s *sim) finish() error {
	if err := s.step(shutdown{Immediate}); err != nil {
		return err
	}
	for len(s.procs) > 0 {
		for _, p := range s.procs {
			if !p.answered {
				if err := s.started(p, nil); err != nil {
					return err
				}
			}
			if s.procs[p.run] == nil { // it had exited early
				continue
			}
			if err := s.exited(p, units.Exit{Code: 2}); err != nil {
				return err
			}
		}
	}
	switch {
	case !s.table.stopped() || len(s.last) > 0:
		return fmt.Errorf("after the shutdown:\n%s", s.table.dump(s.now))
	case len(s.table.waits) > 0 || len(s.table.segments) > 0 && s.anyFresh():
		return fmt.Errorf("%d waits are left", len(s.table.waits))
	}
	for _, w := range s.waits {
		if len(w.reply) == 0 && !s.forgotten[w.reply] {
			return fmt.Errorf("a wait of %v was never answered (BGW-089)", w.handle)
		}
	}
	return nil
}

func (s *sim) anyFresh() bool {
	for _, g := range s.table.segments {
		if g.members > 0 || g.attached > 0 {
			return true
		}
	}
	return false
}
