package shm

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

// TestQueueKilled kills a worker that sends and receives, with SIGKILL and at
// any point: the other side gets all that was published, in order and whole,
// and then ErrDetached in both directions, and never hangs.
func TestQueueKilled(t *testing.T) {
	if os.Getenv("SHM_TEST_CHILD") != "" {
		queueChild(t)
		return
	}
	for seed := range uint64(25) {
		killQueueWorker(t, rand.New(rand.NewPCG(seed, 5)))
	}
}

const killedQueue = 1024 // bytes

func killQueueWorker(t *testing.T, random *rand.Rand) {
	s := newSupervisor(t)
	p := parentParty(t, s)
	mine := attached(t, s.segment)
	area := func(name string) *Queue {
		data, _, err := mine.areas.find(name, killedQueue)
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.createQueue(data)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	r, err := area("up").AttachReceiver()
	if err != nil {
		t.Fatal(err)
	}
	w, err := area("down").AttachSender()
	if err != nil {
		t.Fatal(err)
	}
	entry := Entry{Generation: 17, Start: 2, State: StateRunning, Name: "test worker"}
	s.table.Set(3, entry)
	r.Expect(Handle{Slot: 3, Generation: 17})
	w.Expect(Handle{Slot: 3, Generation: 17})
	c := workerProcess(t, s, "TestQueueKilled")

	after, spin := 1+random.IntN(1000), random.IntN(20000)
	var killed sync.WaitGroup
	enough := make(chan struct{})
	killed.Go(func() {
		<-enough
		for range spin {
			runtime.Gosched()
		}
		c.Process.Kill()
		c.Wait()
		entry.State, entry.Status, entry.Pid = StateRestarting, StatusStopped, 0
		s.table.Set(3, entry)
	})
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := 0; ; i++ {
			if err := w.Send(context.Background(), FlushMode(i%2), numbered(i)); err != nil {
				if err != ErrDetached {
					t.Errorf("send: %v", err)
				}
				return
			}
		}
	})
	for i := 0; ; i++ {
		if i == after {
			close(enough)
		}
		got, err := r.Receive(context.Background())
		if err != nil {
			if err != ErrDetached || i < after {
				t.Errorf("message %d: %v\n%s", i, err, c.Stdout)
			}
			if i < after {
				close(enough)
			}
			break
		}
		if string(got) != string(numbered(i)) {
			t.Errorf("message %d has %d bytes and is not what was sent", i, len(got))
		}
	}
	sent.Wait()
	killed.Wait()
}

