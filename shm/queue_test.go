package shm

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// testParty is a party in slot, with a slot table that the test can change. It
// never patrols: what it waits for has to wake it.
type testParty struct {
	*party
	gone     atomic.Bool // the other party has ended
	noWorker atomic.Bool // the expected worker has stopped
	dead     chan struct{}
}

// testParties are two processes, as far as queues can tell.
func testParties(t testing.TB) (a, b *testParty) {
	t.Helper()
	a, b = newTestParty(t, 1), newTestParty(t, 2)
	ask := func(_ context.Context, slot uint32) (*bell, error) {
		return map[uint32]*bell{1: a.latch.bell, 2: b.latch.bell}[slot], nil
	}
	a.ask, b.ask = ask, ask
	return a, b
}

func newTestParty(t testing.TB, slot uint32) *testParty {
	t.Helper()
	l, dead := testLatch(t)
	l.sleepers.every = time.Hour
	p := &testParty{dead: dead}
	p.party = newParty(partyWord(&BackgroundWorker{Handle: Handle{Slot: slot, Generation: 17}, Start: 2}), l)
	p.party.dead = func(uint64) bool { return p.gone.Load() }
	p.party.stopped = func(Handle) bool { return p.noWorker.Load() }
	return p
}

// testQueue is a queue in size bytes with both ends attached.
func testQueue(t testing.TB, size int) (*Sender, *Receiver) {
	t.Helper()
	a, b := testParties(t)
	return testQueueOf(t, a, b, make([]byte, size))
}

