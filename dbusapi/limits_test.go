package dbusapi

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestPipelinedCalls: 5,000 calls at once are all answered, with a result or LimitsExceeded, and the bounds hold.
func TestPipelinedCalls(t *testing.T) {
	b := newBus(t, 10000)
	_, f := b.serve(Options{})
	var mu sync.Mutex
	now, most := 0, 0
	f.hook(func(context.Context, string) error {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		defer func() { mu.Lock(); now--; mu.Unlock() }()
		return nil
	})
	conn := b.raw()
	done := make(chan *dbus.Call, 5000)
	for range 5000 {
		conn.Object(BusName, ManagerPath).Go(ManagerInterface+".ListWorkers", 0, done)
	}
	good := 0
	for range 5000 {
		c := receive(t, done, "answer")
		if c.Err == nil {
			good++
		} else if !IsError(fromBus(c.Err), ErrorLimitsExceeded) {
			t.Fatalf("answer %v", c.Err)
		}
	}
	mu.Lock()
	if good < maxCalls || most > maxCalls {
		t.Errorf("%d succeeded, %d at once; the bound is %d", good, most, maxCalls)
	}
	mu.Unlock()
	invoke(t, conn, ManagerPath, ManagerInterface+".ListWorkers", "")
}

// TestAllowedOutstanding: who keeps to the bound is never refused, however fast he is.
func TestAllowedOutstanding(t *testing.T) {
	b := newBus(t, 0)
	b.serve(Options{})
	object := b.raw().Object(BusName, ManagerPath)
	done := make(chan *dbus.Call, maxCalls)
	for i := range 3000 {
		if i >= maxCalls {
			if c := receive(t, done, "answer"); c.Err != nil {
				t.Fatal(c.Err)
			}
		}
		object.Go(ManagerInterface+".ListWorkers", 0, done)
	}
}

// TestNoReply: a call that wants no answer gets none, not even an error, and is carried out. The answer to a Ping may
// overtake the error of a call before it, but not those of all rounds before.
func TestNoReply(t *testing.T) {
	const rounds = 20
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	called := make(chan string, rounds)
	f.hook(func(_ context.Context, method string) error {
		called <- method
		return errors.New("no")
	})
	messages := make(chan *dbus.Message, 10*rounds)
	conn := b.raw()
	conn.Eavesdrop(messages)
	manager := conn.Object(BusName, ManagerPath)
	for range rounds {
		manager.Go(ManagerInterface+".Reload", dbus.FlagNoReplyExpected, nil)
		manager.Go(ManagerInterface+".Reload", dbus.FlagNoReplyExpected, nil, "wrong")
		manager.Go(peerInterface+".Ping", 0, make(chan *dbus.Call, 1))
		if got := receive(t, called, "call"); got != "Reload" {
			t.Error(got)
		}
		for pong := false; !pong; {
			m := receive(t, messages, "answer to Ping")
			if m.Type == dbus.TypeError {
				t.Fatalf("got %v", m)
			}
			pong = m.Type == dbus.TypeMethodReply && m.Headers[dbus.FieldSender].Value() != busDriver
		}
	}
}

// TestCallsPerUser: the calls of one user's connections together are bounded; root's and our own are not.
func TestCallsPerUser(t *testing.T) {
	const stranger = 4_000_000_000
	s := &session{peers: map[string]*peer{}, callsPerUID: map[uint32]int{}}
	resolved := make(chan struct{})
	close(resolved)
	p := &peer{resolved: resolved, caller: Caller{UID: stranger}}
	for i := range maxCallsPerUID {
		if err := s.identify(p, false); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if err := s.identify(p, false); !IsError(err, ErrorLimitsExceeded) {
		t.Errorf("call %d: %v", maxCallsPerUID+1, err)
	}
	for _, uid := range []uint32{0, uint32(os.Geteuid())} {
		s.callsPerUID[uid] = maxCallsPerUID
		if err := s.identify(&peer{resolved: resolved, caller: Caller{UID: uid}}, false); err != nil {
			t.Errorf("user %d: %v", uid, err)
		}
	}
	s.release(p)
	if err := s.identify(p, false); err != nil {
		t.Error(err)
	}
}

// TestIntrospectWhileWorkersComeAndGo: run it with -race.
func TestIntrospectWhileWorkersComeAndGo(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	listener := b.client()
	if err := listener.Subscribe(testContext(t)); err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 4 {
		conn := b.raw()
		workers.Go(func() {
			for i := range 50 {
				h := Handle{uint32(i % 5), 3}
				invoke(t, conn, []dbus.ObjectPath{"/", "/org", ManagerPath, workerDir}[i%4], introspectInterface+".Introspect", "")
				conn.Object(BusName, h.Path()).Call(introspectInterface+".Introspect", 0)
				conn.Object(BusName, h.Path()).Call(propertiesInterface+".GetAll", 0, WorkerInterface)
				invoke(t, conn, ManagerPath, objectManagerInterface+".GetManagedObjects", "")
			}
		})
	}
	for i := range 500 {
		h := Handle{uint32(i % 5), 3}
		s.Added(f.put(full(h)))
		f.change(s, h, func(w *WorkerInfo) { w.StartNumber++; w.Definition.Environment = map[string]string{"X": "y"} })
		f.remove(h)
		s.Removed(h)
	}
	workers.Wait()
}
