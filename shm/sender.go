package shm

import (
	"context"
	"encoding/binary"
	"fmt"
)

// FlushMode says when a message can be seen by the receiver.
type FlushMode int

const (
	// NoFlush leaves the message unseen until more than a quarter of the ring
	// is, the ring is full, Flush is called or asked for, or the sender
	// detaches (BGW-152).
	NoFlush FlushMode = iota
	// Flush shows it, and all before it, at once.
	Flush
)

// Sender is the sending end of a queue. One goroutine at a time may use it, but
// for Expect.
type Sender struct {
	end
	cursor
	seen    uint64 // of the bytes before the cursor, what the receiver can see
	freed   uint64 // of these, what it gave back when last looked at
	done    uint64 // bytes of an unfinished frame that are written, a multiple of 8
	pending int    // its message's length
}

// AttachSender makes this process the queue's sender (shm_mq_set_sender and
// shm_mq_attach). ErrTaken (wrapped) if it has or had one.
func (q *Queue) AttachSender() (*Sender, error) {
	s := &Sender{end: end{Queue: q, theirs: q.receiver, myFlag: queueSenderWaits, theirFlag: queueReceiverWaits}}
	if err := s.attach(q.sender, s); err != nil {
		return nil, fmt.Errorf("cannot send to queue: %w", err)
	}
	// Nobody has sent, so that nothing but damage is not 0 here.
	s.seen = q.written.Load() &^ 7
	s.freed = s.seen
	s.cursor = newCursor(s.seen, len(q.data))
	return s, nil
}

// Send sends one message (shm_mq_sendv): all parts, one after the other, at
// most MaxMessage bytes (ErrMessageSize, BGW-153), possibly none (BGW-143).
// While the ring is full it waits; a message that is larger than the ring goes
// through in pieces (BGW-144). It need not wait for a receiver to attach if the
// message fits.
//
// ErrDetached if the receiver has detached or ended, or will never attach
// (BGW-149, BGW-150); ErrSupervisorDied; ErrDamaged (wrapped). After ctx's
// error the message is sent in part: repeat the same call, or detach; another
// length is refused with ErrUnfinished. Nothing keeps parts. A message that
// fits costs no system call and no allocation, unless the receiver sleeps.
func (s *Sender) Send(ctx context.Context, mode FlushMode, parts ...[]byte) error {
	if len(parts) != 1 {
		return s.send(ctx, mode, parts)
	}
	// The short way, for a message that needs nothing but a copy: up to the
	// limit, and to a receiver that is there. All of it is here, since what is
	// stored for calls takes room among the stores that wait for cache lines of
	// the receiver: as much as half of the speed.
	message, next := parts[0], s.at+lengthWord+(len(parts[0])+7)&^7
	if next > s.limit || s.state.Load()&queueDetached != 0 {
		return s.send(ctx, mode, parts)
	}
	ring := s.data[s.at:next]
	s.at = next
	binary.LittleEndian.PutUint64(ring, uint64(len(message)))
	if len(message) > shortMessage {
		return s.finish(mode, ring[lengthWord:], message)
	}
	ring = ring[lengthWord:]
	for len(message) >= 16 && len(ring) >= 16 {
		*(*[16]byte)(ring) = *(*[16]byte)(message)
		ring, message = ring[16:], message[16:]
	}
	if len(message) >= 8 && len(ring) >= 8 {
		*(*[8]byte)(ring) = *(*[8]byte)(message)
		ring, message = ring[8:], message[8:]
	}
	if len(message) > 0 {
		word := uint64(0)
		for i, b := range message {
			word |= uint64(b) << (8 * i)
		}
		binary.LittleEndian.PutUint64(ring, word)
	}
	if mode == Flush {
		s.publish()
	}
	return nil
}

// shortMessage is up to how many bytes are copied without a call.
const shortMessage = 128

// finish copies what is longer.
func (s *Sender) finish(mode FlushMode, ring, message []byte) error {
	copy(ring, message)
	if mode == Flush {
		s.publish()
	}
	return nil
}

// TrySend is Send that never sleeps: ErrWouldBlock where it would have to
// (BGW-146). Repeat the same call then, with the same bytes: the own latch is
// set when there is room, or nobody left to read.
func (s *Sender) TrySend(mode FlushMode, parts ...[]byte) error {
	return s.Send(nowait, mode, parts...)
}

