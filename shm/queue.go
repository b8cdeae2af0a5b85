package shm

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Sizes of queues and messages.
const (
	MinQueueSize = 64        // bytes of the smallest queue: shm_mq_minimum_size
	MaxMessage   = 1<<30 - 1 // bytes of the longest message

	lengthWord = 8
)

// Queue is a one-way channel of messages in shared memory, for one sender and
// one receiver: PostgreSQL's shm_mq. It lies in memory that its users share, an
// area or a part of one, and is 56 bytes of header (from 4,096 bytes on 384:
// each index has a cache line of its own) and a ring. Messages of 1 KiB and
// more want a ring of 256 KiB.
//
// CreateQueue or OpenQueue, then one process calls AttachSender and one
// AttachReceiver, once in the life of the queue. The methods may be called
// concurrently.
type Queue struct {
	party    *party
	mem      memory
	data     []byte // the ring
	sender   *atomic.Uint64
	receiver *atomic.Uint64
	state    *atomic.Uint32
	written  *atomic.Uint64
	read     *atomic.Uint64
}

// CreateQueue makes an empty queue of data (shm_mq_create), which has at least
// MinQueueSize bytes and begins at a multiple of 8, as what Area returns does;
// its length is rounded down to a multiple of 8. Whatever was there is
// overwritten: one process makes the queue, and tells others of it afterwards.
// The process has to be attached.
func (w *Worker) CreateQueue(data []byte) (*Queue, error) {
	return as(w, "create queue", func(p *party) (*Queue, error) { return p.createQueue(data) })
}

// OpenQueue returns the queue that another process made of the same memory.
// ErrDamaged (wrapped) if there is none, or one of another size.
func (w *Worker) OpenQueue(data []byte) (*Queue, error) {
	return as(w, "open queue", func(p *party) (*Queue, error) { return p.openQueue(data) })
}

func (p *party) createQueue(data []byte) (*Queue, error) {
	q, err := p.newQueue(data)
	if err != nil {
		return nil, err
	}
	magic, header := q.mem.word64(0), uint64(len(q.mem)-len(q.data))
	magic.Store(0)
	for at := uint64(8); at < header; at += 8 {
		q.mem.word64(at).Store(0)
	}
	q.mem.word64(8).Store(uint64(len(q.data)))
	magic.Store(queueMagic)
	return q, nil
}

func (p *party) openQueue(data []byte) (*Queue, error) {
	q, err := p.newQueue(data)
	if err != nil {
		return nil, err
	}
	magic, ring, features := q.mem.word64(0).Load(), q.mem.word64(8).Load(), q.mem.word32(36).Load()
	switch {
	case magic != queueMagic:
		return nil, damaged("no queue is here: it begins with %#x", magic)
	case ring != uint64(len(q.data)):
		return nil, damaged("the queue has a ring of %d bytes, in %d bytes of memory it would have %d", ring, len(data), len(q.data))
	case features != 0:
		return nil, damaged("the queue has features %#x that are not known here", features)
	}
	return q, nil
}

// newQueue lays a queue over data; only the length decides where things are.
func (p *party) newQueue(data []byte) (*Queue, error) {
	if err := checkMemory(data, MinQueueSize); err != nil {
		return nil, err
	}
	m := memory(data[: len(data)&^7 : len(data)&^7])
	q := &Queue{party: p, mem: m, sender: m.word64(16), receiver: m.word64(24), state: m.word32(32)}
	if len(m) < wideQueue {
		q.written, q.read, q.data = m.word64(40), m.word64(48), m[56:]
	} else {
		q.written, q.read, q.data = m.word64(128), m.word64(256), m[384:]
	}
	return q, nil
}

// Sender is the slot of the process that has attached to send, if one has
// (shm_mq_get_sender).
func (q *Queue) Sender() (slot uint32, ok bool) { return attachedParty(q.sender) }

// Receiver is the slot of the process that has attached to receive, if one has.
func (q *Queue) Receiver() (slot uint32, ok bool) { return attachedParty(q.receiver) }

func attachedParty(word *atomic.Uint64) (slot uint32, ok bool) {
	w := word.Load()
	return partySlot(w), w != 0
}

// nowait is the context of a call that must not sleep: none.
var nowait context.Context

// end is what the two ends of a queue have in common.
type end struct {
	*Queue
	theirs    *atomic.Uint64 // who is at the other end
	myFlag    uint32         // of the queue's state: this end waits
	theirFlag uint32
	expected  atomic.Pointer[Handle]
	peer      *bell // what wakes the other end, once it is known
	place     sleeper
	patience  patience
	untold    bool        // the other end may see more than when it was last woken
	greeting  bool        // waits for the other end to attach, and for nothing else
	broken    error       // the memory is damaged: nothing goes any more
	gone      atomic.Bool // this end has detached: another queue may be there
}

// cursor is where in its ring an end is. Only the end uses it.
type cursor struct {
	at  int    // where the next byte is; the length of the ring is its beginning, too
	lap uint64 // bytes that were before this turn of the ring, since the queue was made
	// limit is up to where whole messages need a look at nothing else: bytes
	// that are free, or written, and in one piece, and none of which makes it
	// time to tell the other end. 0 where every message needs one.
	limit int
}

// newCursor is that of an end that begins at a count.
func newCursor(count uint64, ring int) cursor {
	at := count % uint64(ring)
	return cursor{at: int(at), lap: count - at}
}

// total is how many bytes are before the cursor, since the queue was made.
func (c *cursor) total() uint64 { return c.lap + uint64(c.at) }

// move goes on by n bytes, at most a turn of the ring.
func (c *cursor) move(n, ring int) {
	if c.at += n; c.at >= ring {
		c.at -= ring
		c.lap += uint64(ring)
	}
}

