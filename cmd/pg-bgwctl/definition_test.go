package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
)

// TestDefinitionLosesNothing: every field of a worker travels, or is one that notForCallers names.
func TestDefinitionLosesNothing(t *testing.T) {
	w := units.Worker{
		Label: "l", Name: "n", Type: "t", Flags: units.ShmemAccess | units.BackendDatabaseConnection, StartTime: units.RecoveryFinished,
		RestartTime: units.NeverRestart, Command: []string{"/x", "y"}, MainArg: 1 << 63, Extra: []byte{0, 1},
		Connection: &units.Connection{Database: "d", Role: "r"}, Environment: map[string]string{"A": "b"}, KillSignal: units.SIGINT,
		KillTimeout: units.Infinity, Segment: "s", Server: "m",
	}
	d := definitionOf(&w)
	want := dbusapi.KeyName | dbusapi.KeyType | dbusapi.KeyFlags | dbusapi.KeyStartTime | dbusapi.KeyRestartTime | dbusapi.KeyCommand |
		dbusapi.KeyMainArg | dbusapi.KeyExtra | dbusapi.KeyNotifyPid | dbusapi.KeyDatabase | dbusapi.KeyRole | dbusapi.KeyEnvironment |
		dbusapi.KeySegment | dbusapi.KeyKillSignal | dbusapi.KeyKillTimeoutUSec | dbusapi.KeyServer
	if d.Set != want {
		t.Errorf("keys %v, want %v", d.Set, want)
	}
	if d.MainArg != 1<<63 || string(d.Extra) != "\x00\x01" || d.KillTimeoutUSec != 1<<64-1 || d.RestartTime != -1 || d.NotifyPid != 0 ||
		d.StartTime != "recovery_finished" || d.KillSignal != "SIGINT" || d.Role != "r" || d.Server != "m" {
		t.Errorf("definition %+v", d)
	}
	if foreign := notForCallers(&w); foreign != nil {
		plain := w.WithDefaults()
		if foreign = notForCallers(&plain); foreign != nil {
			t.Errorf("refused: %v", foreign)
		}
	}
	full := w.WithDefaults()
	full.Resources.Nice, full.Sandbox.NoNewPrivileges, full.Backoff = 5, true, &units.Backoff{Factor: 2}
	full.Attach, full.User, full.Logs.Identifier = units.AttachNever, "u", "i"
	full.OnServerStop, full.OnServerCrash, full.StopOnDemotion = units.ServerStopKeep, units.ServerCrashKeep, units.DemotionKeep
	full.Connection = &units.Connection{Options: "o", PasswordFile: "/p", CertificateFile: "/c", KeyFile: "/k"}
	if got := strings.Join(notForCallers(&full), " "); got != "resources sandbox restart_backoff attach user on_server_stop on_server_crash stop_on_demotion logs connection.options (set PGOPTIONS in environment) connection.password_file connection.certificate_file connection.key_file" {
		t.Errorf("refused: %s", got)
	}
}

// TestDefinitionKnowsEveryField: a field that units gets travels, or is refused; none is left behind without a word.
func TestDefinitionKnowsEveryField(t *testing.T) {
	notOfAFile := map[string]bool{"Label": true, "Template": true, "StopWithOwner": true}
	command := (&units.Worker{Name: "n", Type: "t", Command: []string{"/x"}, Connection: &units.Connection{}}).WithDefaults()
	module := (&units.Worker{Name: "n", Type: "t", LibraryName: "l", FunctionName: "f", Connection: &units.Connection{}}).WithDefaults()
	different := func(name string, field func(*units.Worker) reflect.Value) {
		plain := command
		if name == "LibraryName" || name == "FunctionName" {
			plain = module
		}
		w := plain
		conn := *plain.Connection
		w.Connection = &conn
		fill(field(&w))
		if reflect.DeepEqual(definitionOf(&w), definitionOf(&plain)) && notForCallers(&w) == nil {
			t.Errorf("%s is lost", name)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[units.Worker]()) {
		if f.Name != "Connection" && !notOfAFile[f.Name] {
			different(f.Name, func(w *units.Worker) reflect.Value { return reflect.ValueOf(w).Elem().FieldByIndex(f.Index) })
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[units.Connection]()) {
		different("Connection."+f.Name, func(w *units.Worker) reflect.Value { return reflect.ValueOf(w.Connection).Elem().FieldByIndex(f.Index) })
	}
}

// fill gives v a value that is not what it has, in its first field if it is a structure.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1_000) // a timeout has whole microseconds on the bus
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem())
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		fill(v.Field(0))
	default:
		panic("no value for " + v.Type().String())
	}
}