// parentParty is the test itself as a worker in slot 5.
func parentParty(t *testing.T, s *supervisor) *party {
	l, _ := testLatch(t)
	l.sleepers.every = 5 * time.Millisecond
	slots, err := openSlots(int(s.table.ReadOnlyFile().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	p := newParty(partyWord(&BackgroundWorker{Handle: Handle{Slot: 5, Generation: 1}, Start: 1}), l)
	p.dead, p.stopped = slots.dead, slots.stopped
	p.ask = func(context.Context, uint32) (*bell, error) { return newOtherBell(s.dup(s.latch)), nil }
	t.Cleanup(p.close)
	var fd int
	l.bell.raw.Control(func(f uintptr) { fd = int(f) })
	s.answers(func(r control.Record) (control.Record, int, bool) {
		if r.Type == control.Latch {
			return r.Accept(), fd, true
		}
		return r.Accept(), -1, true
	})
	return p
}

// numbered is message i: of varied length, some larger than the ring.
func numbered(i int) []byte {
	b := make([]byte, 8+i*37%1500)
	binary.LittleEndian.PutUint64(b, uint64(i))
	b[len(b)-1] ^= byte(i)
	return b
}

// queueChild sends and receives until it is killed.
func queueChild(t *testing.T) {
	w, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := func(name string) *Queue {
		data, found, err := w.Area(name, killedQueue)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		q, err := w.OpenQueue(data)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	s, err := open("up").AttachSender()
	if err != nil {
		t.Fatal(err)
	}
	r, err := open("down").AttachReceiver()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := 0; ; i++ {
			if got, err := r.Receive(context.Background()); err != nil || string(got) != string(numbered(i)) {
				panic("the message from above differs")
			}
		}
	}()
	for i := 0; ; i++ {
		if err := s.Send(context.Background(), FlushMode(i%2), numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLockKilled kills a worker that takes a lock in both modes, with SIGKILL
// and at any point: the next taker gets it (BGW-160), and is told if the worker
// held it alone.
func TestLockKilled(t *testing.T) {
	if os.Getenv("SHM_TEST_CHILD") != "" {
		lockChild(t)
		return
	}
	told := 0
	for seed := range uint64(20) {
		if killLockWorker(t, rand.New(rand.NewPCG(seed, 6))) {
			told++
		}
	}
	if told == 0 {
		t.Error("BGW-160: no worker was killed as it held the lock")
	}
}

func killLockWorker(t *testing.T, random *rand.Rand) (told bool) {
	s := newSupervisor(t)
	p := parentParty(t, s)
	data, _, err := attached(t, s.segment).areas.find("lock", 256)
	if err != nil {
		t.Fatal(err)
	}
	count := memory(data).word64(248)
	l, err := p.createLock(data[:LockSize(4)])
	if err != nil {
		t.Fatal(err)
	}
	entry := Entry{Generation: 17, Start: 2, State: StateRunning, Name: "test worker"}
	s.table.Set(3, entry)
	c := workerProcess(t, s, "TestLockKilled")
	for after := 1 + random.Uint64N(5000); count.Load() < after; {
		if died, err := l.Acquire(t.Context()); died || err != nil {
			t.Fatalf("died %v, error %v\n%s", died, err, c.Stdout)
		}
		l.Release()
	}
	for range random.IntN(5000) {
		runtime.Gosched()
	}
	c.Process.Kill()
	c.Wait()
	held := l.holder.Load() != 0 && !l.shared()
	entry.State, entry.Status, entry.Pid = StateRestarting, StatusStopped, 0
	s.table.Set(3, entry)
	told, err = l.Acquire(context.Background())
	if err != nil || held && !told {
		t.Errorf("BGW-160: held %v, told %v, error %v", held, told, err)
	}
	if !l.Release() {
		t.Error("BGW-160: it is not held")
	}
	return told
}

// lockChild takes a lock again and again until it is killed, and counts.
func lockChild(t *testing.T) {
	w, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, _, err := w.Area("lock", 256)
	if err != nil {
		t.Fatal(err)
	}
	count := memory(data).word64(248)
	l, err := w.OpenLock(data[:LockSize(4)])
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := l.Acquire(context.Background()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			count.Add(1)
		}
		l.Release()
		if _, err := l.AcquireShared(context.Background()); err != nil {
			t.Fatal(err)
		}
		l.ReleaseShared()
	}
}

// TestQueueWorker uses queues through a Worker: only while attached; detaching
// detaches them.
func TestQueueWorker(t *testing.T) {
	sup := newSupervisor(t)
	w := sup.open()
	if _, err := w.CreateQueue(make([]byte, 64)); err == nil {
		t.Error("a queue before Attach")
	}
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, _, err := w.Area("queue", 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.OpenQueue(data); err == nil {
		t.Error("a queue that nobody made")
	}
	q, err := w.CreateQueue(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.AttachSender()
	if err != nil {
		t.Fatal(err)
	}
	r, err := q.AttachReceiver() // of the same process
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan error, 1)
	go func() { _, err := r.Receive(t.Context()); received <- err }()
	untilFlag(q, queueReceiverWaits)
	if err := s.Send(t.Context(), Flush, message(3)); err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	go func() { _, err := r.Receive(t.Context()); received <- err }()
	untilFlag(q, queueReceiverWaits)
	if err := w.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != ErrDetached {
		t.Errorf("who waits while the worker detaches: %v", err)
	}
	if err := s.Send(t.Context(), Flush, nil); err != ErrDetached {
		t.Errorf("after the worker's detach: %v", err)
	}
	if _, err := w.OpenQueue(data); err == nil {
		t.Error("a queue after Detach")
	}
}
