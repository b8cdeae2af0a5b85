package shm

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Receiver is the receiving end of a queue. One goroutine at a time may use it,
// but for Expect.
type Receiver struct {
	end
	cursor        // behind the message that was returned last
	freed  uint64 // of the bytes before the cursor, what the sender may overwrite
	seen   uint64 // bytes that were written when last looked at
	want   uint64 // bytes this end waits for
	length int    // of the message that is collected; -1: none is
	gather gathering
	buffer []byte // what was collected
}

// AttachReceiver makes this process the queue's receiver (shm_mq_set_receiver
// and shm_mq_attach). ErrTaken (wrapped) if it has or had one.
func (q *Queue) AttachReceiver() (*Receiver, error) {
	r := &Receiver{end: end{Queue: q, theirs: q.sender, myFlag: queueReceiverWaits, theirFlag: queueSenderWaits}, length: -1}
	if err := r.attach(q.receiver, r); err != nil {
		return nil, fmt.Errorf("cannot receive from queue: %w", err)
	}
	r.freed = q.read.Load() &^ 7
	r.seen = r.freed
	r.cursor = newCursor(r.freed, len(q.data))
	return r, nil
}

// Receive returns the next message (shm_mq_receive), of length 0 to MaxMessage
// and not nil, and waits for it. It is one block, whether or not it wraps
// (BGW-145): a part of the ring where possible, a copy where not. It is valid
// until the next call, and must not be written. The sender can change a part of
// the ring at any time: who does not trust it copies the message before looking
// at it.
//
// ErrDetached after the last whole message of a sender that has detached or
// ended, or if none will ever attach (BGW-148, BGW-150); ErrNoPeer,
// ErrSupervisorDied, ctx's error, or ErrDamaged (wrapped). A message that is
// there costs no system call and no allocation, unless the sender sleeps.
func (r *Receiver) Receive(ctx context.Context) ([]byte, error) {
	if m := r.next(); m != nil {
		return m, nil
	}
	return r.receive(ctx)
}

// TryReceive is Receive that never sleeps: ErrWouldBlock where there is no whole
// message (BGW-147). The own latch is set when it is worth another try.
func (r *Receiver) TryReceive() ([]byte, error) { return r.Receive(nowait) }

// next returns a message that is there up to the limit, or nil. It does what
// the general way does, at a small part of its cost. The length is read once:
// the sender can write another one at any time.
func (r *Receiver) next() []byte {
	start := r.at + lengthWord
	if start > r.limit {
		return nil
	}
	n := binary.LittleEndian.Uint64(r.data[r.at:start])
	if n > uint64(r.limit-start) {
		return nil
	}
	end := start + int(n)
	r.at = (end + 7) &^ 7
	return r.data[start:end:end]
}

// receive receives; with nowait it does not sleep. What was returned before it
// is the sender's from here on.
func (r *Receiver) receive(ctx context.Context) ([]byte, error) {
	switch {
	case r.broken != nil:
		return nil, r.broken
	case r.gone.Load():
		return nil, ErrDetached
	}
	r.limit = 0 // until there is a whole message
	r.take(0)
	if r.length < 0 {
		if err := r.await(ctx, lengthWord); err != nil {
			return nil, err
		}
		n := binary.LittleEndian.Uint64(r.data[r.at:])
		if n > MaxMessage {
			return nil, r.fail("a message of %d bytes", n)
		}
		if start, ok := r.inOne(n); ok {
			return r.whole(ctx, start, int(n))
		}
		r.take(lengthWord)
		r.length, r.buffer = int(n), r.buffer[:0]
	}
	return r.collect(ctx)
}

// inOne returns where the n bytes of a message are in the ring, if they are in
// one piece.
func (r *Receiver) inOne(n uint64) (start int, ok bool) {
	size := uint64(len(r.data))
	start = r.at + lengthWord
	if start == len(r.data) {
		start = 0
	}
	return start, lengthWord+pad(n) <= size && uint64(start)+pad(n) <= size
}

