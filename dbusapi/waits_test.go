package dbusapi

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

type waitResult struct {
	status Status
	pid    uint32
	err    error
}

// startWaits runs wait n times and returns when the Server has all of them under way.
func startWaits(t *testing.T, f *fake, n int, wait func(context.Context) waitResult) <-chan waitResult {
	t.Helper()
	out := make(chan waitResult, n)
	read := make(chan Handle, 100)
	f.mu.Lock()
	f.read = read
	f.mu.Unlock()
	for range n {
		ctx := testContext(t)
		go func() { out <- wait(ctx) }()
	}
	for range n {
		receive(t, read, "wait to begin") // a wait reads the state after it is registered
	}
	f.mu.Lock()
	f.read = nil
	f.mu.Unlock()
	return out
}

func waiting(h Handle) WorkerInfo {
	return WorkerInfo{Handle: h, State: "waiting", Status: StatusNotYetStarted}
}

func running(n uint64, pid uint32) func(*WorkerInfo) {
	return func(w *WorkerInfo) { w.State, w.Status, w.StartNumber, w.MainPID = "running", StatusStarted, n, pid }
}

func stopped(w *WorkerInfo) { w.State, w.Status, w.MainPID = "stopped", StatusStopped, 0 }

// TestWaitStartup: BGW-040, BGW-041, BGW-035: the wait ends when the start was tried.
func TestWaitStartup(t *testing.T) {
	h := Handle{1, 2}
	for _, test := range []struct {
		name   string
		happen func(*Server, *fake)
		want   waitResult
	}{
		{"BGW-040: forked", func(s *Server, f *fake) { f.change(s, h, running(1, 55)) }, waitResult{StatusStarted, 55, nil}},
		{"BGW-041: ended before the waiter looked", func(s *Server, f *fake) { f.change(s, h, stopped) }, waitResult{StatusStopped, 0, nil}},
		{"BGW-035: terminated before it started", func(s *Server, f *fake) { f.remove(h); s.Removed(h) }, waitResult{StatusStopped, 0, nil}},
		{"changes that are no start", func(s *Server, f *fake) {
			for range 100 {
				f.change(s, h, func(w *WorkerInfo) { w.Restarts++ })
			}
			f.change(s, h, running(1, 56))
		}, waitResult{StatusStarted, 56, nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBus(t, 0)
			s, f := b.serve(Options{})
			f.put(waiting(h))
			c := b.client()
			done := startWaits(t, f, 3, func(ctx context.Context) waitResult {
				status, pid, err := c.WaitForBackgroundWorkerStartup(ctx, h)
				return waitResult{status, pid, err}
			})
			test.happen(s, f)
			for range 3 {
				if got := receive(t, done, "answer"); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
			}
		})
	}
}

// TestWaitShutdown: BGW-042: the wait ends at the first exit, also one that a restart follows at once, and an exit from
// before the wait is none.
func TestWaitShutdown(t *testing.T) {
	h := Handle{1, 2}
	for _, test := range []struct {
		name   string
		happen func(*Server, *fake)
	}{
		{"BGW-042: exit and restart", func(s *Server, f *fake) { f.change(s, h, stopped); f.change(s, h, running(4, 9)) }},
		{"BGW-042: only the restart is seen", func(s *Server, f *fake) { f.change(s, h, running(4, 9)) }},
		{"unregistered", func(s *Server, f *fake) { f.remove(h); s.Removed(h) }},
		{"an older exit, then its own", func(s *Server, f *fake) {
			older := WorkerInfo{Handle: h, Status: StatusStopped, StartNumber: 2}
			s.Changed(older, older)
			s.waits.mu.Lock()
			ended := false
			for w := range s.waits.on[h] {
				ended = ended || w.exited && w.exit >= 3
			}
			s.waits.mu.Unlock()
			if ended {
				panic("the exit of start 2 ended a wait on start 3")
			}
			f.change(s, h, stopped)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBus(t, 0)
			s, f := b.serve(Options{})
			w := waiting(h)
			running(3, 8)(&w)
			f.put(w)
			conn := b.raw()
			done := startWaits(t, f, 1, func(ctx context.Context) waitResult {
				var r waitResult
				r.err = conn.Object(BusName, ManagerPath).CallWithContext(ctx, ManagerInterface+".WaitForBackgroundWorkerShutdown", 0, h.Path(), ^uint64(0)).Store(&r.status)
				return r
			})
			test.happen(s, f)
			if got := receive(t, done, "answer"); got.err != nil || got.status != StatusStopped {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestWaitTimeout: a wait whose time is over answers with the status and no error; the longest is 20 s.
func TestWaitTimeout(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	h := f.put(waiting(Handle{1, 2})).Handle
	conn := b.raw()
	for _, timeout := range []uint64{0, 1, 1000} {
		body := invoke(t, conn, ManagerPath, ManagerInterface+".WaitForBackgroundWorkerStartup", "", h.Path(), timeout)
		if body[0] != string(StatusNotYetStarted) || body[1] != uint32(0) {
			t.Errorf("startup: %v", body)
		}
		body = invoke(t, conn, ManagerPath, ManagerInterface+".WaitForBackgroundWorkerShutdown", "", h.Path(), timeout)
		if body[0] != string(StatusNotYetStarted) {
			t.Errorf("shutdown: %v", body)
		}
	}
	for usec, want := range map[uint64]time.Duration{0: 0, 1: time.Microsecond, 20_000_000: maxWait, 20_000_001: maxWait, ^uint64(0): maxWait} {
		if got := waitTime(usec); got != want || got > 20*time.Second {
			t.Errorf("timeout_usec %d waits %v, want %v", usec, got, want)
		}
	}
}

// TestClientWaitDeadline: the Client's waits end with the caller's context.
func TestClientWaitDeadline(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	h := f.put(waiting(Handle{1, 2})).Handle
	c := b.client()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, _, err := c.WaitForBackgroundWorkerStartup(ctx, h); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("startup: %v", err)
	}
	if _, err := c.WaitForBackgroundWorkerShutdown(ctx, h); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
}

// TestWaitLimit: the 33rd wait of a connection is refused, other calls and other connections go on, and when the
// connection leaves, its waits end.
func TestWaitLimit(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	h := f.put(waiting(Handle{1, 2})).Handle
	c := b.client()
	startWaits(t, f, maxWaits, func(ctx context.Context) waitResult {
		status, pid, err := c.WaitForBackgroundWorkerStartup(ctx, h)
		return waitResult{status, pid, err}
	})
	err := fromBus(c.manager(testContext(t), "WaitForBackgroundWorkerShutdown", h.Path(), uint64(0)).Err)
	if !IsError(err, ErrorLimitsExceeded) {
		t.Errorf("wait %d: %v", maxWaits+1, err)
	}
	if _, err := c.ListWorkers(testContext(t)); err != nil {
		t.Errorf("another call: %v", err)
	}
	if body := invoke(t, b.raw(), ManagerPath, ManagerInterface+".WaitForBackgroundWorkerStartup", "", h.Path(), uint64(0)); body[0] != string(StatusNotYetStarted) {
		t.Errorf("another connection: %v", body)
	}
	sess := s.session.Load()
	sess.mu.Lock()
	p := sess.peers[c.conn.Names()[0]]
	sess.mu.Unlock()
	_ = c.Close()
	<-p.ctx.Done()
	for { // the calls end after the context of their peer
		sess.mu.Lock()
		left := p.calls
		sess.mu.Unlock()
		if left == 0 {
			break
		}
		runtime.Gosched()
	}
	if len(s.waits.on) != 0 {
		t.Errorf("waits are left: %v", s.waits.on)
	}
}
