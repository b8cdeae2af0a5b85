package supervise

import (
	"math/bits"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// MaxSlots bounds max_worker_processes: the slot table that workers map has
// this many entries.
const MaxSlots = 16384

// slotSet says which slots are in use, one bit each.
type slotSet [MaxSlots / 64]uint64

func (s *slotSet) add(slot int)    { s[slot/64] |= 1 << (slot % 64) }
func (s *slotSet) remove(slot int) { s[slot/64] &^= 1 << (slot % 64) }

// lowestFree returns the lowest slot below limit that is not in s, or -1.
func (s *slotSet) lowestFree(limit int) int {
	for i := 0; i*64 < limit; i++ {
		if s[i] != ^uint64(0) {
			if slot := i*64 + bits.TrailingZeros64(^s[i]); slot < limit {
				return slot
			}
			return -1
		}
	}
	return -1
}

// find returns the entry of h, or nil when h is stale: the one place where
// late events are dropped.
func (t *table) find(h units.Handle) *entry {
	if int64(h.Slot) < int64(len(t.slots)) {
		if e := t.slots[h.Slot]; e != nil && e.handle == h {
			return e
		}
	}
	return nil
}

// findRun is find for an event of one process: nil also when that process is
// gone.
func (t *table) findRun(r units.Run) *entry {
	if e := t.find(r.Handle); e != nil && e.start == r.Start && live(e.state) {
		return e
	}
	return nil
}

// take puts w into the lowest free slot (BGW-025), with a generation one
// higher than that slot ever had (BGW-026).
func (t *table) take(w *units.Worker, dynamic bool, o Owner) (*entry, error) {
	if t.mode >= Fast {
		return nil, ErrShuttingDown
	}
	if w.Flags&units.ClassParallel != 0 && t.parallel >= t.settings.MaxParallelWorkers { // BGW-118
		return nil, ErrParallelLimit
	}
	if o.Kind == WorkerOwner && t.findRun(o.Run) == nil {
		if w.StopWithOwner {
			return nil, ErrOwnerGone
		}
		o = Owner{UID: o.UID} // nobody is told (BGW-047, BGW-048)
	}
	slot := t.freeSlot()
	if slot < 0 {
		return nil, ErrNoFreeSlot
	}
	t.generations[slot]++
	t.seq++
	e := &entry{
		handle: units.Handle{Slot: uint32(slot), Generation: t.generations[slot]},
		seq:    t.seq, worker: w, dynamic: dynamic, owner: o, since: t.now, di: -1, ri: -1,
	}
	t.slots[slot] = e
	t.inUse.add(slot)
	t.used++
	if o.Kind == WorkerOwner {
		t.findRun(o.Run).sponsor = true
	}
	t.join(e)
	return e, nil
}

// freeSlot returns the lowest free slot below the limit, or -1. A reload may
// have brought the limit below what is in use.
func (t *table) freeSlot() int {
	limit := min(t.settings.MaxWorkerProcesses, MaxSlots)
	if t.used >= limit {
		return -1
	}
	slot := t.inUse.lowestFree(limit)
	for slot >= len(t.slots) {
		t.slots = append(t.slots, nil)
		t.generations = append(t.generations, uint64(t.epoch)<<32)
	}
	return slot
}

// release frees e's slot and keeps what is known of it readable: of a
// definition's last registration as long as the definition stands, of others
// for a while. The change is published by unregister.
func (t *table) release(e *entry) {
	t.slots[e.handle.Slot] = nil
	t.inUse.remove(int(e.handle.Slot))
	t.used--
	t.unready(e)
	t.leave(e)
	if s := t.labels[e.worker.Label]; s != nil && s.entry == e {
		s.entry = nil
		t.ended.pinned[e.handle] = t.info(e)
	} else {
		t.ended.add(t.info(e))
	}
	e.owner = Owner{UID: e.owner.UID}
}

// join counts e where its worker is counted; leave is its inverse.
func (t *table) join(e *entry) {
	t.segment(e.worker.Segment).members++
	e.server = t.server(e.worker.Server)
	e.server.members++
	e.barred = e.server.bars(e.worker)
	if e.worker.Flags&units.ClassParallel != 0 {
		t.parallel++
	}
}

func (t *table) leave(e *entry) {
	if e.worker.Flags&units.ClassParallel != 0 {
		t.parallel--
	}
	e.server.members--
	s := t.segment(e.worker.Segment)
	s.members--
	switch {
	case s.members > 0:
	case !t.defined(e.worker.Segment):
		t.retiring = append(t.retiring, e.worker.Segment)
	case s.fresh():
		delete(t.segments, e.worker.Segment)
	}
}

// set changes e's state; every change of state goes through it. A deadline
// belongs to one state.
func (t *table) set(e *entry, s units.State, reason string) {
	wasLive, isLive := live(e.state), live(s)
	if isLive && !wasLive {
		t.live++
	} else if wasLive && !isLive {
		t.live--
	}
	if e.state != s {
		e.since, e.due, e.doomed = t.now, time.Time{}, false
		t.setDeadline(e, time.Time{})
		t.countStarting(e, s == units.Starting)
	}
	e.state, e.reason = s, reason
}

func (t *table) countStarting(e *entry, on bool) {
	if e.counted != nil {
		e.counted.starting--
		e.counted = nil
		t.starting--
	}
	if on {
		e.counted = e.server
		e.server.starting++
		t.starting++
	}
}

// live reports whether a process may exist in state s.
func live(s units.State) bool {
	return s == units.Starting || s == units.Running || s == units.Stopping
}
