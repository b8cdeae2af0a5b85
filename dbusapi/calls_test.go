package dbusapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestRegister: what a caller registers arrives at the Backend key by key, with the caller as the broker knows it.
// BGW-018: 128 bytes of extra, NULs included. BGW-019: all 64 bits of main_arg.
func TestRegister(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	def := full(Handle{}).Definition
	def.Extra = make([]byte, 128)
	for i := range def.Extra {
		def.Extra[i] = byte(i * 2)
	}
	def.MainArg = 0xfedcba9876543210
	h, err := c.RegisterDynamicBackgroundWorker(testContext(t), def, 0)
	if err != nil {
		t.Fatal(err)
	}
	if h != (Handle{0, 1<<32 | 7}) || !reflect.DeepEqual(f.registered(0), def) {
		t.Errorf("got %v %+v\nwant %+v", h, f.registered(0), def)
	}
	_, caller := f.last()
	if caller.Name != c.conn.Names()[0] || int(caller.UID) != os.Getuid() || int(caller.PID) != os.Getpid() || caller.PIDFD != nil {
		t.Errorf("caller %+v", caller)
	}
	if w, err := c.Worker(testContext(t), h); err != nil || !reflect.DeepEqual(w.Definition, def) {
		t.Errorf("read back %+v, %v", w.Definition, err)
	}
}

// TestRegisterSignalCaller: bit 0 gives the Backend a pidfd of the calling process; other bits are refused.
func TestRegisterSignalCaller(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), RegisterSignalCaller); err != nil {
		t.Fatal(err)
	}
	_, caller := f.last()
	defer caller.PIDFD.Close()
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", caller.PIDFD.Fd()))
	if err != nil || !strings.Contains(string(info), fmt.Sprintf("Pid:\t%d\n", os.Getpid())) {
		t.Errorf("fdinfo %q, %v", info, err)
	}
	for _, flags := range []RegisterFlags{2, 3, 1 << 63} {
		if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), flags); !IsError(err, ErrorInvalidArgs) || !strings.Contains(err.Error(), "flags") {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
	before := descriptors(t)
	f.hook(func(context.Context, string) error { return Errorf(ErrorNoFreeSlot, "no free slot") })
	if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), RegisterSignalCaller); !IsError(err, ErrorNoFreeSlot) {
		t.Errorf("got %v", err) // BGW-024: the reason has a name
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before the refusal, %d after", before, after)
	}
}

// TestRegisterRefused: what is wrong with a definition is said by key.
func TestRegisterRefused(t *testing.T) {
	b := newBus(t, 0)
	b.serve(Options{})
	conn := b.raw()
	good := func() map[string]dbus.Variant { return EncodeDefinition(minimal("a")) }
	for _, test := range []struct {
		key   string
		value any // nil removes the key
		want  string
	}{
		{"Flags", nil, "Flags must be given"},
		{"RestartTime", nil, "RestartTime must be given"},
		{"RestartTime", uint32(1), `RestartTime: expected D-Bus type "i" (32-bit signed integer), got "u"`},
		{"Flags", "shmem_access", `Flags: expected D-Bus type "as" (array of strings), got "s"`},
		{"RestatTime", int32(1), `unknown key "RestatTime": did you mean "RestartTime"?`},
		{"bgw_name", "x", `unknown key "bgw_name": the keys are Name, Type`},
		{"restarttime", int32(1), `did you mean "RestartTime"?`},
		{"Name", strings.Repeat("x", 5000), "Name: 5000 bytes are too long, at most 4096"},
		{"Command", make([]string, 2000), "Command: 2000 elements are too many"},
		{"Extra", make([]byte, 5000), "Extra: 5000 bytes are too long"},
		{"Environment", map[string]string{"A": strings.Repeat("x", 1<<18)}, "Environment: 262145 bytes are too long"},
		{strings.Repeat("é", 100_000), int32(1), "the keys are"},
	} {
		m := good()
		if delete(m, test.key); test.value != nil {
			m[test.key] = dbus.MakeVariant(test.value)
		}
		err := fromBus(conn.Object(BusName, ManagerPath).Call(ManagerInterface+".RegisterDynamicBackgroundWorker", 0, m, uint64(0)).Err)
		if !IsError(err, ErrorInvalidArgs) || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 2*maxErrorText {
			t.Errorf("%.20s: got %.200v\nwant %s", test.key, err, test.want)
		}
	}
}

