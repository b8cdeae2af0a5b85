package shm

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

func TestRegister(t *testing.T) {
	s := newSupervisor(t)
	s.answers(func(r control.Record) (control.Record, int, bool) {
		a := r.Accept()
		if r.Type == control.Register {
			a.Handle = Handle{Slot: 9, Generation: 8<<32 | 7}
		}
		return a, -1, true
	})
	w := s.open()
	h, err := w.Register(t.Context(), Definition{
		Name: "n", Type: "t", Flags: []string{FlagShmemAccess, FlagDatabaseConnection}, StartTime: StartRecoveryFinished,
		RestartTime: RestartAfter(1500 * time.Millisecond), LibraryName: "l", FunctionName: "f", Command: []string{"/c", "a"},
		MainArg: 1<<64 - 1, Extra: []byte{0}, NotifyPid: NotifyNobody, Database: "d", Role: "r", Environment: []string{"A=b"},
		Segment: "s", KillSignal: "SIGINT", KillTimeout: -1, StopWithOwner: true,
	})
	if err != nil || h != (Handle{Slot: 9, Generation: 8<<32 | 7}) {
		t.Errorf("got %v, %v", h, err)
	}
	want := []control.Pair{
		{Key: "Name", Value: "n"}, {Key: "Type", Value: "t"}, {Key: "Flags", Value: []string{"shmem_access", "backend_database_connection"}},
		{Key: "StartTime", Value: "recovery_finished"}, {Key: "RestartTime", Value: int64(2)}, {Key: "LibraryName", Value: "l"},
		{Key: "FunctionName", Value: "f"}, {Key: "Command", Value: []string{"/c", "a"}}, {Key: "MainArg", Value: uint64(1<<64 - 1)},
		{Key: "Extra", Value: []byte{0}}, {Key: "NotifyPid", Value: uint64(0)}, {Key: "Database", Value: "d"}, {Key: "Role", Value: "r"},
		{Key: "Environment", Value: []string{"A=b"}}, {Key: "Segment", Value: "s"}, {Key: "KillSignal", Value: "SIGINT"},
		{Key: "KillTimeoutUSec", Value: uint64(1<<64 - 1)}, {Key: "StopWithOwner", Value: uint64(1)},
	}
	if diff := cmp.Diff(want, s.last().Pairs); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	if _, err := w.Register(t.Context(), Definition{Name: "n"}); err == nil || !strings.Contains(err.Error(), "RestartTime is not set") {
		t.Errorf("no restart time: got %v", err)
	}
	if _, err := w.Register(t.Context(), Definition{Name: "n", RestartTime: NeverRestart, Flags: []string{"shmem_access"}}); err != nil {
		t.Errorf("the least: %v", err)
	}
	want = []control.Pair{{Key: "Name", Value: "n"}, {Key: "Flags", Value: []string{"shmem_access"}}, {Key: "RestartTime", Value: int64(-1)}}
	if diff := cmp.Diff(want, s.last().Pairs); diff != "" {
		t.Errorf("pairs of the least (-want +got):\n%s", diff)
	}
	s.answers(func(r control.Record) (control.Record, int, bool) {
		return r.Refuse(syscall.EAGAIN, "no free slot"), -1, true
	})
	_, err = w.Register(t.Context(), Definition{Name: "n", RestartTime: NeverRestart})
	if !errors.Is(err, syscall.EAGAIN) || err.Error() != `cannot register worker "n": supervisor refused Register: no free slot` {
		t.Errorf("refused: got %v", err)
	}
	if _, err := w.Register(t.Context(), Definition{Name: "\xff", RestartTime: NeverRestart}); err == nil {
		t.Error("a name that is not UTF-8 was sent")
	}
}

