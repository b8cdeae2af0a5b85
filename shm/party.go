package shm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// A party word names one process in shared memory: in bits 0 to 15 its slot
// plus 1, in 16 to 39 the low bits of its generation, in 40 to 63 those of its
// start number (0: not known). 0 is nobody. The numbers grow by one at a time
// in the life of a segment, so that 24 bits of them are compared as serial
// numbers.
func partyWord(b *BackgroundWorker) uint64 {
	return uint64(b.Handle.Slot+1) | b.Handle.Generation&serialMask<<16 | b.Start&serialMask<<40
}

const serialMask = 1<<24 - 1

func partySlot(word uint64) uint32 { return uint32(word&0xffff) - 1 }

// newer reports whether a comes after b, of which both are the low 24 bits.
func newer(a, b uint64) bool { return int32(uint32(a-b)<<8) > 0 }

// party is this process as one of those that wait for each other in shared
// memory.
type party struct {
	word  uint64
	latch *Latch
	spins int // looks before a sleep; each about 40 ns

	dead    func(word uint64) bool                                // the process of a party word has ended
	stopped func(Handle) bool                                     // the registration's process will not come
	ask     func(ctx context.Context, slot uint32) (*bell, error) // the supervisor, for a latch

	mu    sync.Mutex
	bells map[uint32]*bell   // by slot: they are kept over restarts
	holds map[holding]memory // where it lies
	over  bool               // nothing can be attached any more
}

// holding is what a process has in shared memory that must not outlive it.
type holding interface {
	// abandon gives it up, in the place of its user; any goroutine calls it.
	abandon()
}

// spins is about half the cost of a wake-up between two CPUs.
const spins = 500

func newParty(word uint64, l *Latch) *party {
	p := &party{word: word, latch: l, bells: map[uint32]*bell{}, holds: map[holding]memory{}}
	if runtime.NumCPU() > 1 {
		p.spins = spins
	}
	return p
}

// askTimeout bounds the wait for a supervisor that does not answer.
const askTimeout = 5 * time.Second

// bell returns what wakes the process in a slot.
func (p *party) bell(slot uint32) (*bell, error) {
	if slot == partySlot(p.word) {
		return p.latch.bell, nil
	}
	if slot >= MaxSlots {
		return nil, damaged("slot %d", slot)
	}
	p.mu.Lock()
	b, over := p.bells[slot], p.over
	p.mu.Unlock()
	switch {
	case b != nil:
		return b, nil
	case over:
		return nil, ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	b, err := p.ask(ctx, slot)
	if err != nil {
		return nil, err
	}
	return p.keep(slot, b)
}

// keep keeps the latch of a slot, unless there is one by now.
func (p *party) keep(slot uint32, b *bell) (*bell, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.bells[slot]
	switch {
	case have != nil:
		b.close()
		return have, nil
	case p.over:
		b.close()
		return nil, ErrClosed
	}
	p.bells[slot] = b
	return b, nil
}

// ring wakes the process of a party word. One that cannot be reached finds out
// by itself, on its next patrol.
func (p *party) ring(word uint64) {
	if word == 0 {
		return
	}
	if b, err := p.bell(partySlot(word)); err == nil {
		_ = b.wake()
	}
}

func (p *party) add(h holding, m memory) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return ErrNotAttached
	}
	p.holds[h] = m
	return nil
}

func (p *party) remove(h holding) {
	p.mu.Lock()
	delete(p.holds, h)
	p.mu.Unlock()
}

// endAll gives up all that is held. Its users find out when they next look.
func (p *party) endAll() {
	p.mu.Lock()
	holds := p.holds
	p.holds = map[holding]memory{}
	p.mu.Unlock()
	for h := range holds {
		h.abandon()
	}
}

// endWithin gives up what is held in m, calls away, which takes m away and leaves
// zeros in its place, and does the same to the zeros for who still looks there.
func (p *party) endWithin(m memory, away func()) {
	var lost []holding
	p.mu.Lock()
	for h, at := range p.holds {
		if m.contains(at) {
			lost = append(lost, h)
			delete(p.holds, h)
		}
	}
	p.mu.Unlock()
	for _, h := range lost {
		h.abandon()
	}
	away()
	for _, h := range lost {
		h.abandon()
	}
}

// close gives the latches of others up.
func (p *party) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, b := range p.bells {
		b.close()
	}
	clear(p.bells)
}

// dead reports whether the slot table knows that the process of a party word
// has ended. A table that has not caught up with it says no.
func (s *Slots) dead(word uint64) bool {
	var w slotEntry
	slot := partySlot(word)
	if slot >= s.Used() || !s.tryCopy(slotOffset(slot), w.words()) {
		return false
	}
	generation, start := word>>16&serialMask, word>>40
	switch {
	case w.generation&serialMask != generation:
		return newer(w.generation&serialMask, generation)
	case start != 0 && w.start&serialMask != start:
		return newer(w.start&serialMask, start)
	}
	return !hasProcess(State(w.state))
}

// stopped reports whether a registration has no process, and is not about to
// get its first or its next one: WaitForBackgroundWorkerStartup would not wait
// for it.
func (s *Slots) stopped(h Handle) bool {
	var w slotEntry
	if h.Slot >= s.Used() || !s.tryCopy(slotOffset(h.Slot), w.words()) {
		return false
	}
	if w.generation != h.Generation {
		return w.generation > h.Generation
	}
	return Status(w.status) == StatusStopped && !hasProcess(State(w.state))
}

func hasProcess(s State) bool {
	return s == StateStarting || s == StateRunning || s == StateStopping
}

// newWorkerParty is the party of a worker that is attached.
func newWorkerParty(w *Worker) (*party, error) {
	slots, err := w.Slots()
	if err != nil {
		return nil, err
	}
	if w.client == nil {
		return nil, errNoControl
	}
	p := newParty(partyWord(&w.self), w.latch)
	p.dead, p.stopped = slots.dead, slots.stopped
	p.ask = func(ctx context.Context, slot uint32) (*bell, error) {
		l, err := w.PeerLatch(ctx, slot)
		if err != nil {
			return nil, err
		}
		return l.bell, nil
	}
	return p, nil
}

// asParty is the party of this process while it is attached, made when it is
// first asked for.
func (w *Worker) asParty() (*party, error) {
	if w.inside() == nil {
		return nil, ErrNotAttached
	}
	w.partyMu.Lock()
	defer w.partyMu.Unlock()
	if w.party == nil {
		p, err := newWorkerParty(w)
		if err != nil {
			return nil, fmt.Errorf("cannot wait for others: %w", err)
		}
		w.party = p
	}
	return w.party, nil
}

// hollow gives up what this process holds in m, and m.
func (w *Worker) hollow(m memory) {
	w.partyMu.Lock()
	p := w.party
	w.partyMu.Unlock()
	if p == nil {
		m.hollow()
		return
	}
	p.endWithin(m, m.hollow)
}

// endParty gives up what this process holds in shared memory; closed
// also gives up what it holds for it.
func (w *Worker) endParty(closed bool) {
	w.partyMu.Lock()
	p := w.party
	w.partyMu.Unlock()
	if p == nil {
		return
	}
	p.endAll()
	if closed {
		p.close()
	}
}
