package daemon

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// dynamics holds the dynamic segments: which there are, and which processes
// have them. It reads none of their memory. A dynamic segment belongs to the
// incarnation of the segment whose workers use it, and is known there alone; it
// goes when that is renewed, or when it is not pinned and no process has it.
type dynamics struct {
	making sync.Mutex // one is allocated at a time, without mu

	mu      sync.Mutex
	limits  dynamicLimits
	all     map[uint32]*dynamic
	named   map[dynamicName]*namedDynamic
	users   map[uint32]dynamicCharge
	holders map[units.Run]*holder
	newest  map[string]uint64 // incarnation of each segment that was renewed
}

// dynamicLimits are of the configuration; what exceeds new ones stays.
type dynamicLimits struct {
	perWorker int    // that one process may have
	perUser   int    // of all workers that one user has registered
	bytes     uint64 // of the same together
}

type dynamicCharge struct {
	count int
	bytes uint64
}

// domain is an incarnation of a segment.
type domain struct {
	segment     string
	incarnation uint64
}

type dynamicName struct {
	domain domain
	name   string
}

// dynamic is one dynamic segment.
type dynamic struct {
	handle uint32
	domain domain
	uid    uint32 // who is charged
	size   uint64 // bytes that were asked for
	name   string // "": none
	file   *os.File
	pinned bool
	mapped map[*holder]struct{}
}

// holder is a process that has asked for a dynamic segment.
type holder struct {
	run    units.Run
	uid    uint32
	domain domain
	has    map[*dynamic]struct{}
	coming int  // segments that are being made for it
	gone   bool // it has detached, or ended
}

var (
	errNoDynamic   = errors.New("there is no such dynamic segment")
	errNotMapped   = errors.New("this process does not have the dynamic segment")
	errMapped      = errors.New("this process has the dynamic segment already")
	errPinned      = errors.New("the dynamic segment is pinned already")
	errNotPinned   = errors.New("the dynamic segment is not pinned")
	errOutside     = errors.New("attach to the segment first")
	errDynamics    = errors.New("limit on dynamic segments")
	errDynamicSize = errors.New("the dynamic segment has another size")
	errFilling     = errors.New("the dynamic segment is still being filled")
)

func newDynamics() *dynamics {
	return &dynamics{
		all: map[uint32]*dynamic{}, named: map[dynamicName]*namedDynamic{}, users: map[uint32]dynamicCharge{},
		holders: map[units.Run]*holder{}, newest: map[string]uint64{},
	}
}

func (s *dynamics) configure(l dynamicLimits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

// holder returns the holder of a process, the same one until release.
func (s *dynamics) holder(r units.Run, uid uint32, d domain) *holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holders[r]
	if h == nil {
		h = &holder{run: r, uid: uid, domain: d, has: map[*dynamic]struct{}{}}
		s.holders[r] = h
	}
	return h
}

// create makes one of size bytes, which h has from then on. It takes as long as
// the allocation.
func (s *dynamics) create(h *holder, size uint64) (*dynamic, error) {
	if err := s.reserve(h, size); err != nil {
		return nil, err
	}
	s.making.Lock()
	f, err := shm.CreateDynamicMemory(size)
	s.making.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	h.coming--
	switch {
	case err != nil:
	case h.gone:
		err = errOutside
	case h.domain.incarnation < s.newest[h.domain.segment]:
		err = supervise.ErrSegmentRenewed
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		s.uncharge(h.uid, size)
		return nil, err
	}
	d := &dynamic{handle: s.freeHandle(), domain: h.domain, uid: h.uid, size: size, file: f, mapped: map[*holder]struct{}{h: {}}}
	s.all[d.handle], h.has[d] = d, struct{}{}
	return d, nil
}

// reserve charges a segment that is to be made.
func (s *dynamics) reserve(h *holder, size uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[h.uid]
	switch {
	case size == 0 || size > shm.MaxDynamicSize:
		return fmt.Errorf("a dynamic segment of %d bytes: 1 to %d are possible", size, int64(shm.MaxDynamicSize))
	case u.count >= s.limits.perUser:
		return fmt.Errorf("%w: max_dynamic_segments is %d", errDynamics, s.limits.perUser)
	case size > s.limits.bytes || u.bytes > s.limits.bytes-size:
		return fmt.Errorf("%w: %d bytes and %d more are above dynamic_memory_max, %d", errDynamics, u.bytes, size, s.limits.bytes)
	}
	if err := s.checkHolder(h); err != nil {
		return err
	}
	h.coming++
	s.users[h.uid] = dynamicCharge{u.count + 1, u.bytes + size}
	return nil
}

// checkHolder says whether a process may have one more. s.mu is held.
func (s *dynamics) checkHolder(h *holder) error {
	if h.gone {
		return errOutside
	}
	if len(h.has)+h.coming >= s.limits.perWorker {
		return fmt.Errorf("%w: max_dynamic_segments_per_worker is %d", errDynamics, s.limits.perWorker)
	}
	return nil
}

func (s *dynamics) uncharge(uid uint32, size uint64) {
	u := s.users[uid]
	if u.count--; u.count <= 0 {
		delete(s.users, uid)
		return
	}
	u.bytes -= size
	s.users[uid] = u
}

