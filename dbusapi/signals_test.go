package dbusapi

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestOwnerIsNotified: BGW-044: the owner hears each change, in order, without subscribing, and nobody else does
// (BGW-046); what it hears is true by then.
func TestOwnerIsNotified(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	owner, other := b.client(), b.client()
	events, err := owner.Events(testContext(t), false)
	if err != nil {
		t.Fatal(err)
	}
	others, err := other.Events(testContext(t), false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := owner.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	name := owner.conn.Names()[0]
	for i := range uint64(500) {
		_, after := f.change(s, h, running(i+1, uint32(i+100)))
		s.NotifyOwner(name, ChangeOf(after))
		if i == 0 {
			e := receive(t, events, "notification")
			status, pid, err := owner.GetBackgroundWorkerPid(testContext(t), h)
			if e.Change != ChangeOf(after) || status != StatusStarted || pid != 100 || err != nil {
				t.Errorf("got %+v; then %v %d %v", e, status, pid, err)
			}
		}
	}
	for i := range uint64(499) {
		if e := receive(t, events, "notification"); e.Kind != EventStateChanged || e.Change.StartNumber != i+2 || e.Handle != h {
			t.Fatalf("notification %d is %+v", i+2, e)
		}
	}
	if _, err := other.Manager(testContext(t)); err != nil { // whatever was sent to it came before this answer
		t.Fatal(err)
	}
	select {
	case e := <-others:
		t.Errorf("somebody else got %+v", e)
	default:
	}
}

// TestSubscribers: everything is sent while somebody has subscribed, and nothing otherwise. All changes of a transition
// are in one PropertiesChanged.
func TestSubscribers(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	listener := b.raw(dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err := listener.AddMatchSignal(dbus.WithMatchSender(BusName)); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 100)
	listener.Signal(signals)
	w := full(Handle{3, 4})
	w.Definition.Environment = map[string]string{"SECRET": "w"}
	publish := func() {
		s.Added(f.put(w))
		f.change(s, w.Handle, func(w *WorkerInfo) {
			w.State, w.Status, w.MainPID, w.ExitCode, w.Restarts = "stopped", StatusStopped, 0, 3, 9
			w.Definition.Environment = map[string]string{"SECRET": "x"}
		})
		before := f.manager
		before.Phases = map[string]string{"main": "recovery"}
		s.ManagerChanged(before, f.manager)
		s.Reloading(true)
		f.remove(w.Handle)
		s.Removed(w.Handle)
	}
	publish() // nobody has subscribed
	invoke(t, listener, ManagerPath, ManagerInterface+".Subscribe", "")
	invoke(t, listener, ManagerPath, ManagerInterface+".Subscribe", "") // twice is once
	publish()
	want := transitionSignals(w)
	for _, w := range want {
		got := receive(t, signals, w.Name)
		if strings.Contains(fmt.Sprint(got.Body), "SECRET") {
			t.Errorf("%s tells everybody an environment: %v", got.Name, got.Body)
		}
		if got.Path != w.Path || got.Name != w.Name || !reflect.DeepEqual(got.Body, w.Body) {
			t.Errorf("got  %v\nwant %v", got, w)
		}
		iface, member := got.Name[:strings.LastIndex(got.Name, ".")], got.Name[strings.LastIndex(got.Name, ".")+1:]
		if sig := interfaces[iface].signals[member]; dbus.SignatureOf(got.Body...).String() != sig {
			t.Errorf("%s has signature %q, the XML says %q", got.Name, dbus.SignatureOf(got.Body...), sig)
		}
	}
	invoke(t, listener, ManagerPath, ManagerInterface+".Unsubscribe", "")
	publish()
	invoke(t, listener, ManagerPath, peerInterface+".Ping", "")
	if s.session.Load().listeners() != 0 {
		t.Error("a subscription is left")
	}
	select {
	case got := <-signals:
		t.Errorf("after Unsubscribe: %v", got)
	default:
	}
}

// transitionSignals are what TestSubscribers publishes for w.
func transitionSignals(w WorkerInfo) []*dbus.Signal {
	path := w.Handle.Path()
	return []*dbus.Signal{
		{Path: ManagerPath, Name: objectManagerInterface + ".InterfacesAdded", Body: []any{path, map[string]map[string]dbus.Variant{WorkerInterface: publicProperties(w)}}},
		{Path: ManagerPath, Name: ManagerInterface + ".WorkerNew", Body: []any{path, "alpha"}},
		{Path: ManagerPath, Name: ManagerInterface + ".WorkerStateChanged", Body: []any{path, "stopped", "stopped", uint32(0), int32(3), int32(9), "r", uint64(3)}},
		{Path: path, Name: propertiesInterface + ".PropertiesChanged", Body: []any{WorkerInterface, map[string]dbus.Variant{
			"State": dbus.MakeVariant("stopped"), "Status": dbus.MakeVariant("stopped"), "MainPID": dbus.MakeVariant(uint32(0)), "ExitCode": dbus.MakeVariant(int32(3)),
		}, []string{"Environment"}}},
		{Path: ManagerPath, Name: propertiesInterface + ".PropertiesChanged", Body: []any{ManagerInterface, map[string]dbus.Variant{
			"Phases": dbus.MakeVariant(map[string]string{"main": "run"}),
		}, []string{}}},
		{Path: ManagerPath, Name: ManagerInterface + ".Reloading", Body: []any{true}},
		{Path: ManagerPath, Name: ManagerInterface + ".WorkerRemoved", Body: []any{path}},
		{Path: ManagerPath, Name: objectManagerInterface + ".InterfacesRemoved", Body: []any{path, []string{WorkerInterface}}},
	}
}

// TestSubscriberLeaves: a subscription ends with its connection.
func TestSubscriberLeaves(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	c := b.client()
	if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if s.session.Load().listeners() != 1 {
		t.Error("no subscription")
	}
	_ = c.Close()
	receive(t, f.gone, "OwnerGone")
	if n := s.session.Load().listeners(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// TestOwnerGone: owners beyond the number of match rules are watched too; each is told once, with everything released.
func TestOwnerGone(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	names := map[string]*Client{}
	for i := range maxMatches + 30 {
		c := b.client()
		if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal(fmt.Sprint(i)), 0); err != nil {
			t.Fatal(err)
		}
		names[c.conn.Names()[0]] = c
	}
	sess := s.session.Load()
	sess.rules.mu.Lock()
	if sess.rules.single != maxMatches || sess.rules.shared != 30 {
		t.Errorf("%d rules for one name, %d names share one", sess.rules.single, sess.rules.shared)
	}
	sess.rules.mu.Unlock()
	for _, c := range names {
		_ = c.Close()
	}
	for range maxMatches + 30 {
		name := receive(t, f.gone, "OwnerGone")
		if names[name] == nil {
			t.Fatalf("OwnerGone(%s) twice, or for nobody", name)
		}
		delete(names, name)
	}
	sess.mu.Lock()
	defer sess.mu.Unlock()
	sess.rules.mu.Lock()
	defer sess.rules.mu.Unlock()
	if len(sess.peers) != 0 || sess.rules.single != 0 || sess.rules.shared != 0 || len(sess.callsPerUID) != 0 {
		t.Errorf("left: %d peers, %d and %d rules, %v calls", len(sess.peers), sess.rules.single, sess.rules.shared, sess.callsPerUID)
	}
}

// TestOwnerLeavesWhileRegistering: the Backend hears of it after its registration, so that it cannot keep a dead owner.
func TestOwnerLeavesWhileRegistering(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	f.hook(func(ctx context.Context, method string) error {
		entered <- struct{}{}
		<-ctx.Done() // the caller has left
		<-release
		return nil
	})
	go func() { _, _ = c.RegisterDynamicBackgroundWorker(context.Background(), minimal("a"), 0) }()
	receive(t, entered, "call")
	name := c.conn.Names()[0]
	_ = c.Close()
	select {
	case <-f.gone:
		t.Error("OwnerGone before the registration was over")
	default:
	}
	close(release)
	if got := receive(t, f.gone, "OwnerGone"); got != name {
		t.Errorf("OwnerGone(%s), want %s", got, name)
	}
}

// TestWatchOwner: a name from before a re-execution is watched; one that left meanwhile is told at once.
func TestWatchOwner(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	early, late := b.client(), b.client()
	earlyName, lateName := early.conn.Names()[0], late.conn.Names()[0]
	_ = early.Close()
	s.WatchOwner(earlyName)
	if got := receive(t, f.gone, "OwnerGone"); got != earlyName {
		t.Errorf("OwnerGone(%s), want %s", got, earlyName)
	}
	s.WatchOwner(lateName)
	_ = late.Close()
	if got := receive(t, f.gone, "OwnerGone"); got != lateName {
		t.Errorf("OwnerGone(%s), want %s", got, lateName)
	}
}

// TestClientDropsForgedSignals: a signal by somebody who does not own the name is none.
func TestClientDropsForgedSignals(t *testing.T) {
	b := newBus(t, 0)
	s, _ := b.serve(Options{})
	c := b.client()
	events, err := c.Events(testContext(t), true)
	if err != nil {
		t.Fatal(err)
	}
	name := c.conn.Names()[0]
	forged, real := ChangeOf(full(Handle{6, 6})), ChangeOf(full(Handle{5, 5}))
	conn, err := dialBus(testContext(t), b.address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	spoofer := &session{conn: conn}
	spoofer.sendStateChanged(name, forged)
	invoke(t, conn.Conn, ManagerPath, peerInterface+".Ping", "")
	s.NotifyOwner(name, real)
	if e := receive(t, events, "event"); e.Change != real {
		t.Errorf("got %+v", e)
	}
}

// TestSlowReceiver: a receiver that does not read bounds its queue and is told that it missed something.
func TestSlowReceiver(t *testing.T) {
	signals := newClientSignals()
	w := signals.add()
	for i := range 3 * maxEvents {
		signals.mu.Lock()
		signals.deliver(Event{Kind: EventNew, Label: fmt.Sprint(i)})
		signals.mu.Unlock()
	}
	events := signals.take(w)
	if len(events) > maxEvents+1 || events[0].Kind != EventMissed || events[len(events)-1].Label != fmt.Sprint(3*maxEvents-1) {
		t.Errorf("%d events, first %+v", len(events), events[0])
	}
}