func testQueueOf(t testing.TB, a, b *testParty, data []byte) (*Sender, *Receiver) {
	t.Helper()
	q, err := a.createQueue(data)
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.openQueue(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.AttachSender()
	if err != nil {
		t.Fatal(err)
	}
	r, err := other.AttachReceiver()
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// message is n bytes that differ from those of other messages.
func message(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(n + i*7)
	}
	return b
}

// TestQueueSize holds BGW-142: 64 bytes make a queue, fewer do not; and the
// memory has to be where an area is.
func TestQueueSize(t *testing.T) {
	s, r := testQueue(t, MinQueueSize)
	if len(s.data) != 8 {
		t.Errorf("BGW-142: the ring has %d bytes, want 8", len(s.data))
	}
	done := make(chan error, 1)
	go func() { done <- s.Send(t.Context(), Flush, message(100)) }()
	if got, err := r.Receive(t.Context()); err != nil || !bytes.Equal(got, message(100)) {
		t.Errorf("BGW-142: got %d bytes, %v", len(got), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	a, _ := testParties(t)
	data := make([]byte, 200)
	for _, bad := range [][]byte{nil, data[:MinQueueSize-1], data[1:]} {
		if _, err := a.createQueue(bad); err == nil {
			t.Errorf("BGW-142: a queue in %d bytes at no good place", len(bad))
		}
	}
	for size, ring := range map[int]int{71: 8, 72: 16, 4095: 4088 - 56, 4096: 4096 - 384} {
		q, err := a.createQueue(make([]byte, size))
		if err != nil || len(q.data) != ring {
			t.Errorf("%d bytes: a ring of %d, want %d, error %v", size, len(q.data), ring, err)
		}
	}
}

// TestQueueEmptyMessage holds BGW-143.
func TestQueueEmptyMessage(t *testing.T) {
	for _, size := range []int{64, 72, 128} {
		s, r := testQueue(t, size)
		for range 5 {
			if err := s.TrySend(Flush); err != nil {
				t.Fatal(err)
			}
			if got, err := r.TryReceive(); err != nil || got == nil || len(got) != 0 {
				t.Errorf("BGW-143: got %v, %v", got, err)
			}
			if _, err := r.TryReceive(); err != ErrWouldBlock { // gives the ring back
				t.Errorf("BGW-143: got %v", err)
			}
		}
	}
}

// TestQueueSizes sends messages of all sizes through rings of many: larger than
// the ring (BGW-144) and around its end (BGW-145), each is one equal block.
func TestQueueSizes(t *testing.T) {
	for _, size := range []int{64, 72, 80, 128, 256, 1000, 4096, 5000} {
		s, r := testQueue(t, size)
		copies := 0
		done := make(chan error, 1)
		const most = 600
		go func() {
			for n := range most {
				b := message(n)
				if err := s.Send(t.Context(), FlushMode(n%2), b[:n/3], nil, b[n/3:n/2], b[n/2:]); err != nil {
					done <- err
					return
				}
			}
			done <- s.Flush()
		}()
		for n := range most {
			got, err := r.Receive(t.Context())
			if err != nil || !bytes.Equal(got, message(n)) {
				t.Fatalf("BGW-144, BGW-145: message %d through %d bytes: got %d bytes, %v", n, size, len(got), err)
			}
			if !r.mem.contains(memory(got)) {
				copies++
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if copies == 0 || size >= 4096 && copies > most/2 {
			t.Errorf("%d bytes: %d of %d messages were copied", size, copies, most)
		}
	}
}

// TestQueueFull holds BGW-146: WOULD_BLOCK, and repeating the same call
// completes it; another one is refused. And BGW-147: an empty ring would block.
func TestQueueFull(t *testing.T) {
	s, r := testQueue(t, 64+24) // a ring of 32
	if _, err := r.TryReceive(); err != ErrWouldBlock {
		t.Errorf("BGW-147: got %v", err)
	}
	big := message(100)
	if err := s.TrySend(Flush, big); err != ErrWouldBlock {
		t.Fatalf("BGW-146: got %v", err)
	}
	if err := s.TrySend(Flush, big[:99]); !errors.Is(err, ErrUnfinished) {
		t.Errorf("another message: got %v", err)
	}
	var got []byte
	for range 100 {
		b, err := r.TryReceive()
		if err == nil {
			got = b
			break
		}
		if err != ErrWouldBlock {
			t.Fatal(err)
		}
		if !s.party.latch.IsSet() {
			t.Error("the sender is not told of room")
		}
		s.party.latch.Reset()
		if err := s.TrySend(Flush, big); err != nil && err != ErrWouldBlock {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, big) {
		t.Errorf("BGW-146: got %d bytes", len(got))
	}
	if err := s.TrySend(Flush, message(3)); err != nil {
		t.Error(err)
	}
	if b, err := r.TryReceive(); err != nil || !bytes.Equal(b, message(3)) {
		t.Errorf("the next one: got %v, %v", b, err)
	}
}

// TestQueueFlush holds BGW-152: what was sent without a flush is not seen below
// a quarter of the ring, and is from there on, at a flush, and at the sender's
// detach.
func TestQueueFlush(t *testing.T) {
	s, r := testQueue(t, 56+1024)
	for n := range 16 { // 256 bytes, a quarter
		if err := s.TrySend(NoFlush, message(8)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.TryReceive(); err != ErrWouldBlock {
			t.Fatalf("BGW-152: message %d is seen: %v", n, err)
		}
	}
	seen := func(want int) {
		t.Helper()
		for i := range want {
			if _, err := r.TryReceive(); err != nil {
				t.Fatalf("BGW-152: message %d of %d: %v", i, want, err)
			}
		}
		if _, err := r.TryReceive(); err == nil {
			t.Errorf("BGW-152: more than %d are seen", want)
		}
	}
	if err := s.TrySend(NoFlush); err != nil {
		t.Fatal(err)
	}
	seen(17)
	send := func() {
		if err := s.TrySend(NoFlush, message(8)); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	seen(1)
	send()
	s.Detach()
	seen(1)
}

// TestQueueTooLong holds BGW-153.
func TestQueueTooLong(t *testing.T) {
	s, _ := testQueue(t, 128)
	part := make([]byte, 1<<20)
	parts := make([][]byte, 1<<10)
	for i := range parts {
		parts[i] = part
	}
	if err := s.TrySend(Flush, parts...); !errors.Is(err, ErrMessageSize) {
		t.Errorf("BGW-153: got %v", err)
	}
	parts[0] = part[1:]
	if err := s.TrySend(Flush, parts...); err != ErrWouldBlock {
		t.Errorf("BGW-153: the longest message: got %v", err)
	}
}

func TestQueueTaken(t *testing.T) {
	s, r := testQueue(t, 128)
	if slot, ok := r.Sender(); slot != 1 || !ok {
		t.Errorf("the sender is %d, %v", slot, ok)
	}
	if slot, ok := s.Receiver(); slot != 2 || !ok {
		t.Errorf("the receiver is %d, %v", slot, ok)
	}
	if _, err := s.AttachSender(); !errors.Is(err, ErrTaken) {
		t.Errorf("a second sender: %v", err)
	}
	if _, err := s.AttachReceiver(); !errors.Is(err, ErrTaken) {
		t.Errorf("a second receiver: %v", err)
	}
}

// TestQueueWaitAttach: each side waits for the other.
func TestQueueWaitAttach(t *testing.T) {
	a, b := testParties(t)
	q, err := a.createQueue(make([]byte, 128))
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.AttachSender()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.WaitAttach(t.Context()) }()
	untilFlag(q, queueSenderWaits)
	other, err := b.openQueue(q.mem)
	if err != nil {
		t.Fatal(err)
	}
	r, err := other.AttachReceiver()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := r.WaitAttach(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestQueueSupervisorDies: a wait ends, a message that is there is received.
func TestQueueSupervisorDies(t *testing.T) {
	a, b := testParties(t)
	s, r := testQueueOf(t, a, b, make([]byte, 128))
	done := make(chan error, 1)
	go func() { _, err := r.Receive(t.Context()); done <- err }()
	untilFlag(r.Queue, queueReceiverWaits)
	close(b.dead)
	b.latch.interrupt()
	if err := <-done; err != ErrSupervisorDied {
		t.Errorf("got %v", err)
	}
	if err := s.TrySend(Flush, message(4)); err != nil {
		t.Error(err)
	}
	if _, err := r.Receive(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestQueueStages holds BGW-152 where a sender stages short messages: none is
// seen before it is flushed, and then all of them are, in order, whatever is
// between them.
func TestQueueStages(t *testing.T) {
	for name, show := range map[string]func(*Sender) error{
		"flush":   (*Sender).Flush,
		"detach":  func(s *Sender) error { s.Detach(); return nil },
		"a short": func(s *Sender) error { return s.TrySend(Flush, message(9)) },
		"a long":  func(s *Sender) error { return s.TrySend(Flush, message(2*shortMessage)) },
		"parts":   func(s *Sender) error { return s.TrySend(Flush, message(1), message(2)) },
	} {
		s, r := testQueue(t, 384+64<<10)
		if s.stage == nil {
			t.Fatal("nothing is staged")
		}
		lengths := []int{0, 1, 7, 8, 9, 16, shortMessage, shortMessage + 1, 40, 2 * shortMessage}
		const times = 15 // more than is staged, less than a quarter of the ring
		for range times {
			for _, n := range lengths {
				if err := s.TrySend(NoFlush, message(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := r.TryReceive(); err != ErrWouldBlock {
			t.Errorf("BGW-152: %s: before it: got %v", name, err)
		}
		if err := show(s); err != nil {
			t.Fatal(err)
		}
		for range times {
			for _, n := range lengths {
				if got, err := r.TryReceive(); err != nil || !bytes.Equal(got, message(n)) {
					t.Fatalf("BGW-152: %s: got %d bytes, %v, want %d", name, len(got), err, n)
				}
			}
		}
	}
}