// freeHandle is a handle as PostgreSQL's: random, even and not 0.
func (s *dynamics) freeHandle() uint32 {
	for {
		if n := rand.Uint32() &^ 1; n != 0 && s.all[n] == nil {
			return n
		}
	}
}

// find returns a segment that h may know of.
func (s *dynamics) find(h *holder, handle uint32) (*dynamic, error) {
	d := s.all[handle]
	if d == nil || d.domain != h.domain {
		return nil, fmt.Errorf("%w: %d", errNoDynamic, handle)
	}
	return d, nil
}

// attach gives h a segment that others have (BGW-136, BGW-137).
func (s *dynamics) attach(h *holder, handle uint32) (*dynamic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(h, handle)
	if err != nil {
		return nil, err
	}
	if _, has := h.has[d]; has {
		return nil, errMapped
	}
	return d, s.give(h, d)
}

func (s *dynamics) give(h *holder, d *dynamic) error {
	if _, has := h.has[d]; has {
		return nil
	}
	if err := s.checkHolder(h); err != nil {
		return err
	}
	d.mapped[h], h.has[d] = struct{}{}, struct{}{}
	return nil
}

// detach takes a segment from h.
func (s *dynamics) detach(h *holder, handle uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(h, handle)
	if err != nil {
		return err
	}
	if _, has := h.has[d]; !has {
		return errNotMapped
	}
	s.take(h, d)
	return nil
}

func (s *dynamics) take(h *holder, d *dynamic) {
	delete(h.has, d)
	delete(d.mapped, h)
	if e := s.filledBy(h, d); e != nil {
		s.failed(e)
		return
	}
	s.drop(d)
}

// drop removes a segment that nobody has and nothing pins (BGW-135).
func (s *dynamics) drop(d *dynamic) {
	if len(d.mapped) == 0 && !d.pinned {
		s.remove(d)
	}
}

func (s *dynamics) remove(d *dynamic) {
	if s.all[d.handle] != d {
		return
	}
	delete(s.all, d.handle)
	for h := range d.mapped {
		delete(h.has, d)
	}
	if e := s.named[dynamicName{d.domain, d.name}]; e != nil && e.dynamic == d {
		delete(s.named, dynamicName{d.domain, d.name})
	}
	s.uncharge(d.uid, d.size)
	go d.file.Close() // to free much memory takes a while
}

// pin keeps a segment that nobody has; unpin ends that. Who pins need not have
// it to unpin it.
func (s *dynamics) pin(h *holder, handle uint32, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(h, handle)
	switch {
	case err != nil:
		return err
	case on && d.pinned:
		return errPinned
	case !on && !d.pinned:
		return errNotPinned
	}
	if _, has := h.has[d]; on && !has {
		return errNotMapped
	}
	d.pinned = on
	s.drop(d)
	return nil
}

// release takes everything from a process that has detached or ended; unknown
// ones are ignored.
func (s *dynamics) release(r units.Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holders[r]
	if h == nil {
		return
	}
	delete(s.holders, r)
	h.gone = true
	s.stopWaiting(h, errOutside)
	for d := range h.has {
		s.take(h, d)
	}
}

// renewed drops what belongs to earlier incarnations of a segment.
func (s *dynamics) renewed(segment string, incarnation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest[segment] = max(s.newest[segment], incarnation)
	old := func(d domain) bool { return d.segment == segment && d.incarnation < incarnation }
	for _, h := range s.holders {
		if old(h.domain) {
			s.stopWaiting(h, supervise.ErrSegmentRenewed)
		}
	}
	for key, e := range s.named {
		if old(key.domain) {
			e.dropped = true
			delete(s.named, key)
		}
	}
	for _, d := range s.all {
		if old(d.domain) {
			s.remove(d)
		}
	}
}

func (s *dynamics) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.all {
		s.remove(d)
	}
}

// dynamicInfo is a dynamic segment as it is shown.
type dynamicInfo struct {
	Handle  uint32
	Segment string
	Size    uint64
	Name    string // "": none
	Pinned  bool
	UID     uint32 // who is charged
	Mapped  []units.Run
}

// list returns all, in no order.
func (s *dynamics) list() []dynamicInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make([]dynamicInfo, 0, len(s.all))
	for _, d := range s.all {
		i := dynamicInfo{Handle: d.handle, Segment: d.domain.segment, Size: d.size, Name: d.name, Pinned: d.pinned, UID: d.uid}
		for h := range d.mapped {
			i.Mapped = append(i.Mapped, h.run)
		}
		infos = append(infos, i)
	}
	return infos
}

// inspect calls f with a dynamic segment's descriptor, which stays open
// meanwhile.
func (s *dynamics) inspect(handle uint32, f func(fd int, size uint64)) error {
	s.mu.Lock()
	d := s.all[handle]
	s.mu.Unlock()
	if d == nil {
		return fmt.Errorf("%w: %d", errNoDynamic, handle)
	}
	return d.control(func(fd int) { f(fd, d.size) })
}

// control calls f with the descriptor; errNoDynamic if it was removed.
func (d *dynamic) control(f func(fd int)) error {
	raw, err := d.file.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		return fmt.Errorf("%w any more: %d", errNoDynamic, d.handle)
	}
	return nil
}

// waitForFill is how long one waits for a segment that another process fills.
const waitForFill = 20 * time.Second
