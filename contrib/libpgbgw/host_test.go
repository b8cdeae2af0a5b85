package libpgbgw

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

// patience bounds every wait of these tests: nothing is expected to take a
// noticeable part of it.
const patience = time.Minute

// A host plays the supervisor for workers in C, which are processes, and in Go,
// which are in the test itself.
type host struct {
	t       testing.TB
	segment *shm.Segment
	table   *shm.SlotTable
	death   *os.File // its writing end
	pipe    *os.File // and the other

	mu      sync.Mutex
	latches map[uint32]int
	silent  bool                                                      // nobody is rung when somebody ends: as the daemon does
	answer  func(*worker, control.Record) (a control.Record, ok bool) // nil: accept
	pass    map[uint32]*os.File                                       // dynamic segments that an answer names
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, latches: map[uint32]int{}, pass: map[uint32]*os.File{}}
	var err error
	if h.segment, err = shm.Create("main", shm.MinSize); err != nil {
		t.Fatal(err)
	}
	if h.table, err = shm.CreateSlots(64); err != nil {
		t.Fatal(err)
	}
	if h.pipe, h.death, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.death.Close()
		h.pipe.Close()
		h.segment.Close()
		h.table.Close()
		for _, fd := range h.latches {
			unix.Close(fd)
		}
	})
	return h
}

func (h *host) latch(slot uint32) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.latches[slot]; !ok {
		fd, err := shm.NewLatchEvent()
		if err != nil {
			h.t.Fatal(err)
		}
		h.latches[slot] = fd
	}
	return h.latches[slot]
}

// set writes a slot's entry, and rings everybody, so that nobody has to wait
// for a patrol to see it, unless the host is silent.
func (h *host) set(slot uint32, state shm.State, status shm.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := shm.Entry{Generation: 17, Start: 1, State: state, Status: status, Name: "test worker", Type: "test", ExitCode: -1}
	h.table.Set(slot, e)
	for _, fd := range h.latches {
		if !h.silent {
			_ = shm.Ring(fd)
		}
	}
}

func (h *host) answers(f func(*worker, control.Record) (control.Record, bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

// A worker is one of the host's.
type worker struct {
	host    *host
	slot    uint32
	control *os.File
	cmd     *exec.Cmd
	out     output
	ended   chan struct{} // the control socket has
	reaped  chan struct{} // the process has, and the table says so
	err     error         // what Wait said, after that

	mu   sync.Mutex
	seen []string
}

// output is what a worker wrote.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // has room for one: something was written
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// says returns when the worker has written text.
func (w *worker) says(text string) {
	w.host.t.Helper()
	late := time.After(patience)
	for !strings.Contains(w.out.String(), text) {
		select {
		case <-w.out.more:
		case <-late:
			w.host.t.Fatalf("%v did not say %q but %q", w.cmd.Args, text, w.out.String())
		}
	}
}

// prepare makes what a worker is passed: duplicates that the caller owns.
func (h *host) prepare(slot uint32) (w *worker, files []*os.File) {
	h.t.Helper()
	mine, theirs, err := control.NewPair()
	if err != nil {
		h.t.Fatal(err)
	}
	w = &worker{host: h, slot: slot, control: os.NewFile(uintptr(mine), "control"), out: output{more: make(chan struct{}, 1)}, ended: make(chan struct{}), reaped: make(chan struct{})}
	for _, fd := range []int{h.segment.Fd(), int(h.table.ReadOnlyFile().Fd()), theirs, int(h.pipe.Fd()), h.latch(slot)} {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			h.t.Fatal(err)
		}
		files = append(files, os.NewFile(uintptr(n), "passed"))
	}
	unix.Close(theirs)
	h.set(slot, shm.StateRunning, shm.StatusStarted)
	go w.serve()
	return w, files
}

func environment(slot uint32) []string {
	return []string{
		fmt.Sprintf("PGBGW_SLOT=%d", slot), "PGBGW_GENERATION=17", "PGBGW_NAME=test worker", "PGBGW_TYPE=test",
		fmt.Sprintf("PGBGW_START=%d.17.1", slot), "PGBGW_MAIN_ARG=18446744073709551615",
		"PGBGW_EXTRA=" + base64.StdEncoding.EncodeToString([]byte("extra")),
		"UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1", "ASAN_OPTIONS=detect_leaks=1",
	}
}

// start starts a program as the worker in a slot.
func (h *host) start(slot uint32, env []string, argv ...string) *worker {
	h.t.Helper()
	w, files := h.prepare(slot)
	w.cmd = exec.Command(argv[0], argv[1:]...)
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	w.cmd.ExtraFiles = files
	w.cmd.Env = append(environment(slot), "PGBGW_FDS=segment:3,slots:4,control:5,death:6,latch:7")
	w.cmd.Env = append(w.cmd.Env, env...)
	if err := w.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	go w.reap()
	return w
}

// reap does what the supervisor does when a process has ended.
func (w *worker) reap() {
	defer close(w.reaped)
	w.err = w.cmd.Wait()
	w.host.set(w.slot, shm.StateRestarting, shm.StatusStopped)
	w.control.Close()
	<-w.ended
}

// open is a worker in Go, in this process.
func (h *host) open(slot uint32) *shm.Worker {
	h.t.Helper()
	_, files := h.prepare(slot)
	var list []string
	for i, name := range []string{"segment", "slots", "control", "death", "latch"} {
		fd, err := unix.FcntlInt(files[i].Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			h.t.Fatal(err)
		}
		files[i].Close()
		list = append(list, fmt.Sprintf("%s:%d", name, fd))
	}
	for _, v := range append(environment(slot), "PGBGW_FDS="+strings.Join(list, ",")) {
		name, value, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "PGBGW_") {
			os.Setenv(name, value)
			defer os.Unsetenv(name)
		}
	}
	w, err := shm.Open()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := w.Attach(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { w.Close() })
	return w
}