// send sends; with nowait it does not sleep.
func (s *Sender) send(ctx context.Context, mode FlushMode, parts [][]byte) error {
	frame, err := s.begin(parts)
	if err != nil {
		return err
	}
	s.limit = 0 // until the message is whole
	for {
		s.move(0, len(s.data))
		// What the receiver sees is whole multiples of 8: the ring, its free
		// space and a frame are.
		n := min(frame-s.done, s.room(frame-s.done), uint64(len(s.data)-s.at))
		if n > 0 {
			s.put(parts, n)
		}
		if s.broken != nil {
			return s.broken
		}
		if s.done == frame {
			break
		}
		if n == 0 {
			if err := s.full(ctx); err != nil {
				return err
			}
		}
	}
	s.done = 0
	if mode == Flush || s.total()-s.seen > uint64(len(s.data))/4 {
		s.publish()
	}
	s.extend(uint64(len(s.data))-(s.total()-s.freed), s.total()-s.seen, len(s.data))
	return nil
}

// begin returns the length of the frame that is to be sent, or gone on with.
func (s *Sender) begin(parts [][]byte) (frame uint64, err error) {
	n := 0
	for _, p := range parts {
		if n += len(p); n > MaxMessage {
			return 0, fmt.Errorf("cannot send message: %w, %d bytes are the most", ErrMessageSize, MaxMessage)
		}
	}
	switch {
	case s.broken != nil:
		return 0, s.broken
	case s.state.Load()&queueDetached != 0:
		return 0, ErrDetached
	case s.done != 0 && n != s.pending:
		return 0, fmt.Errorf("cannot send message of %d bytes: %w, of %d bytes", n, ErrUnfinished, s.pending)
	}
	s.pending = n
	return lengthWord + pad(uint64(n)), nil
}

func pad(n uint64) uint64 { return (n + 7) &^ 7 }

// room is how many bytes are free, looking afresh only if fewer than want were.
func (s *Sender) room(want uint64) uint64 {
	size, total := uint64(len(s.data)), s.total()
	if free := size - (total - s.freed); free >= want {
		return free
	}
	freed := s.read.Load()
	if freed-s.freed > total-s.freed || freed%8 != 0 {
		s.fail("%d bytes were read of %d written", freed, total)
		return 0
	}
	s.freed = freed
	return size - (total - freed)
}

// put writes the next n bytes of the frame, which do not wrap.
func (s *Sender) put(parts [][]byte, n uint64) {
	ring := s.data[s.at : s.at+int(n)]
	skip := int(s.done) - lengthWord
	if skip < 0 {
		binary.LittleEndian.PutUint64(ring, uint64(s.pending))
		ring, skip = ring[lengthWord:], 0
	}
	for _, p := range parts {
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		ring = ring[copy(ring, p[skip:]):]
		skip = 0
	}
	s.done += n
	s.move(int(n), len(s.data))
}

// publish shows the receiver all that was written.
func (s *Sender) publish() {
	if total := s.total(); s.seen != total {
		s.seen = total
		s.written.Store(total)
		s.wake()
	}
}

// full returns when there may be room.
func (s *Sender) full(ctx context.Context) error {
	s.publish()
	if ctx == nowait {
		if err := s.tried(s.ready()); err != nil {
			return err
		}
	} else if !s.spin() {
		if err := s.sleep(ctx); err != nil {
			return err
		}
	}
	if s.state.Load()&queueDetached != 0 {
		return ErrDetached
	}
	return nil
}

// spin looks for room for a while.
func (s *Sender) spin() bool {
	for range s.patience.looks(s.party.spins) {
		if s.read.Load() != s.freed || s.state.Load()&queueDetached != 0 {
			s.patience.found()
			return true
		}
		pause()
	}
	s.patience.foundNothing()
	return false
}

// ready raises the flag, and then reports whether there may be room.
func (s *Sender) ready() bool {
	return s.armEnd() || !s.greeting && s.read.Load() != s.freed
}

func (s *Sender) arm() (done bool, err error) { return s.ready(), nil }

// Flush shows the receiver all messages that were sent.
func (s *Sender) Flush() error {
	if s.state.Load()&queueDetached != 0 {
		return ErrDetached
	}
	s.publish()
	return nil
}

// Detach shows the receiver what was sent and ends the queue (shm_mq_detach):
// the receiver gets all whole messages and then ErrDetached (BGW-148). Again it
// does nothing.
func (s *Sender) Detach() {
	if s.state.Load()&queueDetached == 0 {
		s.publish()
	}
	s.party.remove(&s.end)
	s.markDetached()
}