// extend sets the limit: there are bytes to use, and untold of them were already
// used since the other end was told.
func (c *cursor) extend(there, untold uint64, ring int) {
	n := min(int(there), ring-c.at, ring/4&^7-int(untold), MaxMessage)
	c.limit = c.at + max(n, 0)
}

// attach makes this process the one of mine.
func (e *end) attach(mine *atomic.Uint64, w waiting) error {
	e.place = newSleeper(w, true)
	written, read := e.written.Load(), e.read.Load()
	if written%8 != 0 || read%8 != 0 || written-read > uint64(len(e.data)) {
		return damaged("%d bytes are written and %d read of a ring of %d", written, read, len(e.data))
	}
	if !mine.CompareAndSwap(0, e.party.word) {
		slot, _ := attachedParty(mine)
		return fmt.Errorf("%w: slot %d is there", ErrTaken, slot)
	}
	if err := e.party.add(e, e.mem); err != nil {
		e.markDetached()
		return err
	}
	e.wake() // it may wait for this
	return nil
}

// Expect names the worker that will attach to the other end
// (shm_mq_set_handle): should it stop before, the queue is detached (BGW-150).
// It may be called at any time, from any goroutine.
func (e *end) Expect(h Handle) { e.expected.Store(&h) }

// WaitAttach waits until a process has attached to the other end
// (shm_mq_wait_for_attach). ErrDetached if none will: this end was detached, or
// the worker that was expected stopped. ErrNoPeer instead of waiting for ever.
func (e *end) WaitAttach(ctx context.Context) error {
	e.greeting = true
	defer func() { e.greeting = false }()
	for e.theirs.Load() == 0 {
		if e.detached() {
			return ErrDetached
		}
		if err := e.sleep(ctx); err != nil {
			return err
		}
	}
	if e.gone.Load() {
		return ErrDetached
	}
	return nil
}

// detached reports whether nothing goes any more.
func (e *end) detached() bool { return e.gone.Load() || e.state.Load()&queueDetached != 0 }

// piece is how much of a message is copied before the other end is shown what
// was: a little more than a quarter of the ring, a multiple of 8. Both ends copy
// at once then.
func (q *Queue) piece() uint64 { return uint64(len(q.data)/4&^7 + 8) }

// tell wakes the other end if it waits and was shown something. While both run,
// who copies a long message shows each piece and tells only of all: a sleeper on
// the same CPU would be woken for each.
func (e *end) tell() {
	if e.untold {
		e.untold = false
		e.wake()
	}
}

// wake wakes the other end if it waits.
func (e *end) wake() {
	if e.state.Load()&e.theirFlag == 0 || e.state.And(^e.theirFlag)&e.theirFlag == 0 {
		return
	}
	word := e.theirs.Load()
	if word == 0 {
		return
	}
	if e.peer == nil {
		b, err := e.party.bell(partySlot(word))
		if err != nil {
			return // it finds out on its next patrol
		}
		e.peer = b
	}
	_ = e.peer.wake()
}

// sleep waits until the other end has woken this one, or has ended. Something
// may have changed then, or not.
func (e *end) sleep(ctx context.Context) error {
	if ctx.Done() == nil && e.theirs.Load() == 0 && e.expected.Load() == nil {
		return ErrNoPeer
	}
	event, err := e.party.latch.sleep(ctx, &e.place, time.Time{})
	if event == SupervisorDied {
		return ErrSupervisorDied
	}
	return err
}

// armEnd raises this end's flag; done if the other end is no more, upon which
// the queue is detached.
func (e *end) armEnd() (done bool) {
	if e.gone.Load() || e.state.Or(e.myFlag)&queueDetached != 0 {
		return true
	}
	word, gone := e.theirs.Load(), false
	switch h := e.expected.Load(); {
	case word != 0 && e.greeting:
		return true
	case word != 0:
		gone = e.party.dead(word)
	case h != nil:
		gone = e.party.stopped(*h) && e.theirs.Load() == 0
	}
	if gone {
		e.state.Or(queueDetached)
	}
	return gone
}

// disarm saves the other end a ring that nobody needs.
func (e *end) disarm() {
	if !e.gone.Load() && e.state.Load()&e.myFlag != 0 {
		e.state.And(^e.myFlag)
	}
}

// tried is what a call that must not sleep does instead: if nothing has come by
// now, the flag stays, and the other end sets this process's latch.
func (e *end) tried(done bool) error {
	if !done {
		return ErrWouldBlock
	}
	e.disarm()
	return nil
}

func (e *end) look() bool {
	s := e.state.Load()
	return e.gone.Load() || s&e.myFlag == 0 || s&queueDetached != 0
}

// markDetached detaches the queue and wakes both ends. Any goroutine may call
// it.
func (e *end) markDetached() {
	e.state.Or(queueDetached)
	e.state.And(^uint32(queueSenderWaits | queueReceiverWaits))
	e.party.ring(e.sender.Load())
	e.party.ring(e.receiver.Load())
}

// detach detaches the queue, once.
func (e *end) detach() {
	e.party.remove(e)
	if !e.gone.Swap(true) {
		e.markDetached()
	}
}

// abandon detaches the queue; what was not flushed is lost.
func (e *end) abandon() {
	e.gone.Store(true)
	e.markDetached()
	e.party.ring(e.party.word) // if there is no word there any more: see endWithin
}

// fail remembers that the memory is damaged.
func (e *end) fail(format string, args ...any) error {
	e.broken = fmt.Errorf("cannot use queue: %w", damaged(format, args...))
	return e.broken
}
