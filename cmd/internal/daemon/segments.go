package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/units/config"
	"golang.org/x/sys/unix"
)

// segments holds the memory that workers share: one memfd for each segment in
// its newest incarnation, and one eventfd for the latch of each slot that was
// ever used. Memory is made when the first worker needs it.
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
}

func newSegments() *segments {
	return &segments{current: map[string]incarnation{}, numbers: map[string]int{}}
}

// configure sets what segments are like when they are made next.
func (s *segments) configure(all []config.Segment) {
	shapes := map[string]config.Segment{}
	for _, c := range all {
		shapes[c.Name] = c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shapes = shapes
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
	memory, err := s.create(name)
	if err != nil {
		return nil, err
	}
	if have.memory != nil {
		have.memory.Close() // its memory lives as long as a worker has it
	}
	s.current[name] = incarnation{number, memory}
	return memory, nil
}

// create makes the memory as the configuration says.
func (s *segments) create(name string) (*shm.Segment, error) {
	shape, ok := s.shapes[name]
	if !ok {
		shape.Size = shm.DefaultSize
	}
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

// number tells segments apart, for as long as the daemon lives.
func (s *segments) number(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.numbers[name]
	if !ok {
		n = len(s.numbers)
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
