package dbusapi

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestBusRestart: the bus goes and comes back at the same address: the Backend is told, the name is taken again, handles
// stay valid, a client that dials again is served, and a void owner's name gets nothing. Both changes are announced.
func TestBusRestart(t *testing.T) {
	b := newBus(t, 0)
	news := make(chan string, 10)
	_, f := b.serve(Options{Lost: func() { news <- "lost" }, Regained: func() { news <- "regained" }})
	for round := range 3 {
		c := b.client()
		events, err := c.Events(testContext(t), true)
		if err != nil {
			t.Fatal(err)
		}
		h, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), 0)
		if err != nil || h.Slot != uint32(round) {
			t.Fatal(h, err)
		}
		b.stop()
		receive(t, f.lost, "BusLost")
		if got := <-news; len(news) != 0 || got != "lost" { // comes before BusLost
			t.Errorf("round %d: %s", round, got)
		}
		for range events { // closed when the bus is lost
		}
		b.start()
		again := b.client()
		waitForDaemon(t, again)
		if got := receive(t, news, "Regained"); got != "regained" {
			t.Errorf("round %d: %s", round, got)
		}
		if w, err := again.Worker(testContext(t), h); err != nil || w.Handle != h {
			t.Errorf("round %d: %+v, %v", round, w, err)
		}
	}
}

// waitForDaemon returns when the name has an owner.
func waitForDaemon(t *testing.T, c *Client) {
	t.Helper()
	events, err := c.Events(testContext(t), false)
	if err != nil {
		t.Fatal(err)
	}
	c.signals.mu.Lock()
	there := c.signals.owner != ""
	c.signals.mu.Unlock()
	for !there {
		there = receive(t, events, "daemon").Kind == EventDaemonBack
	}
}

