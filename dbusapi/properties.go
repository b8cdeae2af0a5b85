package dbusapi

import (
	"reflect"

	"github.com/godbus/dbus/v5"
)

// managerProperties are the properties of ManagerInterface.
var managerProperties = []wireField[ManagerInfo]{
	{"Version", func(m *ManagerInfo) any { return &m.Version }},
	{"MaxWorkerProcesses", func(m *ManagerInfo) any { return &m.MaxWorkerProcesses }},
	{"NWorkers", func(m *ManagerInfo) any { return &m.Workers }},
	{"NRunning", func(m *ManagerInfo) any { return &m.Running }},
	{"StartTimestamp", func(m *ManagerInfo) any { return &m.Started.Realtime }},
	{"StartTimestampMonotonic", func(m *ManagerInfo) any { return &m.Started.Monotonic }},
	{"StandaloneMode", func(m *ManagerInfo) any { return &m.Standalone }},
	{"Phases", func(m *ManagerInfo) any { return &m.Phases }},
	{"ConfigurationState", func(m *ManagerInfo) any { return &m.ConfigurationState }},
}

// workerProperties are the properties of WorkerInterface: identity, the fields of the definition, state.
var workerProperties = append(definitionProperties(), []wireField[WorkerInfo]{
	{"Slot", func(w *WorkerInfo) any { return &w.Handle.Slot }},
	{"Generation", func(w *WorkerInfo) any { return &w.Handle.Generation }},
	{"Label", func(w *WorkerInfo) any { return &w.Label }},
	{"Dynamic", func(w *WorkerInfo) any { return &w.Dynamic }},
	{"Template", func(w *WorkerInfo) any { return &w.Template }},
	{"User", func(w *WorkerInfo) any { return &w.User }},
	{"Attach", func(w *WorkerInfo) any { return &w.Attach }},
	{"State", func(w *WorkerInfo) any { return &w.State }},
	{"Status", func(w *WorkerInfo) any { return &w.Status }},
	{"MainPID", func(w *WorkerInfo) any { return &w.MainPID }},
	{"StartNumber", func(w *WorkerInfo) any { return &w.StartNumber }},
	{"StateTimestamp", func(w *WorkerInfo) any { return &w.Changed.Realtime }},
	{"StateTimestampMonotonic", func(w *WorkerInfo) any { return &w.Changed.Monotonic }},
	{"NextStartTimestamp", func(w *WorkerInfo) any { return &w.NextStart }},
	{"ExitCode", func(w *WorkerInfo) any { return &w.ExitCode }},
	{"ExitSignal", func(w *WorkerInfo) any { return &w.ExitSignal }},
	{"ExitOOM", func(w *WorkerInfo) any { return &w.ExitOOM }},
	{"Reason", func(w *WorkerInfo) any { return &w.Reason }},
	{"StatusText", func(w *WorkerInfo) any { return &w.StatusText }},
	{"WaitsFor", func(w *WorkerInfo) any { return &w.WaitsFor }},
	{"Restarts", func(w *WorkerInfo) any { return &w.Restarts }},
	{"Attached", func(w *WorkerInfo) any { return &w.Attached }},
	{"Held", func(w *WorkerInfo) any { return &w.Held }},
	{"Owner", func(w *WorkerInfo) any { return &w.Owner }},
}...)

// definitionProperties lifts the keys of a definition to properties of a worker.
func definitionProperties() []wireField[WorkerInfo] {
	out := make([]wireField[WorkerInfo], len(fields))
	for i, f := range fields {
		out[i] = wireField[WorkerInfo]{f.name, func(w *WorkerInfo) any { return f.ref(&w.Definition) }}
	}
	return out
}

// allProperties returns every property of v, as GetAll does.
func allProperties[T any](table []wireField[T], v T) map[string]dbus.Variant {
	out := make(map[string]dbus.Variant, len(table))
	for _, f := range table {
		out[f.name] = dbus.MakeVariant(toWire(f.ref(&v)))
	}
	return out
}

// publicProperties returns the properties of a worker that may be told to everybody: all but those whose annotation is
// "invalidates". A Backend may show their values to some callers only, and a signal has no caller.
func publicProperties(w WorkerInfo) map[string]dbus.Variant {
	all := allProperties(workerProperties, w)
	for name, p := range interfaces[WorkerInterface].properties {
		if p.emits == "invalidates" {
			delete(all, name)
		}
	}
	return all
}

// readProperties is the reverse of allProperties: the Client's. Names it does not know are of a newer daemon and skipped.
func readProperties[T any](table []wireField[T], from map[string]dbus.Variant) (T, error) {
	var v T
	for _, f := range table {
		got, ok := from[f.name]
		if !ok {
			continue
		}
		if p := f.ref(&v); !fromWire(p, got.Value()) {
			return v, Errorf(ErrorInvalidArgs, "property %s: expected D-Bus type %q, got %q", f.name, wireType(p), signatureOf(got))
		}
	}
	return v, nil
}

// differences returns the arguments of PropertiesChanged: the new values of the properties of iface that changed and
// whose annotation is "true", and the names of those with "invalidates".
func differences[T any](iface *interfaceXML, table []wireField[T], before, after T) (map[string]dbus.Variant, []string) {
	changed, invalidated := map[string]dbus.Variant{}, []string{}
	for _, f := range table {
		emits := iface.properties[f.name].emits
		if emits != "true" && emits != "invalidates" {
			continue
		}
		p := f.ref(&after)
		if reflect.DeepEqual(f.ref(&before), p) {
			continue
		}
		if emits == "invalidates" {
			invalidated = append(invalidated, f.name)
		} else {
			changed[f.name] = dbus.MakeVariant(toWire(p))
		}
	}
	return changed, invalidated
}

// signatureOf is v's signature, "" for the zero Variant, which cannot come from the bus.
func signatureOf(v dbus.Variant) string {
	if v.Value() == nil {
		return ""
	}
	return v.Signature().String()
}