// TestWaits: an answer that it is not over yet makes the wait go on.
func TestWaits(t *testing.T) {
	s := newSupervisor(t)
	var asked atomic.Uint32
	s.answers(func(r control.Record) (control.Record, int, bool) {
		a := r.Accept()
		switch r.Type {
		case control.WaitStartup, control.WaitShutdown:
			if r.TimeoutUSec != 20_000_000 {
				t.Errorf("timeout %d", r.TimeoutUSec)
			}
			if n := asked.Add(1); n%3 != 0 {
				a.Status = uint32(StatusNotYetStarted)
				if r.Type == control.WaitShutdown {
					a.Status = n % 2
				}
				return a, -1, true
			}
			if a.Pid = 4711; r.Type == control.WaitShutdown {
				a.Status, a.Pid = uint32(StatusStopped), 0
			}
		case control.GetPid:
			a.Status, a.Pid = uint32(StatusStopped), 0
		}
		return a, -1, true
	})
	w := s.open()
	if status, pid, err := w.WaitStartup(t.Context(), Handle{Slot: 1, Generation: 2}); status != StatusStarted || pid != 4711 || err != nil || asked.Load() != 3 {
		t.Errorf("startup: got %v, %d, %v after %d", status, pid, err, asked.Load())
	}
	if status, err := w.WaitShutdown(t.Context(), Handle{Slot: 1, Generation: 2}); status != StatusStopped || err != nil || asked.Load() != 6 {
		t.Errorf("shutdown: got %v, %v after %d", status, err, asked.Load())
	}
	if status, pid, err := w.Pid(t.Context(), Handle{Slot: 1, Generation: 2}); status != StatusStopped || pid != 0 || err != nil {
		t.Errorf("pid: got %v, %d, %v", status, pid, err)
	}
	if err := w.Terminate(t.Context(), Handle{Slot: 1, Generation: 2}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.answers(func(r control.Record) (control.Record, int, bool) { cancel(); return r, -1, false })
	if _, _, err := w.WaitStartup(ctx, Handle{Slot: 1, Generation: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// TestAnswersInAnyOrder: a long wait delays no other request.
func TestAnswersInAnyOrder(t *testing.T) {
	s := newSupervisor(t)
	held := make(chan control.Record, 1)
	s.answers(func(r control.Record) (control.Record, int, bool) {
		if r.Type == control.WaitShutdown {
			a := r.Accept()
			a.Status = uint32(StatusStopped)
			held <- a
			return r, -1, false
		}
		return r.Accept(), -1, true
	})
	w := s.open()
	var waiter sync.WaitGroup
	waiter.Go(func() {
		if status, err := w.WaitShutdown(t.Context(), Handle{Slot: 1, Generation: 2}); status != StatusStopped || err != nil {
			t.Errorf("got %v, %v", status, err)
		}
	})
	a := <-held
	for range 10 {
		if err := w.Ready(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	s.send(a, -1)
	waiter.Wait()
}

func TestChanges(t *testing.T) {
	s := newSupervisor(t)
	w := s.open()
	for i := range maxChanges + 10 {
		s.send(control.Record{
			Type: control.WorkerStateChanged, Handle: Handle{Slot: 1, Generation: 2}, Start: uint64(i), State: uint32(StateRestarting),
			Status: uint32(StatusStopped), ExitCode: -1, ExitSignal: 9, Text: "killed",
		}, -1)
		if i%50 == 0 {
			if err := w.Ready(t.Context(), ""); err != nil { // the socket holds only so many
				t.Fatal(err)
			}
		}
	}
	if err := w.Ready(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	got := <-w.Changes()
	want := StateChange{
		Handle: Handle{Slot: 1, Generation: 2}, Start: 10, State: StateRestarting, Status: StatusStopped, ExitCode: -1, ExitSignal: syscall.SIGKILL, Reason: "killed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the oldest that is left (-want +got):\n%s", diff)
	}
}

func TestPeerLatch(t *testing.T) {
	s := newSupervisor(t)
	called := newCalls(t)
	s.answers(func(r control.Record) (control.Record, int, bool) {
		switch {
		case r.Type == control.Latch && r.Slot == 5:
			return r.Accept(), called.fd, true
		case r.Type == control.Latch && r.Slot == 6:
			return r.Accept(), -1, true
		case r.Type == control.Latch:
			return r.Refuse(syscall.ENOENT, "no slot"), -1, true
		}
		return r.Accept(), -1, true
	})
	w := s.open()
	before := openFds(t)
	outside, err := w.PeerLatch(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	inside, err := w.PeerLatch(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	// The peer is not attached to our segment: each set rings.
	for name, p := range map[string]*PeerLatch{"outside": outside, "inside": inside} {
		if err := p.Set(); err != nil || called.number() != 1 {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// It attaches, and is awake: no system call is needed.
	peer := w.inside().latchWord(5)()
	peer.Store(latchOwned)
	if err := inside.Set(); err != nil || called.number() != 0 || peer.Load() != latchOwned|latchSet {
		t.Errorf("the word is %d, error %v", peer.Load(), err)
	}
	// It sleeps, and does not know taps.
	peer.Store(latchOwned | latchWaiting)
	if err := inside.Set(); err != nil || called.number() != 1 {
		t.Errorf("asleep: error %v", err)
	}
	// We detach: its word is no longer ours to write.
	peer.Store(latchOwned)
	if err := w.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := inside.Set(); err != nil || called.number() != 1 || peer.Load() != latchOwned {
		t.Errorf("after detach: the word is %d, error %v", peer.Load(), err)
	}
	for slot, want := range map[uint32]string{6: "no descriptor", 7: "no slot"} {
		if _, err := w.PeerLatch(t.Context(), slot); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("slot %d: got %v", slot, err)
		}
	}
	outside.Close()
	inside.Close()
	if err := inside.Set(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
	if after := openFds(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestLateAnswerLeaksNothing: an answer with a descriptor whose caller has
// given up is closed.
func TestLateAnswerLeaksNothing(t *testing.T) {
	s := newSupervisor(t)
	w := s.open()
	if err := w.Ready(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	before := openFds(t)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		s.answers(func(r control.Record) (control.Record, int, bool) {
			cancel()
			return r.Accept(), s.latch, true
		})
		if p, err := w.PeerLatch(ctx, 1); err == nil {
			p.Close()
		}
		cancel()
	}
	s.answers(nil)
	if err := w.Ready(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if after := openFds(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestAnswerThatNobodyTakes is the same for one that came just before its
// caller gave up.
func TestAnswerThatNobodyTakes(t *testing.T) {
	s := newSupervisor(t)
	w := s.open()
	answer := make(chan reply, 1)
	id, err := w.client.enter(answer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&control.Record{Type: control.Latch.Answer(), ID: id}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	fd := s.dup(s.latch)
	if err := w.client.take(b, fd); err != nil {
		t.Fatal(err)
	}
	w.client.leave(id, answer)
	if err := Ring(fd); !errors.Is(err, unix.EBADF) {
		t.Errorf("the descriptor that came with it is still open (error %v)", err)
	}
}