// TestNameOwned: a second daemon is told that the name is taken, and may try again.
func TestNameOwned(t *testing.T) {
	b := newBus(t, 0)
	first, _ := b.serve(Options{})
	second := NewServer(newFake(), Options{Address: b.address})
	if err := second.Start(testContext(t)); !errors.Is(err, ErrNameOwned) {
		t.Fatalf("got %v", err)
	}
	if err := first.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := second.Start(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := second.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}

// TestDaemonGone: BGW-043: when the daemon goes, a waiter and a watcher learn that the postmaster died; when it is back,
// the watcher is subscribed again.
func TestDaemonGone(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	h := f.put(waiting(Handle{1, 2})).Handle
	c := b.client()
	events, err := c.Events(testContext(t), true)
	if err != nil {
		t.Fatal(err)
	}
	done := startWaits(t, f, 2, func(ctx context.Context) waitResult {
		status, pid, err := c.WaitForBackgroundWorkerStartup(ctx, h)
		return waitResult{status, pid, err}
	})
	if err := s.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	for range 2 {
		if got := receive(t, done, "answer"); got.status != StatusPostmasterDied || got.err != nil {
			t.Errorf("waiter got %+v", got)
		}
	}
	if e := receive(t, events, "event"); e.Kind != EventDaemonGone {
		t.Errorf("got %+v", e)
	}
	if status, _, err := c.GetBackgroundWorkerPid(testContext(t), h); status != StatusPostmasterDied || err != nil {
		t.Errorf("GetBackgroundWorkerPid: %v %v", status, err)
	}
	next, f2 := b.serve(Options{})
	if e := receive(t, events, "event"); e.Kind != EventDaemonBack {
		t.Errorf("got %+v", e)
	}
	next.Added(f2.put(full(Handle{7, 7})))
	if e := receive(t, events, "event"); e.Kind != EventNew || e.Handle != (Handle{7, 7}) {
		t.Errorf("got %+v", e)
	}
}

// TestCloseAnswers: a call that is under way when the daemon leaves the bus is answered; one that comes then is not
// carried out, and a wait is cut off.
func TestCloseAnswers(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	h, w := f.put(full(Handle{1, 2})).Handle, f.put(waiting(Handle{2, 2})).Handle
	under, release := make(chan struct{}), make(chan struct{})
	f.hook(func(_ context.Context, method string) error {
		if method == "Terminate" {
			under <- struct{}{}
			<-release
		}
		return nil
	})
	c := b.client()
	waits := startWaits(t, f, 1, func(ctx context.Context) waitResult {
		status, pid, err := c.WaitForBackgroundWorkerStartup(ctx, w)
		return waitResult{status, pid, err}
	})
	done, closed := make(chan error, 1), make(chan error, 1)
	go func() { done <- c.Terminate(testContext(t), h) }()
	receive(t, under, "the call")
	sess := s.session.Load()
	go func() { closed <- s.Close(testContext(t)) }()
	for !sess.leaving.Load() {
		runtime.Gosched()
	}
	late := make(chan error, 1)
	go func() { late <- c.Stop(testContext(t), h) }()
	select {
	case err := <-closed:
		t.Fatalf("it has left before it has answered: %v", err)
	case err := <-done:
		t.Fatalf("an answer before it was done: %v", err)
	default:
	}
	close(release)
	if err := receive(t, done, "answer"); err != nil {
		t.Errorf("the call got %v", err)
	}
	if err := receive(t, closed, "Close"); err != nil {
		t.Error(err)
	}
	if err := receive(t, late, "answer"); err == nil {
		t.Error("a later call was answered as if it was done")
	}
	if last, _ := f.last(); !strings.HasPrefix(last, "Terminate") {
		t.Errorf("a later call was carried out: %s", last)
	}
	if got := receive(t, waits, "the wait's end"); got.status != StatusPostmasterDied {
		t.Errorf("the wait got %+v", got)
	}
}

// TestCloseIsBounded: a call that lasts holds Close up as long as its ctx, and no longer.
func TestCloseIsBounded(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	h := f.put(full(Handle{1, 2})).Handle
	under := make(chan struct{})
	f.hook(func(ctx context.Context, method string) error {
		if method == "Terminate" {
			under <- struct{}{}
			<-ctx.Done()
		}
		return nil
	})
	go func() { _ = b.client().Terminate(testContext(t), h) }()
	receive(t, under, "the call")
	sess := s.session.Load()
	ctx, cancel := context.WithCancel(testContext(t))
	closed := make(chan error, 1)
	go func() { closed <- s.Close(ctx) }()
	for !sess.leaving.Load() {
		runtime.Gosched()
	}
	cancel()
	receive(t, closed, "Close")
}

// TestHungBus: a broker that does not read holds nobody up: publishing returns, and so does Close.
func TestHungBus(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	c := b.client()
	if err := c.Subscribe(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.daemon.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h := f.put(full(Handle{1, 1})).Handle
	for range maxOutbox + 2000 {
		f.change(s, h, func(w *WorkerInfo) { w.StartNumber++ })
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err == nil {
		t.Error("Close sent everything to a broker that is stopped")
	}
}

// TestBlackBox: busctl, gdbus and dbus-send find their way.
func TestBlackBox(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	h := f.put(full(Handle{2, 9})).Handle
	f.serve(fullServer("a-b"))
	tool := func(want, name string, args ...string) {
		t.Run(name, func(t *testing.T) {
			need(t, name)
			out, err := b.run(name, args...)
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, want)
			}
		})
	}
	address := "--address=" + b.address
	tool("/org/pgbgw1/worker/s2_g9", "busctl", address, "tree", "--list", BusName)
	tool("RegisterDynamicBackgroundWorker", "busctl", address, "introspect", BusName, string(ManagerPath))
	tool("emits-change", "busctl", address, "introspect", BusName, string(h.Path()))
	tool(`o "/org/pgbgw1/worker/s0_g4294967303"`, "busctl", address, "call", BusName, string(ManagerPath), ManagerInterface,
		"RegisterDynamicBackgroundWorker", "a{sv}t", "3", "Name", "s", "x", "Flags", "as", "1", "shmem_access", "RestartTime", "i", "5", "0")
	tool(`"running"`, "busctl", address, "get-property", BusName, string(h.Path()), WorkerInterface, "State")
	tool("/org/pgbgw1/server/a_2db", "busctl", address, "tree", "--list", BusName)
	tool(".Evidence", "busctl", address, "introspect", BusName, "/org/pgbgw1/server/a_2db")
	tool("node /org/pgbgw1/worker/s2_g9", "gdbus", "introspect", "--system", "--recurse", "--dest", BusName, "--object-path", "/")
	tool(`object path "/org/pgbgw1/worker/s2_g9"`, "dbus-send", "--bus="+b.address, "--print-reply", "--dest="+BusName, string(ManagerPath), ManagerInterface+".GetWorker", "string:alpha")
}
