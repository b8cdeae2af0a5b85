package daemon

import (
	"fmt"
	"sync"

	"github.com/pg-bgw/pg-bgw/shm"
	"golang.org/x/sys/unix"
)

// segments holds the memory that workers share: one memfd for each segment in
// its newest incarnation, and one eventfd for the latch of each slot that was
// ever used. Memory is made when the first worker needs it.
type segments struct {
	mu      sync.Mutex
	sizes   map[string]int64 // of the configuration
	current map[string]incarnation
	latches []int // by slot; 0: not made yet
}

type incarnation struct {
	number uint64 // the supervisor's count
	memory *shm.Segment
}

func newSegments() *segments {
	return &segments{sizes: map[string]int64{}, current: map[string]incarnation{}}
}

// configure sets the sizes that segments have when they are made next.
func (s *segments) configure(sizes map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = sizes
}

// known reports whether the administrator has defined a segment of that name.
func (s *segments) known(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sizes[name]
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
	size := s.sizes[name]
	if size == 0 {
		size = shm.DefaultSize
	}
	memory, err := shm.Create(name, size)
	if err != nil {
		return nil, err
	}
	if have.memory != nil {
		have.memory.Close() // its memory lives as long as a worker has it
	}
	s.current[name] = incarnation{number, memory}
	return memory, nil
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
