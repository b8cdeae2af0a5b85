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

	// Short messages that need not be seen yet wait in stage, for one copy of
	// many: the bytes before the cursor, staged of them. Each store to a cache
	// line that the receiver has read takes it from there, and many at once take
	// a fraction of the time of as many with something else in between.
	stage  []byte
	staged int

	copying  copying
	unfenced bool // some of it was streamed since the last publish
	skew     int  // bytes of the ring up to the first whole cache line
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
	if len(q.data) >= stageRing {
		s.stage = make([]byte, stageSize)
		if streams() {
			s.copying = newCopying(len(q.data), cycles)
		}
		for !aligned(q.data[s.skew:], cacheLine) {
			s.skew += 8
		}
	}
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
	// limit, and to a receiver that is there. It does what the general way does,
	// at a small part of its cost.
	message, frame := parts[0], lengthWord+(len(parts[0])+7)&^7
	if frame > s.limit-s.at || s.detached() {
		return s.send(ctx, mode, parts)
	}
	if len(message) > shortMessage || mode == Flush && s.staged == 0 || len(s.stage) == 0 {
		s.unstage()
		s.putWhole(mode, message)
	} else {
		if frame > len(s.stage)-s.staged {
			s.unstage()
		}
		putFrame(s.stage[s.staged:s.staged+frame], message)
		s.staged += frame
	}
	s.at += frame
	if mode == Flush {
		s.publish()
	}
	return nil
}

const (
	shortMessage = 128     // bytes of a message that is staged, at most
	stageSize    = 4 << 10 // bytes that are copied at once: they stay in the first cache
	stageRing    = 8 << 10 // bytes of the smallest ring that is worth it

	cacheLine  = 64
	streamSeen = 4 << 10 // bytes of a copy that is streamed though it is to be seen at once, at least
	streamMore = 1 << 10 // the same, where more comes before it is
)

// putWhole writes a message to the ring.
func (s *Sender) putWhole(mode FlushMode, message []byte) {
	if len(message) < streamMore {
		putFrame(s.data[s.at:], message)
		return
	}
	binary.LittleEndian.PutUint64(s.data[s.at:], uint64(len(message)))
	s.copyIn(s.at+lengthWord, message, mode != Flush)
}

// copyIn copies to a place of the ring, from where it does not wrap; more says
// that it need not be seen at once. What is long enough may be streamed: then the
// receiver's copies of what was there need not be fetched or waited for.
func (s *Sender) copyIn(at int, from []byte, more bool) {
	if s.copying.clock == nil || len(from) < streamMore || !more && len(from) < streamSeen {
		copy(s.data[at:at+len(from)], from)
		return
	}
	begun := s.copying.begin()
	if s.copying.stream {
		s.streamIn(at, from)
	} else {
		copy(s.data[at:at+len(from)], from)
	}
	s.copying.end(begun)
	s.copying.copied(len(from))
}

// streamIn is copyIn past the caches, as far as it is whole lines.
func (s *Sender) streamIn(at int, from []byte) {
	to := s.data[at : at+len(from)]
	head := (s.skew - at) & (cacheLine - 1)
	lines := (len(from) - head) &^ (cacheLine - 1)
	copy(to[:head], from)
	streamLines(&to[head], &from[head], lines)
	copy(to[head+lines:], from[head+lines:])
	s.unfenced = true
}

// putFrame writes a message and its length. The shortest one is worth more than
// the call that a copy is.
func putFrame(to, message []byte) {
	binary.LittleEndian.PutUint64(to, uint64(len(message)))
	if to = to[lengthWord:]; len(message) == 8 && len(to) >= 8 {
		*(*[8]byte)(to) = *(*[8]byte)(message)
	} else {
		copy(to, message)
	}
}

// unstage writes to the ring what was staged.
func (s *Sender) unstage() {
	if s.staged > 0 {
		s.copyIn(s.at-s.staged, s.stage[:s.staged], true)
		s.staged = 0
	}
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
	s.unstage()
	s.limit = 0 // until the message is whole
	for {
		s.move(0, len(s.data))
		// What the receiver sees is whole multiples of 8: the ring, its free
		// space and a frame are.
		n := min(frame-s.done, s.room(frame-s.done), uint64(len(s.data)-s.at), s.piece())
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
		} else if s.total()-s.seen > uint64(len(s.data))/4 {
			s.show() // so that the receiver copies while this end does
		}
	}
	s.done = 0
	if mode == Flush || s.untold || s.total()-s.seen > uint64(len(s.data))/4 {
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
	case s.detached():
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
	at, end := s.at, s.at+int(n)
	skip := int(s.done) - lengthWord
	if skip < 0 {
		binary.LittleEndian.PutUint64(s.data[at:end], uint64(s.pending))
		at, skip = at+lengthWord, 0
	}
	for _, p := range parts {
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		p = p[skip:]
		p = p[:min(len(p), end-at)]
		s.copyIn(at, p, false)
		at += len(p)
		skip = 0
	}
	s.done += n
	s.move(int(n), len(s.data))
}

// publish shows the receiver all that was written.
func (s *Sender) publish() {
	s.show()
	s.tell()
}

// show is publish to a receiver that is awake.
func (s *Sender) show() {
	if total := s.total(); s.seen != total {
		s.unstage()
		if s.unfenced {
			begun := s.copying.begin()
			streamed()
			s.copying.end(begun)
			s.unfenced = false
		}
		s.seen = total
		s.written.Store(total)
		s.untold = true
	}
}

// full returns when there may be room.
func (s *Sender) full(ctx context.Context) error {
	s.publish()
	if ctx == nowait {
		if err := s.tried(s.ready()); err != nil {
			return err
		}
	} else {
		begun := s.copying.begin()
		if !s.spin() {
			if err := s.sleep(ctx); err != nil {
				return err
			}
		}
		s.copying.end(begun)
	}
	if s.detached() {
		return ErrDetached
	}
	return nil
}

// spin looks for room for a while.
func (s *Sender) spin() bool {
	for range s.patience.looks(s.party.spins) {
		if s.read.Load() != s.freed || s.detached() {
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
	if s.detached() {
		return ErrDetached
	}
	s.publish()
	return nil
}

// Detach shows the receiver what was sent and ends the queue (shm_mq_detach):
// the receiver gets all whole messages and then ErrDetached (BGW-148). Again it
// does nothing.
func (s *Sender) Detach() {
	if !s.detached() {
		s.publish()
	}
	s.limit = 0
	s.detach()
}
