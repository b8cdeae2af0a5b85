package shm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
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

func TestWorkerLife(t *testing.T) {
	before := openFds(t)
	s := newSupervisor(t)
	s.table.Set(3, testEntry())
	w := s.open()
	if self := w.Self(); self.Name != "test worker" || self.Handle != (Handle{Slot: 3, Generation: 17}) || self.Start != 2 {
		t.Errorf("self is %+v", self)
	}
	if _, _, err := w.Area("a", 1); !errors.Is(err, ErrNotAttached) {
		t.Errorf("area before attach: got %v", err)
	}
	for range 2 {
		if err := w.Attach(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	data, found, err := w.Area("a", 8)
	if err != nil || found {
		t.Fatalf("area: found %v, error %v", found, err)
	}
	if err := w.Ready(t.Context(), "listening"); err != nil {
		t.Error(err)
	}
	slots, err := w.Slots()
	if err != nil {
		t.Fatal(err)
	}
	if e, err := slots.Entry(3); err != nil || e.Name != testEntry().Name {
		t.Errorf("slot 3 is %+v, error %v", e, err)
	}
	if err := w.Detach(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := w.Area("a", 8); !errors.Is(err, ErrNotAttached) {
		t.Errorf("area after detach: got %v", err)
	}
	data[0] = 1 // a late access is no fault
	if err := w.Attach(t.Context()); err != nil {
		t.Errorf("attach again: %v", err)
	}
	if again, found, err := w.Area("a", 8); err != nil || !found || &again[0] != &data[0] {
		t.Errorf("the area again: found %v, error %v", found, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if got, want := s.types(), "Hello Attach Ready Detach Attach Detach"; got != want {
		t.Errorf("requests %q, want %q", got, want)
	}
	if err := w.Attach(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("attach after close: got %v", err)
	}
	if _, err := w.Latch().Wait(t.Context(), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("wait after close: got %v", err)
	}
	if err := w.Ready(t.Context(), ""); !errors.Is(err, ErrClosed) {
		t.Errorf("ready after close: got %v", err)
	}
	select {
	case <-w.Done():
		t.Error("closing counts as the supervisor's death")
	default:
	}
	if _, err := slots.Entry(3); err != nil {
		t.Errorf("the slot table is gone with the worker: %v", err)
	}
	// segment, table and its reading, latch, socket, death: what is the supervisor's.
	if after := openFds(t); after > before+6+4 { // and the runtime's poller
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestAttachRefused: the segment was renewed; nothing stays mapped and nothing
// was written.
func TestAttachRefused(t *testing.T) {
	s := newSupervisor(t)
	s.answers(func(r control.Record) (control.Record, int, bool) {
		return r.Refuse(syscall.ESTALE, "segment \"main\" was renewed"), -1, true
	})
	w := s.open()
	err := w.Attach(t.Context())
	var refused *RefusedError
	if !errors.Is(err, syscall.ESTALE) || !errors.As(err, &refused) || refused.Request != "Attach" ||
		!strings.Contains(err.Error(), "supervisor refused Attach: segment \"main\" was renewed") {
		t.Errorf("got %v", err)
	}
	if w.joined.Load() != nil {
		t.Error("the segment is still mapped")
	}
	s.answers(nil)
	if err := w.Attach(t.Context()); err != nil {
		t.Errorf("later: %v", err)
	}
}

// TestAttachDamaged: memory that is not a segment is refused before the supervisor
// hears of it.
func TestAttachDamaged(t *testing.T) {
	s := newSupervisor(t)
	unix.Close(s.worker["segment"])
	s.worker["segment"] = s.dup(int(s.table.ReadOnlyFile().Fd()))
	w := s.open()
	if err := w.Attach(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "cannot attach: segment:") {
		t.Errorf("got %v", err)
	}
	if err := w.Ready(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got := s.types(); got != "Hello Ready" {
		t.Errorf("requests %q", got)
	}
}

func TestWorkerWithout(t *testing.T) {
	s := newSupervisor(t)
	for _, fd := range s.worker {
		unix.Close(fd)
	}
	s.worker = nil
	w := s.open()
	if err := w.Attach(t.Context()); err == nil || !strings.Contains(err.Error(), `attach = "never"`) {
		t.Errorf("attach: got %v", err)
	}
	if _, err := w.Slots(); err == nil || !strings.Contains(err.Error(), "no slots") {
		t.Errorf("slots: got %v", err)
	}
	if err := w.Ready(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no control") {
		t.Errorf("ready: got %v", err)
	}
	if err := w.Latch().Set(); err != nil {
		t.Error(err)
	}
	if e, err := w.Latch().Wait(t.Context(), -1); e != LatchSet || err != nil {
		t.Errorf("latch: got %v, %v", e, err)
	}
	if w.Changes() != nil {
		t.Error("there are changes")
	}
}

// TestOpenRefuses: each descriptor has to be what its name says.
func TestOpenRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"control": "no SOCK_SEQPACKET", "death": "no pipe", "latch": "not an eventfd", "segment": "", "closed": "bad file descriptor",
	} {
		s := newSupervisor(t)
		var fd int
		if name == "closed" {
			fd = 987654
		} else {
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			fd = s.dup(int(null.Fd()))
			null.Close()
			unix.Close(s.worker[name])
		}
		s.worker[name] = fd
		w, err := open(lookupIn(s.environment()))
		switch {
		case name == "segment":
			if err != nil {
				t.Errorf("%s is checked at Attach, but Open says %v", name, err)
				continue
			}
			w.Close()
		case err == nil:
			w.Close()
			t.Errorf("%s: /dev/null was accepted", name)
		case !strings.Contains(err.Error(), name):
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	s := newSupervisor(t)
	var err error
	unix.Close(s.worker["latch"])
	if s.worker["latch"], err = unix.Eventfd(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := open(lookupIn(s.environment())); err == nil || !strings.Contains(err.Error(), "not non-blocking") {
		t.Errorf("blocking eventfd: got %v", err)
	}
}

// TestOpenCloseOnExec also for names that are not known here, and without
// changing what others share.
func TestOpenCloseOnExec(t *testing.T) {
	s := newSupervisor(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s.worker["unknown"] = s.dup(int(null.Fd()))
	for _, fd := range s.worker {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	for name, fd := range s.worker {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s is not close-on-exec (error %v)", name, err)
		}
	}
	flags, err := unix.FcntlInt(uintptr(s.worker["death"]), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the death pipe, which all workers share, was made non-blocking (error %v)", err)
	}
}

// TestSupervisorDies holds the worker's side of BGW-043 and BGW-110: every wait
// ends, whichever of pipe and socket tells of it.
func TestSupervisorDies(t *testing.T) {
	for name, die := range map[string]func(s *supervisor){
		"death pipe":     func(s *supervisor) { s.death.Close() },
		"control socket": func(s *supervisor) { s.control.Close() },
		"both":           func(s *supervisor) { s.die() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSupervisor(t)
			asked := make(chan struct{})
			s.answers(func(r control.Record) (control.Record, int, bool) {
				if r.Type == control.WaitStartup {
					close(asked)
					return r, -1, false
				}
				return r.Accept(), -1, true
			})
			w := s.open()
			if err := w.Attach(t.Context()); err != nil {
				t.Fatal(err)
			}
			var waiters sync.WaitGroup
			waiters.Go(func() {
				if e, err := w.Latch().Wait(t.Context(), -1); e != SupervisorDied || err != nil {
					t.Errorf("BGW-110: got %v, %v", e, err)
				}
			})
			waiters.Go(func() {
				status, _, err := w.WaitStartup(t.Context(), Handle{Slot: 1, Generation: 2})
				if status != StatusPostmasterDied || err != nil {
					t.Errorf("BGW-043: got %v, %v", status, err)
				}
			})
			<-asked
			untilWaiting(w.latch)
			die(s)
			<-w.Done()
			if name == "death pipe" {
				s.control.Close() // a pipe alone says nothing to a request under way
			}
			waiters.Wait()
			if status, _, err := w.Pid(t.Context(), Handle{Slot: 1, Generation: 2}); status != StatusPostmasterDied || err != nil {
				t.Errorf("afterwards: got %v, %v", status, err)
			}
			if err := w.Ready(t.Context(), ""); !errors.Is(err, ErrSupervisorDied) {
				t.Errorf("ready: got %v", err)
			}
			if err := w.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestSupervisorTalksNonsense: the connection ends, with an error that says so.
func TestSupervisorTalksNonsense(t *testing.T) {
	s := newSupervisor(t)
	s.answers(func(r control.Record) (control.Record, int, bool) { return r, -1, false })
	w := s.open()
	// What a newer supervisor may send is passed over: an unknown event, and an
	// answer that nobody waits for, with a descriptor.
	s.send(control.Record{Type: control.Latch.Answer(), ID: 99}, s.latch)
	raw, _ := s.control.SyscallConn()
	event := []byte{16, 0, 0, 0, 1, 0, 9, 0x40, 0, 0, 0, 0, 0, 0, 0, 0}
	raw.Control(func(fd uintptr) { control.Send(int(fd), event, -1) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Ready(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that nobody answers: got %v", err)
	}
	raw.Control(func(fd uintptr) { control.Send(int(fd), []byte("nonsense"), -1) })
	<-w.Done()
	<-w.client.done
	if err := w.Ready(t.Context(), ""); !errors.Is(err, control.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

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
	peer, _ := testLatch(t) // the worker of slot 5
	s.answers(func(r control.Record) (control.Record, int, bool) {
		switch {
		case r.Type == control.Latch && r.Slot == 5:
			var fd int
			peer.bell.raw.Control(func(f uintptr) { fd = int(f) })
			return r.Accept(), fd, true
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
		if err := p.Set(); err != nil || !peer.IsSet() {
			t.Errorf("%s: set %v, error %v", name, peer.IsSet(), err)
		}
		peer.Reset()
	}
	// It attaches, and is awake: no system call is needed.
	a := w.inside()
	offset, _ := a.latch(5)
	peer.moveTo(a.mem.word32(offset))
	peer.Reset()
	if err := inside.Set(); err != nil || peer.rings(t) != 0 || !peer.IsSet() {
		t.Errorf("set %v, error %v", peer.IsSet(), err)
	}
	// We detach: its word is no longer ours to write.
	peer.Reset()
	if err := w.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := inside.Set(); err != nil || peer.rings(t) != 1 {
		t.Errorf("after detach: error %v", err)
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

// TestLateAnswerLeaksNothing: an answer with a descriptor whose caller has given up
// is closed.
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

// TestWorkerCosts holds what a worker has open: goroutines, and no threads that wait.
func TestWorkerCosts(t *testing.T) {
	s := newSupervisor(t)
	goroutines, fds := runtime.NumGoroutine(), openFds(t)
	w := s.open()
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 2 {
		t.Errorf("%d goroutines", n)
	}
	if n := openFds(t) - fds; n > 1+3 { // the epoll instance of the death pipe, and the runtime's own
		t.Errorf("%d descriptors more than were passed", n)
	}
}

// TestTwoProcesses is the real thing: another program with the environment and
// descriptors of a worker attaches, counts in an area, sets our latch, and
// detaches.
func TestTwoProcesses(t *testing.T) {
	if os.Getenv("SHM_TEST_CHILD") != "" {
		twoProcessesChild(t)
		return
	}
	s := newSupervisor(t)
	mine := attached(t, s.segment)
	data, _, err := mine.areas.find("greeting", 32)
	if err != nil {
		t.Fatal(err)
	}
	waiting, _ := testLatch(t)
	offset, _ := mine.latch(5)
	waiting.moveTo(mine.mem.word32(offset))
	var fd int
	waiting.bell.raw.Control(func(f uintptr) { fd = int(f) })
	s.answers(func(r control.Record) (control.Record, int, bool) {
		if r.Type == control.Latch {
			return r.Accept(), fd, true
		}
		return r.Accept(), -1, true
	})
	c := workerProcess(t, s, "TestTwoProcesses")
	if e, err := waiting.Wait(t.Context(), time.Minute); e != LatchSet || err != nil {
		t.Errorf("latch: got %v, %v", e, err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, c.Stdout)
	}
	if got := string(data[:5]); got != "hello" {
		t.Errorf("the area has %q", got)
	}
	if got, want := s.types(), "Hello Attach Latch Ready Detach"; got != want {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// workerProcess starts a test of this program as the worker of s.
func workerProcess(t *testing.T, s *supervisor, test string) *exec.Cmd {
	t.Helper()
	c := child(t, test)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	for _, name := range []string{"segment", "slots", "control", "death", "latch"} {
		c.ExtraFiles = append(c.ExtraFiles, os.NewFile(uintptr(s.worker[name]), name))
	}
	env := s.environment()
	env["PGBGW_FDS"] = "segment:3,slots:4,control:5,death:6,latch:7"
	for name, value := range env {
		c.Env = append(c.Env, name+"="+value)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.ExtraFiles {
		f.Close()
	}
	return c
}

func twoProcessesChild(t *testing.T) {
	w, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, found, err := w.Area("greeting", 32)
	if err != nil || !found {
		t.Fatalf("found %v, error %v", found, err)
	}
	copy(data, "hello")
	p, err := w.PeerLatch(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Set(); err != nil {
		t.Error(err)
	}
	if err := w.Ready(t.Context(), "done"); err != nil {
		t.Error(err)
	}
}
