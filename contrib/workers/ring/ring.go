package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pg-bgw/pg-bgw/shm"
)

// A ring is one set of members and the queues between them, of which this
// process has the first's sending end and the last's receiving end.
type ring struct {
	w        *shm.Worker
	members  []shm.Handle
	sender   *shm.Sender
	receiver *shm.Receiver
}

// newRing makes the queues, of size bytes each, and registers the members.
// close it, also after an error.
func newRing(ctx context.Context, w *shm.Worker, number, size, n int, programs []string) (*ring, error) {
	r := &ring{w: w}
	names := make([]string, n+1)
	for i := range names {
		names[i] = fmt.Sprintf("ring.%d.%d", number, i)
		data, _, err := w.Area(names[i], size)
		if err != nil {
			return r, err
		}
		q, err := w.CreateQueue(data)
		if err != nil {
			return r, err
		}
		if err := r.attach(q, i, n); err != nil {
			return r, err
		}
	}
	for i := range n {
		if err := r.register(ctx, names[i], names[i+1], size, programs[i%len(programs)]); err != nil {
			return r, err
		}
	}
	r.sender.Expect(r.members[0])
	r.receiver.Expect(r.members[n-1])
	return r, nil
}

// attach takes this process's end of queue i of 0 to n, if it has one.
func (r *ring) attach(q *shm.Queue, i, n int) (err error) {
	switch i {
	case 0:
		r.sender, err = q.AttachSender()
	case n:
		r.receiver, err = q.AttachReceiver()
	}
	return err
}

// register has the member run in this process's segment, and end with it.
func (r *ring) register(ctx context.Context, in, out string, size int, program string) error {
	slots, err := r.w.Slots()
	if err != nil {
		return err
	}
	self, err := slots.Entry(r.w.Self().Handle.Slot)
	if err != nil {
		return err
	}
	h, err := r.w.Register(ctx, shm.Definition{
		Name: fmt.Sprintf("%s to %s", in, out), Type: "ring member",
		Flags: []string{shm.FlagShmemAccess}, StartTime: shm.StartPostmasterStart,
		RestartTime: shm.NeverRestart, StopWithOwner: true, Segment: self.Segment,
		Command: []string{program}, Extra: fmt.Appendf(nil, "in=%s out=%s size=%d", in, out, size),
	})
	if err != nil {
		return err
	}
	r.members = append(r.members, h)
	return nil
}

// finish ends the ring from its start, and sees that all of it has ended: each
// member detaches as the one before it does.
func (r *ring) finish(ctx context.Context) error {
	r.sender.Detach()
	if m, err := r.receiver.Receive(ctx); !errors.Is(err, shm.ErrDetached) {
		return fmt.Errorf("after the end came a message of %d bytes, %v", len(m), err)
	}
	r.receiver.Detach()
	for _, h := range r.members {
		if _, err := r.w.WaitShutdown(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// close ends what is left after a failure.
func (r *ring) close() {
	ctx := context.Background() // that of the caller may have ended
	if r.sender != nil {
		r.sender.Detach()
	}
	if r.receiver != nil {
		r.receiver.Detach()
	}
	for _, h := range r.members {
		_ = r.w.Terminate(ctx, h) // one that has ended is no error
	}
}
