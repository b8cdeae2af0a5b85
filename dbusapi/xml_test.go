package dbusapi

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestXMLMethodsHaveCode: every method of the XML has code, and all code is in the XML.
func TestXMLMethodsHaveCode(t *testing.T) {
	declared := map[string]bool{}
	for _, i := range interfaces {
		for m := range i.methods {
			declared[i.name+"."+m] = true
		}
	}
	if got := slices.Sorted(maps.Keys(methods)); !slices.Equal(got, slices.Sorted(maps.Keys(declared))) {
		t.Errorf("methods with code: %v\nmethods in the XML: %v", got, declared)
	}
}

// TestXMLPropertiesHaveCode: every property of the XML has a field of that type, and all fields are in the XML.
func TestXMLPropertiesHaveCode(t *testing.T) {
	check := func(iface string, types map[string]string) {
		declared := map[string]string{}
		for name, p := range interfaces[iface].properties {
			declared[name] = p.signature
			if !slices.Contains([]string{"true", "false", "const", "invalidates"}, p.emits) {
				t.Errorf("%s.%s: EmitsChangedSignal %q", iface, name, p.emits)
			}
		}
		if !maps.Equal(types, declared) {
			t.Errorf("%s: fields have %v\nthe XML has %v", iface, types, declared)
		}
	}
	check(ManagerInterface, fieldTypes(managerProperties))
	check(WorkerInterface, fieldTypes(workerProperties))
	check(ServerInterface, fieldTypes(serverProperties))
	for _, name := range []string{peerInterface, introspectInterface, propertiesInterface, objectManagerInterface} {
		check(name, map[string]string{})
	}
}

func fieldTypes[T any](table []wireField[T]) map[string]string {
	var v T
	out := map[string]string{}
	for _, f := range table {
		out[f.name] = wireType(f.ref(&v))
	}
	return out
}

// TestEveryStructFieldIsAProperty: what a Backend fills in can be read on the bus.
func TestEveryStructFieldIsAProperty(t *testing.T) {
	w := full(Handle{1, 2})
	for _, f := range workerProperties {
		if reflect.ValueOf(f.ref(&w)).Elem().IsZero() {
			t.Errorf("%s is zero in a worker in which nothing is", f.name)
		}
	}
	back, err := readWorker(allProperties(workerProperties, w))
	if err != nil || !reflect.DeepEqual(back, w) {
		t.Errorf("read back %+v, %v\nwant %+v", back, err, w)
	}
	s := fullServer("main")
	for _, f := range serverProperties {
		if reflect.ValueOf(f.ref(&s)).Elem().IsZero() {
			t.Errorf("%s is zero in a server in which nothing is", f.name)
		}
	}
	if back, err := readProperties(serverProperties, allProperties(serverProperties, s)); err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("read back %+v, %v\nwant %+v", back, err, s)
	}
}

// TestXMLOverTheBus: Introspect serves the files verbatim, each method can be called with its signature and answers with
// its signature, and each property and no other can be read with its type.
func TestXMLOverTheBus(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	h := f.put(full(Handle{4, 1<<32 | 17})).Handle
	conn := b.raw()
	f.serve(fullServer("main"))
	nodes := map[dbus.ObjectPath]string{ManagerPath: managerXML, h.Path(): workerXML, "/org/pgbgw1/server/main": serverXML}
	for path, file := range nodes {
		text := invoke(t, conn, path, introspectInterface+".Introspect", "")[0].(string)
		body := file[strings.Index(file, " <interface"):strings.Index(file, "</node>")]
		if !strings.Contains(text, body) {
			t.Errorf("Introspect of %s does not have the file's text:\n%s", path, text)
		}
		for _, iface := range parseInterfaces(text) {
			checkMethods(t, conn, path, iface)
			checkProperties(t, conn, path, iface)
		}
	}
}

func checkMethods(t *testing.T, conn *dbus.Conn, path dbus.ObjectPath, iface *interfaceXML) {
	for member, sig := range iface.methods {
		name := iface.name + "." + member
		args := argsFor(t, path, name)
		c := conn.Object(BusName, path).CallWithContext(testContext(t), name, 0, args...)
		if name == propertiesInterface+".Set" {
			if !IsError(fromBus(c.Err), ErrorPropertyReadOnly) {
				t.Errorf("%s: %v", name, c.Err)
			}
			continue
		}
		if c.Err != nil {
			t.Errorf("%s: %v", name, c.Err)
			continue
		}
		if got := signatureOfBody(c.Body); got != sig.out {
			t.Errorf("%s answers %q, the XML says %q", name, got, sig.out)
		}
		invoke(t, conn, path, name, ErrorInvalidArgs, append(args, "too many")...)
	}
}