// whole returns a message that is in one piece.
func (r *Receiver) whole(ctx context.Context, start, n int) ([]byte, error) {
	frame := lengthWord + pad(uint64(n))
	if err := r.await(ctx, frame); err != nil {
		return nil, err
	}
	there := r.seen - r.total()
	r.gather.brought(there > frame && there < uint64(len(r.data))/2)
	r.move(int(frame), len(r.data))
	r.extend(r.seen-r.total(), r.total()-r.freed, len(r.data))
	return r.data[start : start+n : start+n], nil
}

// collect copies a message together. The buffer grows as bytes come, so that a
// length alone takes no memory.
func (r *Receiver) collect(ctx context.Context) ([]byte, error) {
	for len(r.buffer) < r.length {
		if err := r.await(ctx, lengthWord); err != nil {
			return nil, err
		}
		left := r.length - len(r.buffer)
		n := min(pad(uint64(left)), r.seen-r.total(), uint64(len(r.data)-r.at))
		r.buffer = append(r.buffer, r.data[r.at:r.at+min(int(n), left)]...)
		r.take(n)
	}
	r.length = -1
	if r.buffer == nil {
		return []byte{}, nil
	}
	return r.buffer, nil
}

// take moves on by n bytes, and gives them back to the sender once they are
// more than a quarter of the ring.
func (r *Receiver) take(n uint64) {
	r.move(int(n), len(r.data))
	if r.total()-r.freed > uint64(len(r.data))/4 {
		r.giveBack()
	}
}

// giveBack gives back all that was taken.
func (r *Receiver) giveBack() {
	r.show()
	r.tell()
}

// show is giveBack to a sender that is awake.
func (r *Receiver) show() {
	if total := r.total(); r.freed != total {
		r.freed = total
		r.read.Store(total)
		r.untold = true
	}
}

// await returns when at least want bytes are there.
func (r *Receiver) await(ctx context.Context, want uint64) error {
	if r.seen-r.total() >= want {
		return nil
	}
	for {
		// What was written before a detach is there: so in this order.
		detached := r.detached()
		if there, err := r.refresh(want); there || err != nil {
			return err
		}
		if detached {
			return ErrDetached
		}
		r.giveBack()
		if err := r.empty(ctx, want); err != nil {
			return err
		}
	}
}

func (r *Receiver) refresh(want uint64) (there bool, err error) {
	seen, total := r.written.Load(), r.total()
	if seen-total > uint64(len(r.data)) || seen%8 != 0 {
		return false, r.fail("%d bytes were written after %d", seen, total)
	}
	r.seen = seen
	return seen-total >= want, nil
}

// empty returns when want bytes may be there.
func (r *Receiver) empty(ctx context.Context, want uint64) error {
	r.want = want
	if ctx == nowait {
		return r.tried(r.ready())
	}
	if r.spin() {
		return nil
	}
	return r.sleep(ctx)
}

// spin looks for new bytes for a while.
func (r *Receiver) spin() bool {
	looks := r.patience.looks(r.party.spins)
	if looks > lastRest && r.want == lengthWord && r.length < 0 && r.gather.rest() {
		r.rest()
	}
	for range looks {
		if r.written.Load()-r.total() >= r.want || r.detached() {
			r.patience.found()
			return true
		}
		pause()
	}
	r.patience.foundNothing()
	return false
}

// rest lets messages gather, as long as there are more and more.
func (r *Receiver) rest() {
	total, last := r.total(), uint64(0)
	for n := firstRest; n <= lastRest; n *= 2 {
		for range n {
			pause()
		}
		there := r.written.Load() - total
		if there == last || there > uint64(len(r.data))/4 {
			return
		}
		last = there
	}
}

// ready raises the flag, and then reports whether enough bytes may be there.
func (r *Receiver) ready() bool {
	return r.armEnd() || !r.greeting && r.written.Load()-r.total() >= r.want
}

func (r *Receiver) arm() (done bool, err error) { return r.ready(), nil }

// Detach ends the queue (shm_mq_detach): the sender gets ErrDetached (BGW-149).
// A message that was returned is not valid any longer. Again it does nothing.
func (r *Receiver) Detach() {
	r.limit = 0
	r.detach()
}
