package dbusapi

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestServerPath: whatever a label holds, it makes a valid path of its own (sd_bus_path_encode(3)).
func TestServerPath(t *testing.T) {
	for label, want := range map[string]string{
		"main": "main", "": "_", "15": "_315", "a15": "a15", "a-b": "a_2db", "a_b": "a_5fb", "a@b.c": "a_40b_2ec", "é/\x00": "_c3_a9_2f_00",
	} {
		got := serverPath(label)
		if string(got) != serverDir+"/"+want || !got.IsValid() || !isServerPath(got) {
			t.Errorf("%q: %s", label, got)
		}
	}
	for _, path := range []string{serverDir, serverDir + "/", serverDir + "/a/b", serverDir + "s/a", serverDir + "/" + strings.Repeat("a", 1000)} {
		if isServerPath(dbus.ObjectPath(path)) {
			t.Errorf("%.40s is the path of a server", path)
		}
	}
}

// TestServerObjects: servers are objects in the tree, readable in every way, and nothing but they is below their path.
func TestServerObjects(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	conn := b.raw()
	if text := invoke(t, conn, serverDir, introspectInterface+".Introspect", "")[0].(string); strings.Contains(text, "<node name") {
		t.Errorf("without a server: %s", text)
	}
	f.serve(fullServer("z-1"), fullServer("main"), fullServer(strings.Repeat("x", maxLabel+1)))
	f.put(full(Handle{1, 2}))
	for path, want := range map[dbus.ObjectPath][]string{
		ManagerPath: {`<node name="server"/>`, `<node name="worker"/>`},
		serverDir:   {`<node name="main"/>`, `<node name="z_2d1"/>`},
	} {
		text := invoke(t, conn, path, introspectInterface+".Introspect", "")[0].(string)
		for _, w := range want {
			if !strings.Contains(text, w) || strings.Contains(text, "xxx") {
				t.Errorf("%s has no %s:\n%s", path, w, text)
			}
		}
	}
	var objects map[dbus.ObjectPath]map[string]map[string]dbus.Variant
	if err := dbus.Store(invoke(t, conn, ManagerPath, objectManagerInterface+".GetManagedObjects", ""), &objects); err != nil {
		t.Fatal(err)
	}
	if len(objects) != 3 || objects[serverDir+"/z_2d1"][ServerInterface]["Phase"].Value() != "running" {
		t.Errorf("managed objects: %v", objects)
	}
	c := b.client()
	got, err := c.Servers(testContext(t))
	if want := []ServerInfo{fullServer("main"), fullServer("z-1")}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("servers %+v, %v", got, err)
	}
	if ws, err := c.Workers(testContext(t)); err != nil || len(ws) != 1 {
		t.Errorf("servers are taken for workers: %+v, %v", ws, err)
	}
	for _, path := range []dbus.ObjectPath{"/org/pgbgw1/server/other", "/org/pgbgw1/server/z_2D1", "/org/pgbgw1/server/z_2d1/x", "/org/pgbgw1/server/m_61in"} {
		invoke(t, conn, path, propertiesInterface+".GetAll", ErrorUnknownObject, "")
		invoke(t, conn, path, introspectInterface+".Introspect", ErrorUnknownObject)
		invoke(t, conn, path, propertiesInterface+".Set", ErrorUnknownObject, ServerInterface, "Phase", dbus.MakeVariant("x"))
		invoke(t, conn, path, propertiesInterface+".Get", ErrorUnknownObject, ServerInterface, "Phase")
	}
	invoke(t, conn, serverDir+"/main", WorkerInterface+".Stop", ErrorUnknownInterface, uint64(0))
	invoke(t, conn, serverDir+"/main", propertiesInterface+".GetAll", ErrorUnknownInterface, WorkerInterface)
	f.hook(func(_ context.Context, method string) error {
		if method == "Servers" {
			return errors.New("out of order")
		}
		return nil
	})
	invoke(t, conn, serverDir+"/main", propertiesInterface+".GetAll", ErrorFailed, "")
	invoke(t, conn, ManagerPath, ManagerInterface+".ListServers", ErrorFailed)
	invoke(t, conn, ManagerPath, objectManagerInterface+".GetManagedObjects", ErrorFailed)
}

