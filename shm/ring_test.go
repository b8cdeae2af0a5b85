package shm

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// calls counts how often the owner of a latch was called that nobody waits for,
// since it was last asked.
type calls struct {
	t  testing.TB
	fd int
}

func newCalls(t testing.TB) *calls {
	t.Helper()
	fd, err := NewLatchEvent()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &calls{t: t, fd: fd}
}

// callsTo takes the place of the latch of to's slot for from, until the end of
// it is called.
func callsTo(t testing.TB, from, to *party) (c *calls, end func()) {
	t.Helper()
	c = newCalls(t)
	from.bells[partySlot(to.word)] = newOtherBell(c.fd)
	return c, func() { delete(from.bells, partySlot(to.word)) }
}

func (c *calls) number() int {
	c.t.Helper()
	var b [8]byte
	if _, err := unix.Read(c.fd, b[:]); err != nil && err != unix.EAGAIN {
		c.t.Fatal(err)
	}
	return int(b[0])
}

// ringer is a bell that does not know where the latch's word is, as one in
// Python, or that of a process that is not attached.
func ringer(l *Latch) *bell { return &bell{file: l.bell.file, raw: l.bell.raw, add1: l.bell.add1} }

// TestRingIsNotStolen: somebody else takes the ring that was meant for a queue's
// waiter, who has to be woken all the same.
func TestRingIsNotStolen(t *testing.T) {
	a, b := testParties(t)
	a.bells[2] = ringer(b.latch)
	s, r := testQueueOf(t, a, b, make([]byte, 128))
	b.latch.sleepers.reading.Lock() // nobody else reads
	defer b.latch.sleepers.reading.Unlock()
	received := make(chan error, 1)
	go func() { _, err := r.Receive(t.Context()); received <- err }()
	untilFlag(r.Queue, queueReceiverWaits)
	if err := s.Send(t.Context(), Flush, nil); err != nil {
		t.Fatal(err)
	}
	b.latch.IsSet()
	if err := <-received; err != nil {
		t.Fatal(err)
	}
}

// TestLatchTapped: a tap makes the owner look, as a ring does, and is no set.
func TestLatchTapped(t *testing.T) {
	if !tapsWork() {
		t.Fatal("the kernel wakes nobody who waits for an eventfd that 0 is added to")
	}
	l, _ := testLatch(t)
	l.bell.tap()
	if e, err := l.Wait(t.Context(), 0); e != Timeout || err != nil || l.IsSet() {
		t.Errorf("tapped before: got %v, %v", e, err)
	}
	looked := make(chan bool)
	l, _ = testLatch(t)
	go l.bell.awaitTap(func(uintptr) bool {
		select {
		case looked <- true:
			return false
		case <-t.Context().Done():
			return true
		}
	})
	<-looked
	for range 3 {
		l.bell.tap()
		<-looked
	}
	l.bell.ring()
	<-looked
}

// TestRingFull: a counter that somebody has filled makes nobody wait.
func TestRingFull(t *testing.T) {
	l, _ := testLatch(t)
	l.bell.raw.Control(func(fd uintptr) {
		if _, err := unix.Write(int(fd), []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); err != nil {
			t.Error(err)
		}
		if err := Ring(int(fd)); err != nil {
			t.Errorf("got %v", err)
		}
	})
	if !l.IsSet() {
		t.Error("it is not set")
	}
	if err := Ring(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: got %v", err)
	}
}