// TestStaleHandle: BGW-032, BGW-033, BGW-034: on a handle that matches nothing, the status is stopped and a termination
// is no error; a path that is no handle is one.
func TestStaleHandle(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	f.put(full(Handle{2, 9}))
	c := b.client()
	ctx := testContext(t)
	for _, h := range []Handle{{2, 8}, {2, 10}, {99, 9}, {1<<32 - 1, 1<<64 - 1}} {
		if status, pid, err := c.GetBackgroundWorkerPid(ctx, h); status != StatusStopped || pid != 0 || err != nil {
			t.Errorf("GetBackgroundWorkerPid(%v): %v %v %v", h, status, pid, err)
		}
		if err := c.TerminateBackgroundWorker(ctx, h); err != nil {
			t.Errorf("TerminateBackgroundWorker(%v): %v", h, err)
		}
		if err := c.Terminate(ctx, h); err != nil {
			t.Errorf("Terminate(%v): %v", h, err)
		}
		if err := c.Stop(ctx, h); !IsError(err, ErrorStaleHandle) {
			t.Errorf("Stop(%v): %v", h, err)
		}
		if status, _, err := c.WaitForBackgroundWorkerStartup(ctx, h); status != StatusStopped || err != nil {
			t.Errorf("WaitForBackgroundWorkerStartup(%v): %v %v", h, status, err)
		}
		if status, err := c.WaitForBackgroundWorkerShutdown(ctx, h); status != StatusStopped || err != nil {
			t.Errorf("WaitForBackgroundWorkerShutdown(%v): %v %v", h, status, err)
		}
		if _, err := c.Worker(ctx, h); !IsError(err, ErrorUnknownObject) {
			t.Errorf("Worker(%v): %v", h, err)
		}
	}
	if status, pid, err := c.GetBackgroundWorkerPid(ctx, Handle{2, 9}); status != StatusStarted || pid != 77 || err != nil {
		t.Errorf("BGW-028: %v %v %v", status, pid, err)
	}
	conn := b.raw()
	for _, path := range []dbus.ObjectPath{"/", "/org/pgbgw1", "/org/pgbgw1/worker", "/org/pgbgw1/worker/s2_g09", "/org/pgbgw1/worker/s2_g",
		"/org/pgbgw1/worker/s02_g9", "/org/pgbgw1/worker/s4294967296_g9", "/org/pgbgw1/worker/s2_g18446744073709551616", "/org/pgbgw1/worker/s2_g9/x"} {
		invoke(t, conn, ManagerPath, ManagerInterface+".GetBackgroundWorkerPid", ErrorInvalidArgs, path)
		invoke(t, conn, ManagerPath, ManagerInterface+".TerminateBackgroundWorker", ErrorInvalidArgs, path, uint64(0))
	}
	invoke(t, conn, ManagerPath, ManagerInterface+".TerminateBackgroundWorker", ErrorInvalidArgs, Handle{2, 9}.Path(), uint64(1))
}

