package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/pg-bgw/pg-bgw/shm"
)

// A testCase is a call of test_shm_mq or test_shm_mq_pipelined.
type testCase struct {
	queue     int // bytes of a queue, header included
	message   []byte
	loops     int
	members   int
	pipelined bool
}

// cases are those of PostgreSQL's test_shm_mq.
func cases() []testCase {
	long := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('a' + i*7%26 + i/4096%3)
		}
		return b
	}
	return []testCase{
		{queue: 1024, message: nil, loops: 2000, members: 1},
		{queue: 1024, message: []byte("a"), loops: 2001, members: 1},
		{queue: 32768, message: long(200), loops: 10000, members: 1},
		{queue: 100, message: long(200), loops: 10000, members: 1},
		{queue: 16384, message: long(270000), loops: 200, members: 3, pipelined: true},
	}
}

func (c testCase) String() string {
	how := "one by one"
	if c.pipelined {
		how = "pipelined"
	}
	return fmt.Sprintf("%d times %d bytes through queues of %d bytes, %d members, %s", c.loops, len(c.message), c.queue, c.members, how)
}

func (c testCase) run(ctx context.Context, w *shm.Worker, number int, programs []string) error {
	r, err := newRing(ctx, w, number, c.queue, c.members, programs)
	defer r.close()
	if err != nil {
		return err
	}
	if c.pipelined {
		err = c.flood(ctx, r)
	} else {
		err = c.roundTrips(ctx, r)
	}
	if err != nil {
		return err
	}
	return r.finish(ctx)
}

// roundTrips sends a message around the ring, and what came back again.
func (c testCase) roundTrips(ctx context.Context, r *ring) error {
	message := c.message
	for i := range c.loops {
		if err := r.sender.Send(ctx, shm.Flush, message); err != nil {
			return fmt.Errorf("cannot send message %d: %w", i, err)
		}
		got, err := r.receiver.Receive(ctx)
		if err != nil {
			return fmt.Errorf("cannot receive message %d: %w", i, err)
		}
		if !bytes.Equal(got, c.message) {
			return fmt.Errorf("message %d came back changed, %d bytes", i, len(got))
		}
		message = append(message[:0:0], got...)
	}
	return nil
}

// flood sends as long as there is room, receives as long as something is there,
// and sleeps when there is neither.
func (c testCase) flood(ctx context.Context, r *ring) error {
	for sent, received := 0, 0; received < c.loops; {
		r.w.Latch().Reset()
		moved, err := c.sendOne(r, &sent)
		if err != nil {
			return fmt.Errorf("cannot send message %d: %w", sent, err)
		}
		got, err := r.receiver.TryReceive()
		switch {
		case err == nil && !bytes.Equal(got, c.message):
			return fmt.Errorf("message %d came back changed, %d bytes", received, len(got))
		case err == nil:
			received++
			continue
		case !errors.Is(err, shm.ErrWouldBlock):
			return fmt.Errorf("cannot receive message %d: %w", received, err)
		case moved:
			continue
		}
		if event, err := r.w.Latch().Wait(ctx, -1); err != nil || event == shm.SupervisorDied {
			return fmt.Errorf("cannot wait for message %d: %v %w", received, event, err)
		}
	}
	return nil
}

// sendOne reports whether a message was sent.
func (c testCase) sendOne(r *ring, sent *int) (bool, error) {
	if *sent == c.loops {
		return false, nil
	}
	err := r.sender.TrySend(shm.Flush, c.message)
	switch {
	case errors.Is(err, shm.ErrWouldBlock):
		return false, nil
	case err != nil:
		return false, err
	}
	*sent++
	return true, nil
}
