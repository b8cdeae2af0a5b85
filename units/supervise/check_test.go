package supervise

import (
	"fmt"
	"slices"

	"github.com/pg-bgw/pg-bgw/units"
)

// check recounts everything that the table counts, and says what differs.
func (t *table) check() error {
	used, live_, parallel := 0, 0, 0
	attached, members := map[string]int{}, map[string]int{}
	for slot, e := range t.slots {
		if got := t.inUse[slot/64]>>(slot%64)&1 == 1; got != (e != nil) {
			return fmt.Errorf("slot %d: in use says %v", slot, got)
		}
		if e == nil {
			continue
		}
		used++
		members[e.worker.Segment]++
		if e.worker.Flags&units.ClassParallel != 0 {
			parallel++
		}
		if live(e.state) {
			live_++
		}
		if e.attached {
			attached[e.worker.Segment]++
		}
		if err := t.checkEntry(e); err != nil {
			return fmt.Errorf("%v %v: %w", e.handle, e.state, err)
		}
	}
	if used != t.used || live_ != t.live || parallel != t.parallel {
		return fmt.Errorf("used %d live %d parallel %d, recounted %d %d %d", t.used, t.live, t.parallel, used, live_, parallel)
	}
	for name, s := range t.segments {
		if s.attached != attached[name] || s.members != members[name] {
			return fmt.Errorf("segment %s: attached %d members %d, recounted %d %d", name, s.attached, s.members, attached[name], members[name])
		}
		if off := slices.Contains(t.putOff, name); off != !s.renewAt.IsZero() && t.mode < Fast || off && (!s.crashing || !t.now.Before(s.renewAt)) {
			return fmt.Errorf("segment %s: put off until %v: %v", name, s.renewAt, off)
		}
		if s.crashing && s.attached == 0 && s.renewAt.IsZero() && t.mode < Fast {
			return fmt.Errorf("segment %s: crashing and nobody is attached", name)
		}
		if s.crashing && s.members == 0 && !t.defined(name) {
			return fmt.Errorf("segment %s is crashing and retired", name)
		}
		if s.members == 0 && s.fresh() {
			return fmt.Errorf("segment %s is kept for nobody", name)
		}
	}
	if len(t.ended.infos) > endedMax || len(t.ended.order) > endedMax || len(t.ended.pinned) > len(t.labels) {
		return fmt.Errorf("%d ended handles, %d in order, %d pinned", len(t.ended.infos), len(t.ended.order), len(t.ended.pinned))
	}
	for h, i := range t.ended.infos {
		if i.Owner.Kind == WorkerOwner && t.findRun(i.Owner.Run) == nil {
			return fmt.Errorf("ended %v has the dead owner %v", h, i.Owner.Run)
		}
	}
	return t.checkIndexes()
}

func (t *table) checkEntry(e *entry) error {
	hasProcess := e.state == units.Running || e.state == units.Stopping
	switch {
	case e.state == units.Ended:
		return fmt.Errorf("ended in a slot")
	case hasProcess != (e.proc != nil) || hasProcess != (e.pid != 0):
		return fmt.Errorf("process %v pid %d", e.proc, e.pid)
	case e.attached && !live(e.state), e.spoke && !e.attached, e.sponsor && !live(e.state), e.ready && !live(e.state):
		return fmt.Errorf("attached %v spoke %v sponsor %v ready %v", e.attached, e.spoke, e.sponsor, e.ready)
	case e.early != nil && e.state != units.Starting:
		return fmt.Errorf("early exit kept")
	case e.next != nil && e.goal == goalRun:
		return fmt.Errorf("a definition waits that nobody will adopt")
	case e.goal == goalEnd && !live(e.state):
		return fmt.Errorf("it should have ended")
	case e.state == units.Running && t.mode < Fast && t.shouldGo(e):
		return fmt.Errorf("its server, in phase %v, is not for it", e.server.phase)
	case e.state == units.Running && (e.goal != goalRun || t.mode >= Fast || e.attached && t.segments[e.worker.Segment].crashing):
		return fmt.Errorf("goal %d: it was not asked to end", e.goal)
	case (e.asked != askedNot && e.proc != nil) != (e.state == units.Stopping):
		return fmt.Errorf("asked %d", e.asked)
	case e.state == units.Stopping && e.asked != killed && e.deadline.IsZero() && (e.asked == askedQuit || e.worker.KillTimeout != units.Infinity):
		return fmt.Errorf("nothing will kill it")
	case !e.deadline.IsZero() && e.state != units.Waiting && e.state != units.Restarting && e.state != units.Stopping:
		return fmt.Errorf("has a deadline")
	case e.doomed && (e.state != units.Restarting || !e.worker.Never()), (e.counted != nil) != (e.state == units.Starting):
		return fmt.Errorf("doomed %v counted %v", e.doomed, e.counted != nil)
	case e.goal == goalWait && e.why == "" && live(e.state):
		return fmt.Errorf("it waits for no reason")
	case (e.di >= 0) != !e.deadline.IsZero():
		return fmt.Errorf("deadline %v at index %d", e.deadline, e.di)
	case t.startable(e) && e.ri < 0:
		return fmt.Errorf("may start and is not in the queue")
	case t.mode >= Fast && !live(e.state):
		return fmt.Errorf("outlives a shutdown")
	case e.owner.Kind == WorkerOwner && (t.findRun(e.owner.Run) == nil || !t.findRun(e.owner.Run).sponsor):
		return fmt.Errorf("dead owner %v", e.owner.Run)
	}
	return nil
}