// wait returns when the worker has ended.
func (w *worker) wait() error {
	select {
	case <-w.reaped:
	case <-time.After(patience):
		_ = w.cmd.Process.Signal(syscall.SIGABRT)
		<-w.reaped
		w.host.t.Errorf("%v did not end", w.cmd.Args)
	}
	return w.err
}

// succeed waits for a worker that has nothing to complain of, and returns what
// it printed.
func (w *worker) succeed() string {
	w.host.t.Helper()
	if err := w.wait(); err != nil {
		w.host.t.Errorf("%v: %v\n%s", w.cmd.Args, err, w.out.String())
	}
	return strings.TrimSpace(w.out.String())
}

// killed waits for a worker that may be killed, and reports whether it was.
func (w *worker) killed() bool {
	w.host.t.Helper()
	err := w.wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		w.host.t.Errorf("%v: %v\n%s", w.cmd.Args, err, w.out.String())
	}
	return false
}

func (w *worker) serve() {
	defer close(w.ended)
	defer w.control.Close()
	raw, err := w.control.SyscallConn()
	if err != nil {
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
			w.host.t.Errorf("the worker in slot %d sent what is no record: %v", w.slot, err)
			return
		}
		w.take(r)
	}
}

func (w *worker) take(r control.Record) {
	w.mu.Lock()
	w.seen = append(w.seen, r.Type.String())
	w.mu.Unlock()
	w.host.mu.Lock()
	f := w.host.answer
	w.host.mu.Unlock()
	a, ok, pass := r.Accept(), true, -1
	switch {
	case r.Type == control.Latch:
		pass = w.host.latch(r.Slot)
	case f != nil:
		a, ok = f(w, r)
		if m := w.host.pass[a.Segment]; m != nil && a.Errno == 0 {
			pass = int(m.Fd())
		}
	}
	if ok {
		w.send(a, pass)
	}
}

func (w *worker) send(a control.Record, pass int) {
	b, err := a.Append(nil)
	if err != nil {
		w.host.t.Error(err)
		return
	}
	w.sendBytes(b, pass)
}

func (w *worker) sendBytes(b []byte, pass int) {
	raw, err := w.control.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = control.Send(int(fd), b, pass) })
}

// requests are the types that it sent, in order.
func (w *worker) requests() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.seen, " ")
}
