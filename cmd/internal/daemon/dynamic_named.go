package daemon

import (
	"fmt"
	"slices"
	"time"
)

// namedDynamic is a dynamic segment with a name (GetNamedDSMSegment): one
// process makes and fills it, all others wait for that (BGW-139). If it fails,
// or ends, the next one of those begins anew with fresh memory.
type namedDynamic struct {
	key     dynamicName
	size    uint64
	dynamic *dynamic // nil while it is being made
	filler  *holder  // nil once it is filled
	waiters []*fillWaiter
	dropped bool // its segment was renewed
}

// fillWaiter is a process that waits. answer is called once, on a goroutine of
// its own.
type fillWaiter struct {
	holder *holder
	answer namedAnswer
	timer  *time.Timer
}

type namedAnswer func(d *dynamic, found bool, err error)

func (w *fillWaiter) done(d *dynamic, found bool, err error) {
	w.timer.Stop()
	go w.answer(d, found, err)
}

// claim finds or makes the segment of a name; answer is called once, on another
// goroutine, with found false for who has to fill it.
func (s *dynamics) claim(h *holder, name string, size uint64, answer namedAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := dynamicName{h.domain, name}
	e := s.named[key]
	switch {
	case h.gone:
		go answer(nil, false, errOutside)
	case e == nil:
		e = &namedDynamic{key: key, size: size, filler: h}
		s.named[key] = e
		go s.makeNamed(e, h, answer)
	case e.size != size:
		go answer(nil, false, fmt.Errorf("%q has %d bytes, not %d: %w", name, e.size, size, errDynamicSize))
	case e.filler == nil:
		err := s.give(h, e.dynamic)
		go answer(e.dynamic, true, err)
	default:
		w := &fillWaiter{holder: h, answer: answer}
		w.timer = time.AfterFunc(waitForFill, func() { s.expire(e, w) })
		e.waiters = append(e.waiters, w)
	}
}

// makeNamed makes the memory for its filler.
func (s *dynamics) makeNamed(e *namedDynamic, h *holder, answer namedAnswer) {
	d, err := s.create(h, e.size)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && (e.dropped || s.all[d.handle] != d) {
		err = errOutside // it has left, or its segment was renewed
	}
	if err != nil {
		s.failed(e)
		go answer(nil, false, err)
		return
	}
	d.name, e.dynamic = e.key.name, d
	go answer(d, false, nil)
}

// filledBy is the name that h is filling d for, or nil.
func (s *dynamics) filledBy(h *holder, d *dynamic) *namedDynamic {
	e := s.named[dynamicName{d.domain, d.name}]
	if d.name == "" || e == nil || e.dynamic != d || e.filler != h {
		return nil
	}
	return e
}

// failed gives the name to the next one who waits, or up. s.mu is held.
func (s *dynamics) failed(e *namedDynamic) {
	if d := e.dynamic; d != nil {
		e.dynamic = nil // so that the name stays
		d.pinned = false
		s.remove(d)
	}
	if e.dropped || len(e.waiters) == 0 {
		if s.named[e.key] == e {
			delete(s.named, e.key)
		}
		return
	}
	next := e.waiters[0]
	e.waiters = e.waiters[1:]
	e.filler = next.holder
	next.timer.Stop()
	go s.makeNamed(e, next.holder, next.answer)
}

// filled ends the filling of a segment by h: all who wait get it, if it is done.
func (s *dynamics) filled(h *holder, handle uint32, done bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(h, handle)
	if err != nil {
		return err
	}
	e := s.filledBy(h, d)
	if e == nil {
		return fmt.Errorf("%w: %d is not one that it fills", errNotMapped, handle)
	}
	if !done {
		s.take(h, d)
		return nil
	}
	e.filler, d.pinned = nil, true
	for _, w := range e.waiters {
		w.done(d, true, s.give(w.holder, d))
	}
	e.waiters = nil
	return nil
}

// expire ends one wait with errFilling.
func (s *dynamics) expire(e *namedDynamic, w *fillWaiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(e.waiters, w); i >= 0 {
		e.waiters = slices.Delete(e.waiters, i, i+1)
		w.done(nil, false, errFilling)
	}
}

// stopWaiting ends the waits of h. s.mu is held.
func (s *dynamics) stopWaiting(h *holder, err error) {
	for _, e := range s.named {
		e.waiters = slices.DeleteFunc(e.waiters, func(w *fillWaiter) bool {
			if w.holder == h {
				w.done(nil, false, err)
			}
			return w.holder == h
		})
	}
}
