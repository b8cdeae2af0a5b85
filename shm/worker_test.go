package shm

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

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
	// segment, table and its reading, latch, socket, death: what is the
	// supervisor's.
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

// TestAttachDamaged: memory that is not a segment is refused before the
// supervisor hears of it.
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
		"control": "no SOCK_SEQPACKET", "death": "no pipe", "latch": "not an eventfd", "segment": "", "slots": "bad file descriptor",
	} {
		s := newSupervisor(t)
		var fd int
		if name == "slots" {
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

// TestOpenCloseOnExec, but for what is not the library's, and without changing
// what others share.
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
		if err != nil || flags&unix.FD_CLOEXEC == 0 != (name == "unknown") {
			t.Errorf("%s has the flags %d (error %v)", name, flags, err)
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

// TestWorkerCosts holds what a worker has open: goroutines, and no threads that
// wait.
func TestWorkerCosts(t *testing.T) {
	s := newSupervisor(t)
	goroutines, fds := runtime.NumGoroutine(), openFds(t)
	w := s.open()
	if err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 3 { // for the supervisor's death, its records, and rings
		t.Errorf("%d goroutines", n)
	}
	if n := openFds(t) - fds; n > 1+3 { // the epoll instance of the death pipe, and the runtime's own
		t.Errorf("%d descriptors more than were passed", n)
	}
}
