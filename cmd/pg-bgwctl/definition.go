package main

import (
	"math"
	"reflect"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
)

type handle = dbusapi.Handle

// definitionOf is w, to which defaults have been applied, as it travels on the bus. The worker gets no owner: this
// process is gone before there is anything to tell it.
func definitionOf(w *units.Worker) dbusapi.Definition {
	d := dbusapi.Definition{
		Set: dbusapi.KeyName | dbusapi.KeyType | dbusapi.KeyFlags | dbusapi.KeyStartTime | dbusapi.KeyRestartTime |
			dbusapi.KeyMainArg | dbusapi.KeyNotifyPid | dbusapi.KeySegment | dbusapi.KeyKillSignal | dbusapi.KeyKillTimeoutUSec,
		Name: w.Name, Type: w.Type, Flags: w.Flags.Names(), StartTime: w.StartTime.String(),
		RestartTime: int32(w.RestartTime), MainArg: w.MainArg, Segment: w.Segment,
		KillSignal: w.KillSignal.String(), KillTimeoutUSec: microseconds(w.KillTimeout),
	}
	if w.Module() {
		d.LibraryName, d.FunctionName = w.LibraryName, w.FunctionName
		d.Set |= dbusapi.KeyLibraryName | dbusapi.KeyFunctionName
	} else {
		d.Command = w.Command
		d.Set |= dbusapi.KeyCommand
	}
	if len(w.Extra) > 0 {
		d.Extra = w.Extra
		d.Set |= dbusapi.KeyExtra
	}
	if len(w.Environment) > 0 {
		d.Environment = w.Environment
		d.Set |= dbusapi.KeyEnvironment
	}
	if c := w.Connection; c != nil {
		d.Database, d.Role = c.Database, c.Role
		d.Set |= setIf(c.Database != "", dbusapi.KeyDatabase) | setIf(c.Role != "", dbusapi.KeyRole)
	}
	if w.Server != "" {
		d.Server = w.Server
		d.Set |= dbusapi.KeyServer
	}
	return d
}

func setIf(is bool, k dbusapi.Keys) dbusapi.Keys {
	if is {
		return k
	}
	return 0
}

// microseconds is a timeout as the bus has it: the largest number for none.
func microseconds(d time.Duration) uint64 {
	if d == units.Infinity {
		return math.MaxUint64
	}
	return uint64(d / time.Microsecond)
}

// notForCallers lists, in HCL's words, what w sets that a definition on the bus cannot hold.
func notForCallers(w *units.Worker) []string {
	plain := (&units.Worker{Name: w.Name, Type: w.Type, Command: w.Command, Flags: w.Flags, StartTime: w.StartTime}).WithDefaults()
	var conn units.Connection
	if w.Connection != nil {
		conn = *w.Connection
	}
	var out []string
	for _, f := range []struct {
		word       string
		have, none any
	}{
		{"resources", w.Resources, plain.Resources},
		{"sandbox", w.Sandbox, plain.Sandbox},
		{"restart_backoff", w.Backoff, plain.Backoff},
		{"attach", w.Attach, plain.Attach},
		{"user", w.User, plain.User},
		{"on_server_stop", w.OnServerStop, plain.OnServerStop},
		{"on_server_crash", w.OnServerCrash, plain.OnServerCrash},
		{"stop_on_demotion", w.StopOnDemotion, plain.StopOnDemotion},
		{"logs", w.Logs, plain.Logs},
		{"connection.options (set PGOPTIONS in environment)", conn.Options, ""},
		{"connection.password_file", conn.PasswordFile, ""},
		{"connection.certificate_file", conn.CertificateFile, ""},
		{"connection.key_file", conn.KeyFile, ""},
	} {
		if !reflect.DeepEqual(f.have, f.none) {
			out = append(out, f.word)
		}
	}
	return out
}