// shouldGo is the rule of what a server's phase ends, once more.
func (t *table) shouldGo(e *entry) bool {
	w, p := e.worker, e.server.phase
	stops, crashes := w.OnServerStop == units.ServerStopTerminate, w.OnServerCrash == units.ServerCrashCrash
	primary := w.StartTime == units.RecoveryFinished && w.StopOnDemotion == units.DemotionStop
	switch p.Base() {
	case units.PhaseDown:
		return stops || primary && p&units.Demoted != 0
	case units.PhaseCrashed:
		return crashes || primary && p&units.Demoted != 0
	case units.PhaseStarted:
		return primary && (stops && crashes || p&units.Demoted != 0) || e.server.over && (stops || w.Connects())
	case units.PhaseConsistent:
		return primary || e.server.over && (stops || w.Connects())
	case units.PhaseRunning:
		return e.server.over && (stops || w.Connects())
	}
	return false
}

// checkServers recounts what servers count.
func (t *table) checkServers() error {
	for _, sv := range t.servers {
		members, starting := 0, 0
		for _, e := range t.slots {
			if e != nil && e.server == sv {
				members++
				if e.barred != sv.bars(e.worker) && t.mode < Fast {
					return fmt.Errorf("%v: barred %v", e.handle, e.barred)
				}
			}
			if e != nil && e.counted == sv {
				starting++
			}
		}
		switch {
		case members != sv.members || starting != sv.starting:
			return fmt.Errorf("server %q: %d members %d starting, recounted %d %d", sv.name, sv.members, sv.starting, members, starting)
		case sv.name != "" && starting > maxStarting:
			return fmt.Errorf("server %q: %d are starting", sv.name, starting)
		case sv.over && !sv.smart() && sv.phase.Base() != units.PhaseUnknown:
			return fmt.Errorf("server %q: over without a smart stop", sv.name)
		case sv.smart() && !sv.over && sv.clients == 0:
			return fmt.Errorf("server %q: nothing holds its smart stop up", sv.name)
		}
		for i, e := range sv.parked {
			if e.ri != i || !e.parked || e.server != sv || t.find(e.handle) != e {
				return fmt.Errorf("server %q: parked at %d", sv.name, i)
			}
		}
	}
	return nil
}

func (t *table) checkIndexes() error {
	if err := t.checkServers(); err != nil {
		return err
	}
	for i, e := range t.ready {
		if e.ri != i || e.parked || t.find(e.handle) != e {
			return fmt.Errorf("ready queue at %d", i)
		}
	}
	for i, e := range t.deadlines {
		if e.di != i || t.find(e.handle) != e || i > 0 && e.deadline.Before(t.deadlines[(i-1)/2].deadline) {
			return fmt.Errorf("deadlines at %d", i)
		}
	}
	for h, ws := range t.waits {
		i, _ := t.lookup(h)
		for _, w := range ws {
			if w.want.holds(&i) {
				return fmt.Errorf("a wait of %v for %d should have been answered", h, w.want)
			}
		}
	}
	for label, s := range t.labels {
		if e := s.entry; e != nil && (t.find(e.handle) != e || e.worker.Label != label || e.removed || s.last != e.handle || s.skipped) {
			return fmt.Errorf("definition %s of %v", label, e.handle)
		}
	}
	return nil
}
