package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"time"

	"github.com/pg-bgw/pg-bgw/shm"
)

// sizes are the queues of a stress, in bytes: areas are never freed, so each has
// a few for ever.
var sizes = []int{64, 104, 1024, 4096, 16 << 10, 64 << 10, 256 << 10}

const (
	mostMembers = 4
	oneRing     = 60 * time.Second // what takes longer hangs
)

// errCorrupt says that a message came back changed, twice, or out of turn.
var errCorrupt = errors.New("corrupt")

// stress runs rings of random shape until ctx ends. A member that was killed
// ends its ring, and a new one begins; a message that is not as it was sent, and
// a ring that stands still, end the stress.
func stress(ctx context.Context, w *shm.Worker, programs []string) error {
	if err := w.Attach(ctx); err != nil {
		return err
	}
	messages, broken := 0, 0
	for i := 1; ctx.Err() == nil; i++ {
		n, err := stressRing(ctx, w, programs)
		messages += n
		switch {
		case errors.Is(err, shm.ErrDetached):
			broken++
		case errors.Is(err, errCorrupt), errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("after %d messages: %w", messages, err)
		case err != nil:
			return err
		}
		fmt.Printf("stress: %d rings, %d of them broken, %d messages\n", i, broken, messages)
	}
	return ctx.Err()
}

// stressRing is one ring; the number of messages that came back.
func stressRing(ctx context.Context, w *shm.Worker, programs []string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, oneRing)
	defer cancel()
	class, members := rand.IntN(len(sizes)), 1+rand.IntN(mostMembers)
	mixed := make([]string, members)
	for i := range mixed {
		mixed[i] = programs[rand.IntN(len(programs))]
	}
	r, err := newRing(ctx, w, class, sizes[class], members, mixed)
	defer r.end(ctx)
	if err != nil {
		return 0, err
	}
	f := flow{ring: r, most: min(4*sizes[class], 300_000), total: 20 + rand.IntN(500)}
	// A ring that is small for its messages takes many turns for each.
	f.total = min(f.total, 10+2000*max(8, sizes[class]-384)/f.most)
	return f.run(ctx)
}

// end sees that nobody is left in the ring, whose memory is used again.
func (r *ring) end(ctx context.Context) {
	r.close()
	for _, h := range r.members {
		_, _ = r.w.WaitShutdown(ctx, h)
	}
}

// A flow sends messages with numbers and checksums around a ring.
type flow struct {
	*ring
	most           int // bytes of a message
	total          int // messages
	sent, received int
	pending        []byte // the message that is sent in part
}

// message is number, bytes that differ from message to message, and a checksum of
// both; its length is random.
func (f *flow) message() []byte {
	b := make([]byte, 8+rand.IntN(f.most))
	binary.LittleEndian.PutUint32(b, uint32(f.sent))
	for i := 4; i < len(b)-4; i++ {
		b[i] = byte(i * (f.sent + 1))
	}
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
	return b
}

func (f *flow) check(b []byte) error {
	switch {
	case len(b) < 8 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]):
		return fmt.Errorf("%w: message %d, of %d bytes, has a wrong checksum", errCorrupt, f.received, len(b))
	case binary.LittleEndian.Uint32(b) != uint32(f.received):
		return fmt.Errorf("%w: message %d came in place of %d", errCorrupt, binary.LittleEndian.Uint32(b), f.received)
	}
	f.received++
	return nil
}

// run keeps as many messages under way as fit, and sleeps when nothing goes.
func (f *flow) run(ctx context.Context) (int, error) {
	for f.received < f.total {
		f.w.Latch().Reset()
		moved, err := f.send()
		if err != nil {
			return f.received, err
		}
		b, err := f.receiver.TryReceive()
		switch {
		case err == nil:
			if err := f.check(b); err != nil {
				return f.received, err
			}
			continue
		case !errors.Is(err, shm.ErrWouldBlock):
			return f.received, err
		case moved:
			continue
		}
		event, err := f.w.Latch().Wait(ctx, time.Second) // who dies sets no latch
		if err == nil && event == shm.SupervisorDied {
			err = shm.ErrSupervisorDied
		}
		if err != nil {
			return f.received, err
		}
	}
	return f.received, f.finish(ctx)
}

// send reports whether a message was sent.
func (f *flow) send() (bool, error) {
	if f.sent == f.total {
		return false, nil
	}
	if f.pending == nil {
		f.pending = f.message()
	}
	err := f.sender.TrySend(shm.FlushMode(rand.IntN(2)), f.pending)
	switch {
	case errors.Is(err, shm.ErrWouldBlock):
		return false, nil
	case err != nil:
		return false, err
	}
	f.sent, f.pending = f.sent+1, nil
	if f.sent == f.total {
		return true, f.sender.Flush()
	}
	return true, nil
}