// signatureOfBody returns the signature of a decoded body. Structs decode to []any and lose theirs, so that a list of them
// has that of its first row: there has to be one.
func signatureOfBody(body []any) string {
	var out string
	for _, v := range body {
		if rows, ok := v.([][]any); ok {
			out += "a("
			for _, column := range slices.Concat(rows[:min(1, len(rows))]...) {
				out += dbus.SignatureOf(column).String()
			}
			out += ")"
			continue
		}
		out += dbus.SignatureOf(v).String()
	}
	return out
}

// argsFor returns arguments with which a method succeeds.
func argsFor(t *testing.T, path dbus.ObjectPath, name string) []any {
	none := map[string]dbus.Variant{}
	h := dbus.ObjectPath("/org/pgbgw1/worker/s4_g4294967313")
	iface, property := ManagerInterface, "Version"
	switch {
	case strings.HasPrefix(string(path), serverDir):
		iface, property = ServerInterface, "Phase"
	case path != ManagerPath:
		iface, property = WorkerInterface, "State"
	}
	zero := uint64(0)
	args, ok := map[string][]any{
		ManagerInterface + ".RegisterDynamicBackgroundWorker":       {EncodeDefinition(Definition{Set: KeyFlags | KeyRestartTime}), zero},
		ManagerInterface + ".RegisterDynamicBackgroundWorkers":      {[]map[string]dbus.Variant{none}, zero},
		ManagerInterface + ".Instantiate":                           {"t", "a", none, zero},
		ManagerInterface + ".GetBackgroundWorkerPid":                {h},
		ManagerInterface + ".WaitForBackgroundWorkerStartup":        {h, zero},
		ManagerInterface + ".WaitForBackgroundWorkerShutdown":       {h, zero},
		ManagerInterface + ".TerminateBackgroundWorker":             {h, zero},
		ManagerInterface + ".ListWorkers":                           {},
		ManagerInterface + ".ListSharedMemory":                      {"", zero},
		ManagerInterface + ".ListServers":                           {},
		ManagerInterface + ".TerminateBackgroundWorkersForDatabase": {"", "db", zero},
		ManagerInterface + ".GetWorker":                             {"alpha"},
		ManagerInterface + ".Subscribe":                             {},
		ManagerInterface + ".Unsubscribe":                           {},
		ManagerInterface + ".Reload":                                {},
		ManagerInterface + ".Dump":                                  {},
		ManagerInterface + ".Shutdown":                              {"fast", zero},
		WorkerInterface + ".Stop":                                   {zero},
		WorkerInterface + ".Start":                                  {zero},
		WorkerInterface + ".Restart":                                {zero},
		WorkerInterface + ".Terminate":                              {zero},
		WorkerInterface + ".Signal":                                 {int32(1), zero},
		introspectInterface + ".Introspect":                         {},
		propertiesInterface + ".Get":                                {iface, property},
		propertiesInterface + ".GetAll":                             {iface},
		propertiesInterface + ".Set":                                {iface, property, dbus.MakeVariant("x")},
		objectManagerInterface + ".GetManagedObjects":               {},
		peerInterface + ".Ping":                                     {},
		peerInterface + ".GetMachineId":                             {},
	}[name]
	if !ok {
		t.Errorf("the test does not know %s", name)
	}
	return args
}

func checkProperties(t *testing.T, conn *dbus.Conn, path dbus.ObjectPath, iface *interfaceXML) {
	all := invoke(t, conn, path, propertiesInterface+".GetAll", "", iface.name)[0].(map[string]dbus.Variant)
	if len(all) != len(iface.properties) {
		t.Errorf("GetAll of %s has %d properties, the XML %d", iface.name, len(all), len(iface.properties))
	}
	for name, p := range iface.properties {
		if got := all[name].Signature().String(); got != p.signature {
			t.Errorf("GetAll: %s has type %q, the XML says %q", name, got, p.signature)
		}
		one := invoke(t, conn, path, propertiesInterface+".Get", "", iface.name, name)[0].(dbus.Variant)
		if !reflect.DeepEqual(one, all[name]) {
			t.Errorf("Get of %s is %v, GetAll says %v", name, one, all[name])
		}
		invoke(t, conn, path, propertiesInterface+".Set", ErrorPropertyReadOnly, iface.name, name, one)
	}
	invoke(t, conn, path, propertiesInterface+".Get", ErrorUnknownProperty, iface.name, "NoSuch")
}

// TestErrorNames: an error keeps its name and text over the bus in both directions.
func TestErrorNames(t *testing.T) {
	for _, name := range sendable {
		sent, body := toBus(Errorf(name, "text of %s", name)).DBusError()
		back := fromBus(*dbus.NewError(sent, body))
		if !IsError(back, name) || back.Error() != "text of "+name {
			t.Errorf("%s came back as %v", name, back)
		}
	}
	if e := toBus(Errorf("no valid name", "why")); e.Name != ErrorFailed || e.Message != "why" {
		t.Errorf("an error with an invalid name is sent as %+v", e)
	}
	if fromBus(nil) != nil {
		t.Error("nil is an error")
	}
}
