package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the program itself, where a test runs it as a process of
// its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Getenv("BENCH_TEST_PROGRAM") != "" || os.Args[1] == controlCommand || os.Args[1] == memberCommand) {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// need skips the test where a program is missing, and fails where the
// environment promises it.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed: %v", program, err)
		}
		t.Skipf("%s is needed: %v", program, err)
	}
}

// newTestLab is a lab that ends with the test; it needs a C compiler.
func newTestLab(t *testing.T) *lab {
	t.Helper()
	need(t, "cc")
	t.Setenv("TMPDIR", t.TempDir())
	b, err := newLab(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// The programs in C, the ledger and the scenarios together, with the peer that
// is always there: every number is of a process that did start.
func TestFloor(t *testing.T) {
	b := newTestLab(t)
	s, err := b.seat(floor)
	if err != nil {
		t.Fatal(err)
	}
	p := newCsup(s)
	if err := p.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close() })
	got := map[string]int{}
	m := &measuring{opt: options{samples: 3, soak: 20, soakTime: time.Minute, maxProcesses: 300}}
	m.add = func(metric, peer string, values ...float64) {
		for _, v := range values {
			if v <= 0 {
				t.Errorf("%s of %s is %v", metric, peer, v)
			}
		}
		got[metric] += len(values)
	}
	for _, run := range []func() error{
		func() error { return m.register(t.Context(), p, "register", "worker-nolibc") },
		func() error { return m.register(t.Context(), p, "register-glibc", "worker-glibc") },
		func() error { return m.restart(t.Context(), p) },
		func() error { return m.up(t.Context(), p, 100, "worker-nolibc") },
		func() error { return m.terminate(t.Context(), p) },
		func() error { return m.soak(t.Context(), p) },
	} {
		if err := run(); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{"register": 3, "register-glibc": 3, "exit1": 3, "kill": 3, "up100": 1, "terminate": 3, "soak": 20}
	for metric, n := range want {
		if got[metric] != n {
			t.Errorf("%s has %d values, want %d", metric, got[metric], n)
		}
	}
}

// A worker whose supervisor was killed is swept, a stranger is not.
func TestSweep(t *testing.T) {
	b := newTestLab(t)
	s, err := b.seat("orphans")
	if err != nil {
		t.Fatal(err)
	}
	before := s.book.mark(0, 1)
	worker := exec.Command(b.path("worker-nolibc"), s.book.path+":0")
	stranger := exec.Command("sleep", "1000")
	for _, c := range []*exec.Cmd{worker, stranger} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	if err := s.book.await(ctx, before); err != nil {
		t.Fatal(err)
	}
	s.book.mem.record[1].pid = uint32(stranger.Process.Pid)
	b.sweep()
	worker.Wait()
	if sig := worker.ProcessState.Sys().(syscall.WaitStatus).Signal(); sig != syscall.SIGKILL {
		t.Errorf("the worker ended by %v, want to be swept", sig)
	}
	if hasEnded(stranger.Process.Pid, 0) {
		t.Error("a process that is no worker was swept")
	}
}

// await names what is missing, and no later start is lost to it.
func TestAwait(t *testing.T) {
	l, err := newLedger(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	m := l.mark(3, 2)
	l.mem.record[3].starts++
	l.mem.starts++
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.await(ctx, m); err == nil || !strings.Contains(err.Error(), "1 of 2 workers did not start, number 4") {
		t.Errorf("await with one missing: %v", err)
	}
	l.mem.record[4].starts++
	l.mem.starts++
	if err := l.await(ctx, m); err != nil {
		t.Errorf("await with none missing: %v", err)
	}
}

func TestRatioIsTakenInsideRounds(t *testing.T) {
	r := results{}
	for i, v := range []float64{10, 100, 30} { // the machine slows down tenfold
		r.add("kill", "a", i, []float64{v, v, v})
		if i != 2 {
			r.add("kill", "b", i, []float64{2 * v})
		}
	}
	r.add("kill", "b", 3, []float64{1}) // a did not run in this round
	if s := r.ratio("kill", "a", "kill", "b"); s != (spread{0.5, 0.5, 0.5, 2}) {
		t.Errorf("ratio = %+v", s)
	}
	if s := r.ratio("kill", "a", "kill", "nobody"); s.n != 0 {
		t.Errorf("ratio to nobody = %+v", s)
	}
	if s := r.medians("kill", "a"); s != (spread{30, 10, 100, 3}) {
		t.Errorf("medians = %+v", s)
	}
}

func TestRound(t *testing.T) {
	var v []float64
	for i := 100; i > 0; i-- {
		v = append(v, float64(i))
	}
	if got := roundOf(v); got != (round{50, 99, 100, 100}) {
		t.Errorf("roundOf(1..100) = %+v", got)
	}
	if got := roundOf(nil); got != (round{}) {
		t.Errorf("roundOf(nothing) = %+v", got)
	}
}

func TestVerdict(t *testing.T) {
	atMost, atLeast := goal{limit: 1}, goal{limit: 3, atLeast: true}
	for _, c := range []struct {
		g    goal
		s    spread
		want string
	}{
		{atMost, spread{}, "not measured"},
		{atMost, spread{1, 0.5, 2, 3}, "met"},
		{atMost, spread{1.1, 1.05, 2, 3}, "close"},
		{atMost, spread{1.5, 0.9, 2, 3}, "close"},
		{atMost, spread{1.5, 1.2, 2, 3}, "missed"},
		{atLeast, spread{3.5, 2, 4, 3}, "met"},
		{atLeast, spread{2.8, 2, 2.9, 3}, "close"},
		{atLeast, spread{2, 1, 3.1, 3}, "close"},
		{atLeast, spread{2, 1, 2.5, 3}, "missed"},
	} {
		if got := c.g.verdict(c.s); got != c.want {
			t.Errorf("limit %g, %+v: %s, want %s", c.g.limit, c.s, got, c.want)
		}
	}
}

func TestSumPss(t *testing.T) {
	const smaps = `00400000-00401000 r-xp 00000000 00:17 42    /usr/bin/program
Size:                  4 kB
Pss:                   3 kB
Pss_Dirty:             9 kB
7f0000000000-7f0004000000 rw-s 00000000 00:01 7    /memfd:pg-bgw segment (deleted)
Pss:               65536 kB
VmFlags: rd wr sh
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0
Pss:                   8 kB
`
	if got := sumPss(smaps); got != 11 {
		t.Errorf("sumPss = %v, want 11: the segment apart", got)
	}
}

// Switches are counted over all threads: the sleeps of this test make some.
func TestSwitches(t *testing.T) {
	before, err := switches([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if hasEnded(os.Getpid(), 5*time.Millisecond) {
			t.Fatal("this process has ended")
		}
	}
	after, err := switches([]int{os.Getpid()})
	if err != nil || after < before+5 {
		t.Errorf("switches went from %v to %v: %v", before, after, err)
	}
}

// Some ways of pg-bgw are measured only where they matter.
func TestThose(t *testing.T) {
	var r runner
	for _, w := range []way{byTemplate, byBus, byList, byControl} {
		r.peers = append(r.peers, newPgbgw(w)(seat{}))
	}
	for scenario, want := range map[string]int{"register": 3, "up100": 4, "terminate": 2, "restart": 1, "idle": 1} {
		if got := len(r.those(scenario)); got != want {
			t.Errorf("%s is measured in %d ways, want %d", scenario, got, want)
		}
	}
	for _, s := range scenarios {
		if len(r.those(s.name)) == 0 {
			t.Errorf("%s is not measured of pg-bgw", s.name)
		}
	}
}

// Bad command lines are refused before anything is made.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nothing"}, {"lifecycle", "-rounds", "0"}, {"lifecycle", "-samples", "201"}, {"lifecycle", "extra"},
		{"lifecycle", "-scenarios", "none"}, {"lifecycle", "-scenarios", "up100,thousnd"}, {"modules", "-scenarios", "thousand"},
		{"lifecycle", "-max-processes", "1"}, {"shm", "-samples", "5"}, {"server", "-peers", "s6"}, {"card", "-quick"}, {"dial"}, {controlCommand},
	} {
		var out bytes.Buffer
		err := run(t.Context(), args, &out, &out)
		if _, ok := err.(usageError); !ok {
			t.Errorf("bench %q: %v, want a usage error", args, err)
		}
	}
}
