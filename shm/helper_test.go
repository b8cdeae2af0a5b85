package shm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

func openFds(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// child is this test program again, with one test of it.
func child(t testing.TB, test string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	c.Env = append(os.Environ(), "SHM_TEST_CHILD=1")
	return c
}

// supervisor plays the other side for one worker: it holds segment, table,
// death pipe and latch, and answers on the control socket.
type supervisor struct {
	t       testing.TB
	segment *Segment
	table   *SlotTable
	latch   int
	control *os.File
	death   *os.File // the end that only the supervisor has

	worker map[string]int // descriptors for the worker, by name

	mu     sync.Mutex
	seen   []control.Record
	answer func(control.Record) (a control.Record, fd int, ok bool) // nil: accept
	ended  chan struct{}
}

func newSupervisor(t testing.TB) *supervisor {
	t.Helper()
	s := &supervisor{t: t, segment: create(t, "main", MinSize), ended: make(chan struct{})}
	var err error
	if s.table, err = CreateSlots(128); err != nil {
		t.Fatal(err)
	}
	if s.latch, err = NewLatchEvent(); err != nil {
		t.Fatal(err)
	}
	mine, theirs, err := control.NewPair()
	if err != nil {
		t.Fatal(err)
	}
	s.control = os.NewFile(uintptr(mine), "supervisor")
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	s.death = os.NewFile(uintptr(p[1]), "death")
	s.worker = map[string]int{
		"segment": s.dup(s.segment.Fd()), "slots": s.dup(int(s.table.ReadOnlyFile().Fd())),
		"control": theirs, "death": p[0], "latch": s.dup(s.latch),
	}
	t.Cleanup(func() {
		s.die()
		<-s.ended
		s.table.Close()
		unix.Close(s.latch)
	})
	go s.serve()
	return s
}

func (s *supervisor) dup(fd int) int {
	s.t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// die is the supervisor's death, as a worker sees it.
func (s *supervisor) die() {
	s.control.Close()
	s.death.Close()
}

func (s *supervisor) serve() {
	defer close(s.ended)
	raw, err := s.control.SyscallConn()
	if err != nil {
		s.t.Error(err)
		return
	}
	buf := make([]byte, control.MaxRecord)
	for {
		var n int
		if raw.Read(func(fd uintptr) bool {
			n, err = control.Receive(int(fd), buf)
			return !errors.Is(err, syscall.EAGAIN)
		}) != nil || err != nil {
			return
		}
		var r control.Record
		if err := r.Decode(buf[:n]); err != nil {
			s.t.Error(err)
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, r)
		answer := s.answer
		s.mu.Unlock()
		a, fd, ok := r.Accept(), -1, true
		if answer != nil {
			a, fd, ok = answer(r)
		}
		if ok {
			s.send(a, fd)
		}
	}
}

func (s *supervisor) send(a control.Record, fd int) {
	b, err := a.Append(nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	raw, err := s.control.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(c uintptr) { err = control.Send(int(c), b, fd) })
	if err != nil && !errors.Is(err, unix.EPIPE) {
		s.t.Error(err)
	}
}

// answers sets what the supervisor says from now on.
func (s *supervisor) answers(f func(control.Record) (control.Record, int, bool)) {
	s.mu.Lock()
	s.answer = f
	s.mu.Unlock()
}

// types are the requests that came, in order.
func (s *supervisor) types() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, r := range s.seen {
		names = append(names, r.Type.String())
	}
	return strings.Join(names, " ")
}

// last is the last request that came.
func (s *supervisor) last() control.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[len(s.seen)-1]
}

// environment is what the worker finds.
func (s *supervisor) environment() map[string]string {
	var fds []string
	for name, fd := range s.worker {
		fds = append(fds, fmt.Sprintf("%s:%d", name, fd))
	}
	return map[string]string{
		"PGBGW_FDS": strings.Join(fds, ","), "PGBGW_SLOT": "3", "PGBGW_GENERATION": "17",
		"PGBGW_NAME": "test worker", "PGBGW_TYPE": "test", "PGBGW_START": "3.17.2",
	}
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// open is the worker of s, in this process.
func (s *supervisor) open() *Worker {
	s.t.Helper()
	w, err := open(lookupIn(s.environment()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { w.Close() })
	return w
}

// untilFlag returns when an end of a queue sleeps, or is about to.
func untilFlag(q *Queue, flag uint32) {
	for q.state.Load()&flag == 0 {
		runtime.Gosched()
	}
}
