package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/units/config"
	"golang.org/x/sys/unix"
)

// segments holds the memory that workers share: one memfd for each segment in
// its newest incarnation, and one eventfd for the latch of each slot that was
// ever used. Memory is made when the first worker needs it, as the configuration
// of that moment says, and stays so until it is made anew.
type segments struct {
	mu      sync.Mutex
	log     *slog.Logger
	shapes  map[string]config.Segment // of the configuration
	current map[string]incarnation
	latches []int // by slot; 0: not made yet
	numbers map[string]int
}

type incarnation struct {
	number uint64 // the supervisor's count
	memory *shm.Segment
	shape  config.Segment // as it was asked for
}

func newSegments() *segments {
	return &segments{current: map[string]incarnation{}, numbers: map[string]int{}}
}

// configure sets what segments are like when they are made next, and says which
// of those there are differ from that.
func (s *segments) configure(all []config.Segment) {
	shapes := map[string]config.Segment{}
	for _, c := range all {
		shapes[c.Name] = c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shapes = shapes
	for _, name := range slices.Sorted(maps.Keys(s.current)) {
		have := s.current[name].shape
		if want, ok := shapes[name]; ok && want != have {
			s.log.Log(context.Background(), journal.LevelNotice,
				"a segment stays as it is until it is made anew: by a crash of its workers, by a restart of pg-bgw, or when it was removed and nothing used it any more",
				"segment", name, "size", have.Size, "huge_pages", have.HugePages.String(),
				"new_size", want.Size, "new_huge_pages", want.HugePages.String())
		}
	}
}

// known reports whether the administrator has defined a segment of that name.
func (s *segments) known(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.shapes[name]
	return ok
}

// get returns the memory of one incarnation, making it when it is newer than
// what there is. The descriptor is valid until a newer one is asked for.
func (s *segments) get(name string, number uint64) (*shm.Segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.current[name]
	switch {
	case have.memory != nil && have.number == number:
		return have.memory, nil
	case have.number > number:
		return nil, fmt.Errorf("segment %q was renewed meanwhile", name)
	}
	shape, ok := s.shapes[name]
	if !ok { // it is not defined any more
		shape = have.shape
	}
	if shape.Size == 0 { // nor was it ever made
		shape.Size = shm.DefaultSize
	}
	memory, err := s.create(name, shape)
	if err != nil {
		return nil, err
	}
	if have.memory != nil {
		have.memory.Close() // its memory lives as long as a worker has it
	}
	s.current[name] = incarnation{number, memory, shape}
	return memory, nil
}

// retire gives up what there is of a segment before that incarnation, which
// nothing uses any more, and reports whether there was anything.
func (s *segments) retire(name string, number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.current[name]
	if have.memory == nil || have.number >= number {
		return false
	}
	have.memory.Close()
	delete(s.current, name)
	delete(s.numbers, name)
	return true
}

// create makes memory of that shape.
func (s *segments) create(name string, shape config.Segment) (*shm.Segment, error) {
	size := int64(shape.Size)
	if shape.HugePages == config.HugePagesOff {
		return shm.Create(name, size)
	}
	memory, err := shm.CreateHuge(name, size)
	if err == nil || shape.HugePages == config.HugePagesOn {
		return memory, err
	}
	s.log.Log(context.Background(), journal.LevelNotice, "a segment has no huge pages", "segment", name, "error", err)
	return shm.Create(name, size)
}

// number tells segments apart, for as long as there are any.
func (s *segments) number(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.numbers[name]
	if !ok {
		taken := slices.Collect(maps.Values(s.numbers))
		for slices.Contains(taken, n) {
			n++
		}
		s.numbers[name] = n
	}
	return n
}

// latch returns the eventfd of a slot's latch, which is kept over restarts and
// registrations.
func (s *segments) latch(slot uint32) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for int(slot) >= len(s.latches) {
		s.latches = append(s.latches, 0)
	}
	if s.latches[slot] == 0 {
		fd, err := shm.NewLatchEvent()
		if err != nil {
			return -1, fmt.Errorf("cannot make the latch of slot %d: %w", slot, err)
		}
		s.latches[slot] = fd
	}
	return s.latches[slot], nil
}

// wake sets the latch of a slot, if it was ever made.
func (s *segments) wake(slot uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(slot) < len(s.latches) && s.latches[slot] != 0 {
		one := [8]byte{1}
		_, _ = unix.Write(s.latches[slot], one[:]) // EAGAIN: it is set beyond doubt
	}
}

func (s *segments) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.current {
		c.memory.Close()
	}
	for _, fd := range s.latches {
		if fd != 0 {
			unix.Close(fd)
		}
	}
	s.current, s.latches = map[string]incarnation{}, nil
}
