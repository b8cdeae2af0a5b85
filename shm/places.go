package shm

import (
	"errors"
	"fmt"
)

// What locks and condition variables have in common: a header of 32 bytes with a
// magic number and how many places there are, of 16 bytes each, at which processes
// are woken.
const (
	placesHeader = 32
	placeSize    = 16

	maxPlaces = 1 << 10 // bounds what a scan costs
)

// placesSize is the bytes of one with n places.
func placesSize(n int) int { return placesHeader + placeSize*n }

// placesMemory is data as memory, and how many places it has room for.
func placesMemory(data []byte) (m memory, places int, err error) {
	if err := checkMemory(data, placesSize(1)); err != nil {
		return nil, 0, err
	}
	return memory(data), min(maxPlaces, (len(data)-placesHeader)/placeSize), nil
}

// checkMemory says why something that has so many bytes at least cannot lie in
// data.
func checkMemory(data []byte, least int) error {
	switch {
	case len(data) < least:
		return fmt.Errorf("it has %d bytes, %d are the least", len(data), least)
	case !aligned(data, 8):
		return errors.New("its memory does not begin at a multiple of 8")
	}
	return nil
}

// clearPlaces makes all of a new one but for its magic number, which its maker
// writes last.
func (m memory) clearPlaces(places int) {
	m.word64(0).Store(0)
	for at := 8; at < placesSize(places); at += 8 {
		m.word64(uint64(at)).Store(0)
	}
	m.word32(8).Store(uint32(places))
}

// checkPlaces refuses what is none that was made of just this memory.
func (m memory) checkPlaces(magic uint64, places int, what string) error {
	begins, have, features := m.word64(0).Load(), m.word32(8).Load(), m.word32(12).Load()
	switch {
	case begins != magic:
		return damaged("no %s is here: it begins with %#x", what, begins)
	case have != uint32(places):
		return damaged("the %s has %d places, %d bytes of memory have %d", what, have, len(m), places)
	case features != 0:
		return damaged("the %s has features %#x that are not known here", what, features)
	}
	return nil
}

// as makes or opens something in shared memory, as this process.
func as[T any](w *Worker, doing string, f func(*party) (*T, error)) (*T, error) {
	p, err := w.asParty()
	if err == nil {
		var t *T
		if t, err = f(p); err == nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("cannot %s: %w", doing, err)
}