// TestServerSignals: a change of phase is a signal of the manager, and all that changed comes in one PropertiesChanged.
func TestServerSignals(t *testing.T) {
	b := newBus(t, 0)
	s, _ := b.serve(Options{})
	listener := b.raw(dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err := listener.AddMatchSignal(dbus.WithMatchSender(BusName)); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 100)
	listener.Signal(signals)
	events, err := b.client().Events(testContext(t), true)
	if err != nil {
		t.Fatal(err)
	}
	before, after := fullServer("a-b"), fullServer("a-b")
	after.Phase, after.Evidence, after.PostmasterPID = "down", "nobody listens \xff", 0
	s.ServerAdded(before)
	s.ServerChanged(before, after)
	s.ServerChanged(after, after)
	again := after
	again.Version = "16.0"
	s.ServerChanged(after, again)
	s.ServerRemoved(again)
	var got []string
	for range 5 {
		sig := receive(t, signals, "signal")
		got = append(got, sig.Name[strings.LastIndexByte(sig.Name, '.')+1:])
		switch sig.Name {
		case ManagerInterface + ".ServerPhaseChanged":
			if want := []any{dbus.ObjectPath(serverDir + "/a_2db"), "a-b", "down", "nobody listens \uFFFD"}; !reflect.DeepEqual(sig.Body, want) {
				t.Errorf("got %v, want %v", sig.Body, want)
			}
		case propertiesInterface + ".PropertiesChanged":
			changed := sig.Body[1].(map[string]dbus.Variant)
			if sig.Path != after.Path() || sig.Body[0] != ServerInterface || len(changed) != 3 && len(changed) != 1 {
				t.Errorf("%s: %v", sig.Path, sig.Body)
			}
		}
	}
	want := []string{"InterfacesAdded", "ServerPhaseChanged", "PropertiesChanged", "PropertiesChanged", "InterfacesRemoved"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if e := receive(t, events, "event"); e.Kind != EventServer || e.Server.Name != "a-b" || e.Server.Phase != "down" || e.Server.Evidence == "" {
		t.Errorf("got %+v", e)
	}
}

// TestTerminateForDatabase: what the caller wrote reaches the Backend, and what cannot be meant does not.
func TestTerminateForDatabase(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	terminated, remaining, err := c.TerminateBackgroundWorkersForDatabase(testContext(t), "main", "app")
	if err != nil || !slices.Equal(terminated, []Handle{{1, 2}}) || !slices.Equal(remaining, []Handle{{3, 4}, {5, 6}}) {
		t.Errorf("%v %v %v", terminated, remaining, err)
	}
	if call, caller := f.last(); call != "TerminateForDatabase main app" || caller.Name == "" {
		t.Errorf("%s by %+v", call, caller)
	}
	conn := b.raw()
	method := ManagerInterface + ".TerminateBackgroundWorkersForDatabase"
	invoke(t, conn, ManagerPath, method, ErrorInvalidArgs, "", "", uint64(0))
	invoke(t, conn, ManagerPath, method, ErrorInvalidArgs, "", "app", uint64(1))
	invoke(t, conn, ManagerPath, method, ErrorInvalidArgs, "", strings.Repeat("x", maxText+1), uint64(0))
	invoke(t, conn, ManagerPath, method, ErrorInvalidArgs, strings.Repeat("x", maxText+1), "app", uint64(0))
	f.hook(func(context.Context, string) error { return Errorf(ErrorAccessDenied, "no") })
	if _, _, err := c.TerminateBackgroundWorkersForDatabase(testContext(t), "main", "app"); !IsError(err, ErrorAccessDenied) {
		t.Errorf("refused: %v", err)
	}
}
