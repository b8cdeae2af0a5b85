package shm

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// TestQueueSenderDetached holds BGW-148: all whole messages, then DETACHED; the
// part of another one is dropped.
func TestQueueSenderDetached(t *testing.T) {
	s, r := testQueue(t, 64+120)
	for n := range 3 {
		if err := s.TrySend(NoFlush, message(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.TrySend(NoFlush, message(1000)); err != ErrWouldBlock {
		t.Fatalf("got %v", err)
	}
	s.Detach()
	s.Detach()
	for n := range 3 {
		if got, err := r.Receive(t.Context()); err != nil || !bytes.Equal(got, message(n)) {
			t.Errorf("BGW-148: message %d is %v, %v", n, got, err)
		}
	}
	for range 2 {
		if _, err := r.Receive(t.Context()); err != ErrDetached {
			t.Errorf("BGW-148: at the end: %v", err)
		}
	}
	if _, err := r.TryReceive(); err != ErrDetached {
		t.Errorf("BGW-148: nowait: %v", err)
	}
	if err := s.TrySend(Flush); err != ErrDetached {
		t.Errorf("who has detached sends: %v", err)
	}
}

// TestQueueReceiverDetached holds BGW-149, for one that sends and for one that
// sleeps.
func TestQueueReceiverDetached(t *testing.T) {
	s, r := testQueue(t, 128)
	done := make(chan error, 1)
	go func() { done <- s.Send(t.Context(), Flush, message(1000)) }()
	untilFlag(s.Queue, queueSenderWaits)
	r.Detach()
	if err := <-done; err != ErrDetached {
		t.Errorf("BGW-149: who sleeps: %v", err)
	}
	if err := s.TrySend(Flush, nil); err != ErrDetached {
		t.Errorf("BGW-149: nowait: %v", err)
	}
	if err := s.Flush(); err != ErrDetached {
		t.Errorf("BGW-149: flush: %v", err)
	}
}

// TestQueueMadeAgain: an end that has gone leaves a queue alone that was made
// in the same memory later.
func TestQueueMadeAgain(t *testing.T) {
	a, b := testParties(t)
	data := make([]byte, 4096)
	s, r := testQueueOf(t, a, b, data)
	if err := s.TrySend(NoFlush, message(10)); err != nil {
		t.Fatal(err)
	}
	s.Detach()
	b.endAll()
	sends, receives := testQueueOf(t, a, b, data)
	s.Detach()
	r.Detach()
	if err := s.TrySend(Flush, message(1)); err != ErrDetached {
		t.Errorf("the old sender: %v", err)
	}
	if err := s.Flush(); err != ErrDetached {
		t.Errorf("the old sender flushes: %v", err)
	}
	if err := s.WaitAttach(t.Context()); err != ErrDetached {
		t.Errorf("the old sender waits: %v", err)
	}
	if m, err := r.TryReceive(); err != ErrDetached {
		t.Errorf("the old receiver: %v, %v", m, err)
	}
	if err := sends.TrySend(Flush, message(2)); err != nil {
		t.Fatal(err)
	}
	if m, err := receives.TryReceive(); err != nil || !bytes.Equal(m, message(2)) {
		t.Errorf("the new receiver: %v, %v", m, err)
	}
}

// TestQueueDetachWakesReceiver is the other direction.
func TestQueueDetachWakesReceiver(t *testing.T) {
	s, r := testQueue(t, 128)
	done := make(chan error, 1)
	go func() { _, err := r.Receive(t.Context()); done <- err }()
	untilFlag(r.Queue, queueReceiverWaits)
	s.Detach()
	if err := <-done; err != ErrDetached {
		t.Errorf("got %v", err)
	}
}

// TestQueueExpected holds BGW-150: a worker that stops before it attaches
// detaches the queue, for one that waits, that attaches a handle while it
// waits, and that does not wait.
func TestQueueExpected(t *testing.T) {
	a, _ := testParties(t)
	a.latch.sleepers.every = time.Millisecond
	for _, wait := range []func(*Receiver) error{
		func(r *Receiver) error { _, err := r.Receive(context.Background()); return err },
		func(r *Receiver) error { return r.WaitAttach(context.Background()) },
	} {
		a.noWorker.Store(false)
		q, err := a.createQueue(make([]byte, 128))
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.AttachReceiver()
		if err != nil {
			t.Fatal(err)
		}
		r.Expect(Handle{Slot: 2, Generation: 17})
		done := make(chan error, 1)
		go func() { done <- wait(r) }()
		untilFlag(q, queueReceiverWaits)
		a.noWorker.Store(true)
		if err := <-done; err != ErrDetached && !errors.Is(err, ErrDetached) {
			t.Errorf("BGW-150: got %v", err)
		}
		if _, err := r.TryReceive(); err != ErrDetached {
			t.Errorf("BGW-150: nowait: %v", err)
		}
	}
	// It stopped, but it had sent before.
	a, b := testParties(t)
	s, r := testQueueOf(t, b, a, make([]byte, 128))
	r.Expect(Handle{Slot: 2, Generation: 17})
	if err := s.Send(t.Context(), Flush, message(5)); err != nil {
		t.Fatal(err)
	}
	a.noWorker.Store(true)
	a.gone.Store(true)
	if got, err := r.Receive(t.Context()); err != nil || !bytes.Equal(got, message(5)) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := r.Receive(t.Context()); err != ErrDetached {
		t.Errorf("got %v", err)
	}
}

// TestQueueNobody is our answer to BGW-151: a wait that nothing could end is an
// error; one that a context ends, ends with it.
func TestQueueNobody(t *testing.T) {
	a, _ := testParties(t)
	q, err := a.createQueue(make([]byte, 128))
	if err != nil {
		t.Fatal(err)
	}
	r, err := q.AttachReceiver()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Receive(context.Background()); err != ErrNoPeer {
		t.Errorf("BGW-151: receive: %v", err)
	}
	if err := r.WaitAttach(context.Background()); err != ErrNoPeer {
		t.Errorf("BGW-151: wait: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := r.Receive(ctx); done <- err }()
	untilFlag(q, queueReceiverWaits)
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("BGW-151: a context that ends: %v", err)
	}
	other, err := a.createQueue(make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	s, err := other.AttachSender()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(context.Background(), Flush, nil); err != nil {
		t.Errorf("a message that fits waits for nobody: %v", err)
	}
	if err := s.Send(context.Background(), Flush, message(8)); err != ErrNoPeer {
		t.Errorf("BGW-151: send: %v", err)
	}
}

// TestQueueLastWords: a message that was sent just before the detach is not
// lost to a receiver that looks at the same moment.
func TestQueueLastWords(t *testing.T) {
	a, b := testParties(t)
	for range 5000 {
		s, r := testQueueOf(t, a, b, make([]byte, 128))
		go func() {
			s.TrySend(Flush)
			s.Detach()
		}()
		got := 0
		var err error
		for err == nil || err == ErrWouldBlock {
			if _, err = r.TryReceive(); err == nil {
				got++
			} else {
				runtime.Gosched() // where there is one processor, the other needs it
			}
		}
		if got != 1 || err != ErrDetached {
			t.Fatalf("BGW-148: %d messages, %v", got, err)
		}
	}
}

// TestQueueTells: who writes without a flush tells the receiver each time that
// more than a quarter of the ring is not seen, and not before (BGW-152); the
// receiver gives back as much.
func TestQueueTells(t *testing.T) {
	for _, size := range []int{1000, 4096, 384 + 64<<10} {
		s, r := testQueue(t, size)
		const frame = lengthWord + 24
		quarter := uint64(len(s.data)) / 4
		sent, taken, seen, freed := uint64(0), uint64(0), uint64(0), uint64(0)
		for range 20 * len(s.data) / frame {
			if err := s.TrySend(NoFlush, message(24)); err != nil {
				t.Fatal(err)
			}
			sent += frame
			if now := s.written.Load(); now != seen && (now-seen <= quarter || now != sent) {
				t.Fatalf("BGW-152: ring of %d: %d bytes are shown at once, %d are sent", len(s.data), now-seen, sent)
			} else if seen = now; sent-seen > quarter {
				t.Fatalf("BGW-152: ring of %d: %d bytes are not shown", len(s.data), sent-seen)
			}
			for taken != seen {
				if _, err := r.TryReceive(); err != nil {
					t.Fatal(err)
				}
				if now := r.read.Load(); now != freed && (now-freed <= quarter || now > taken+frame) {
					t.Fatalf("ring of %d: %d bytes are given back at once, %d were taken", len(s.data), now-freed, taken)
				} else if freed = now; taken > freed+quarter {
					t.Fatalf("ring of %d: %d bytes are not given back", len(s.data), taken-freed)
				}
				taken += frame
			}
		}
	}
}

// TestQueueTellsOfPieces: an end that waits is woken for a long message, however
// its pieces fall, though they are shown without that.
func TestQueueTellsOfPieces(t *testing.T) {
	const ring = 256
	for before := range ring/8 - 1 {
		for n := ring / 4; n < 2*ring; n += 8 {
			s, r := testQueue(t, 56+ring)
			if err := s.TrySend(Flush, message(8*before)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.TryReceive(); err != nil {
				t.Fatal(err)
			}
			long := message(n)
			for whole := false; !whole; {
				if _, err := r.TryReceive(); err != ErrWouldBlock { // raises the receiver's flag
					t.Fatalf("%d bytes at %d: %v", n, before, err)
				}
				r.party.latch.Reset()
				sent := s.TrySend(Flush, long) == nil // or raises the sender's
				if !r.party.latch.IsSet() {
					t.Fatalf("%d bytes at %d: the receiver is not told", n, before)
				}
				s.party.latch.Reset()
				got, err := r.TryReceive()
				whole = err == nil && bytes.Equal(got, long)
				if whole != sent {
					t.Fatalf("%d bytes at %d: %d bytes, %v", n, before, len(got), err)
				}
				if !sent && !s.party.latch.IsSet() {
					t.Fatalf("%d bytes at %d: the sender is not told", n, before)
				}
			}
		}
	}
}
