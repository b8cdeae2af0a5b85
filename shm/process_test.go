package shm

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

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

// TestWorkerInC compiles a worker that knows the documentation and the header
// file only: areas, slots and latches mean the same on both sides.
func TestWorkerInC(t *testing.T) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		needs(t, "gcc")
	}
	program := filepath.Join(t.TempDir(), "worker")
	if out, err := exec.Command(cc, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, "testdata/worker.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	s := newSupervisor(t)
	s.table.Set(3, Entry{Generation: 17, Pid: 4711, State: StateRunning, Name: "in c"})
	mine := attached(t, s.segment)
	if _, _, err := mine.areas.find("before", 1); err != nil {
		t.Fatal(err)
	}
	data, _, err := mine.areas.find("from go", 32)
	if err != nil {
		t.Fatal(err)
	}
	copy(data, "hello")
	c := exec.Command(program)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	for _, name := range []string{"segment", "slots", "control", "death", "latch"} {
		c.ExtraFiles = append(c.ExtraFiles, os.NewFile(uintptr(s.worker[name]), name))
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	offset, _ := mine.latch(3)
	word := mine.mem.word32(offset)
	mine.inside.Store(true)
	for word.Load()&latchWaiting == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it waited: %v\n%s", err, out.String())
		default:
			runtime.Gosched()
		}
	}
	b := newOtherBell(s.dup(s.latch))
	b.where = mine.latchWord(3)
	defer b.close()
	if err := b.set(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	got, found, err := mine.areas.find("from c", 200)
	if err != nil || !found {
		t.Fatalf("found %v, error %v", found, err)
	}
	if text, want := cString(got), "main in c 4711 hello woken"; text != want {
		t.Errorf("it wrote %q, want %q", text, want)
	}
	if w := word.Load(); w != 0 {
		t.Errorf("the latch's word is %d", w)
	}
}