// TestClientMethods: every method of Client reaches its method of the Backend.
func TestClientMethods(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	ctx := testContext(t)
	h := f.put(full(Handle{2, 9})).Handle
	other := full(Handle{1, 5})
	other.Label = "beta"
	f.put(other)
	f.lastText = "text"

	expect := func(call string, err error) {
		t.Helper()
		if got, _ := f.last(); err != nil || got != call {
			t.Errorf("got %q, %v; want %q", got, err, call)
		}
	}
	expect("Stop s2_g9", c.Stop(ctx, h))
	expect("Restart s2_g9", c.Restart(ctx, h))
	expect("Terminate s2_g9", c.Terminate(ctx, h))
	expect("Terminate s2_g9", c.TerminateBackgroundWorker(ctx, h))
	expect("Signal s2_g9", c.Signal(ctx, h, 15))
	expect("Reload ", c.Reload(ctx))
	expect("Shutdown smart", c.Shutdown(ctx, ShutdownSmart))
	again, err := c.Start(ctx, h)
	expect("Start s2_g9", err)
	text, err := c.Dump(ctx)
	expect("Dump ", err)
	info, err := c.Manager(ctx)
	expect("Manager ", err)
	if again != h || text != "text" || !reflect.DeepEqual(info, f.manager) {
		t.Errorf("got %v %q %+v", again, text, info)
	}
	if _, err := c.Instantiate(ctx, "tm", "x", Definition{Set: KeyMainArg, MainArg: 4}, 0); err != nil || f.registered(0).Set != KeyMainArg || f.registered(0).Name != "tm@x" {
		t.Errorf("Instantiate: %v %+v", err, f.registered(0))
	}
	f.remove(Handle{0, 1<<32 | 7})

	rows, err := c.ListWorkers(ctx)
	want := []ListEntry{{other.Handle, "beta", "n", "ty", "running", 77, "main", 10}, {h, "alpha", "n", "ty", "running", 77, "main", 10}}
	if err != nil || !slices.Equal(rows, want) {
		t.Errorf("ListWorkers: %+v, %v", rows, err)
	}
	all, err := c.Workers(ctx)
	if err != nil || !reflect.DeepEqual(all, []WorkerInfo{other, full(h)}) {
		t.Errorf("Workers: %+v, %v", all, err)
	}
	for sig, want := range map[int32]string{0: ErrorInvalidArgs, 65: ErrorInvalidArgs, -9: ErrorInvalidArgs} {
		if err := c.Signal(ctx, h, sig); !IsError(err, want) {
			t.Errorf("Signal %d: %v", sig, err)
		}
	}
	if err := c.Shutdown(ctx, "now"); !IsError(err, ErrorInvalidArgs) || !strings.Contains(err.Error(), `"immediate"`) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestGetWorker: one label, one handle; several are an error that lists them.
func TestGetWorker(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	ctx := testContext(t)
	f.put(full(Handle{2, 9}))
	if h, err := c.GetWorker(ctx, "alpha"); h != (Handle{2, 9}) || err != nil {
		t.Error(h, err)
	}
	f.put(full(Handle{1, 4}))
	if _, err := c.GetWorker(ctx, "alpha"); !IsError(err, ErrorAmbiguousLabel) ||
		!strings.Contains(err.Error(), "/org/pgbgw1/worker/s1_g4, /org/pgbgw1/worker/s2_g9") {
		t.Error(err)
	}
	if _, err := c.GetWorker(ctx, "Alpha"); !IsError(err, ErrorNoSuchWorker) {
		t.Error(err)
	}
}

// TestBackendErrors: the Backend's name and text reach the caller; another error is Failed.
func TestBackendErrors(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	for _, name := range sendable {
		f.hook(func(context.Context, string) error { return fmt.Errorf("wrapped: %w", Errorf(name, "because")) })
		if err := c.Reload(testContext(t)); !IsError(err, name) || err.Error() != "because" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	f.hook(func(context.Context, string) error { return errors.New("plain") })
	if err := c.Reload(testContext(t)); !IsError(err, ErrorFailed) || err.Error() != "plain" {
		t.Errorf("got %v", err)
	}
	f.hook(func(_ context.Context, method string) error { return Errorf(ErrorAccessDenied, "no") })
	for name, err := range map[string]error{
		"Get":  fromBus(b.raw().Object(BusName, ManagerPath).Call(propertiesInterface+".GetAll", 0, ManagerInterface).Err),
		"List": func() error { _, err := c.ListWorkers(testContext(t)); return err }(),
		"Pid":  func() error { _, _, err := c.GetBackgroundWorkerPid(testContext(t), Handle{1, 1}); return err }(),
		"Term": c.TerminateBackgroundWorker(testContext(t), Handle{1, 1}),
	} {
		if !IsError(err, ErrorAccessDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTree: the standard interfaces are on every node, and what is not there has its standard error.
func TestTree(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	h := f.put(full(Handle{2, 9})).Handle
	conn := b.raw()
	children := map[dbus.ObjectPath]string{"/": "org", "/org": "pgbgw1", ManagerPath: "worker", workerDir: "s2_g9", h.Path(): ""}
	for path, child := range children {
		text := invoke(t, conn, path, introspectInterface+".Introspect", "")[0].(string)
		found := parseInterfaces(text)
		for _, i := range standardInterfaces {
			if found[i] == nil {
				t.Errorf("%s has no %s", path, i)
			}
		}
		if got := strings.Contains(text, "<node name="); got != (child != "") || !strings.Contains(text, "<node name=\""+child) && got {
			t.Errorf("children of %s: %s", path, text)
		}
		invoke(t, conn, path, peerInterface+".Ping", "")
		invoke(t, conn, path, "a.b.C", ErrorUnknownInterface)
		invoke(t, conn, path, introspectInterface+".No", ErrorUnknownMethod)
		invoke(t, conn, path, propertiesInterface+".GetAll", ErrorUnknownInterface, "a.b")
		invoke(t, conn, path, propertiesInterface+".GetAll", "", peerInterface)
		invoke(t, conn, path, propertiesInterface+".Get", ErrorUnknownProperty, "", "No")
	}
	for _, path := range []dbus.ObjectPath{"/o", "/org/pgbgw", "/org/pgbgw1/x", "/org/pgbgw1/worker/x", "/org/pgbgw1/worker/s2_g09"} {
		invoke(t, conn, path, introspectInterface+".Introspect", ErrorUnknownObject)
	}
	gone := Handle{3, 3}.Path()
	invoke(t, conn, gone, introspectInterface+".Introspect", ErrorUnknownObject)
	invoke(t, conn, gone, propertiesInterface+".GetAll", ErrorUnknownObject, WorkerInterface)
	invoke(t, conn, gone, propertiesInterface+".GetAll", ErrorUnknownObject, peerInterface)
	invoke(t, conn, gone, propertiesInterface+".Get", ErrorUnknownObject, WorkerInterface, "State")
	invoke(t, conn, ManagerPath, WorkerInterface+".Stop", ErrorUnknownInterface, uint64(0))

	// A call without an interface finds its method.
	m := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(BusName), dbus.FieldPath: dbus.MakeVariant(ManagerPath), dbus.FieldMember: dbus.MakeVariant("ListWorkers"),
	}}
	if c := <-conn.Send(m, nil).Done; c.Err != nil {
		t.Error(c.Err)
	}
}

// readDefinition has the library encode m as an argument, and reads it.
func readDefinition(t *testing.T, m map[string]dbus.Variant) (Definition, error) {
	t.Helper()
	signature, body, err := libraryBody([]any{m})
	if err != nil {
		t.Skip(err)
	}
	args, err := (&reader{text: string(body)}).arguments(signature)
	if err != nil {
		return Definition{}, err
	}
	return args[0].(Definition), nil
}

// FuzzDefinition: no dictionary crashes the reader, errors are InvalidArgs, and what it accepts survives a round trip.
func FuzzDefinition(f *testing.F) {
	f.Add("Name", "s", "text", uint64(1), true)
	f.Add("Flags", "as", "shmem_access", uint64(2), false)
	f.Add("Nam", "v", "\xff", uint64(3), false)
	f.Fuzz(func(t *testing.T, key, kind, text string, number uint64, more bool) {
		values := map[string]any{
			"s": text, "as": []string{text, key}, "a{ss}": map[string]string{key: text}, "ay": []byte(text), "b": more,
			"i": int32(number), "u": uint32(number), "t": number, "v": dbus.MakeVariant(text), "a{sv}": map[string]dbus.Variant{key: dbus.MakeVariant(number)},
		}
		value, ok := values[kind]
		if !ok {
			value = text
		}
		m := map[string]dbus.Variant{key: dbus.MakeVariant(value)}
		if more {
			m["Name"] = dbus.MakeVariant(clean(text, 100))
		}
		d, err := readDefinition(t, m)
		if err != nil {
			if !IsError(err, ErrorInvalidArgs) || len(err.Error()) > maxErrorText {
				t.Fatalf("error %v", err)
			}
			return
		}
		back := EncodeDefinition(d)
		if !slices.Equal(slices.Sorted(maps.Keys(back)), slices.Sorted(maps.Keys(m))) {
			t.Fatalf("got %v, want %v", back, m)
		}
	})
}
