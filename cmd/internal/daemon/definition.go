package daemon

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm/control"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// keyOf names the fields of units.Fault as a caller of the bus wrote them.
var keyOf = map[string]string{
	"name": "Name", "type": "Type", "flags": "Flags", "start_time": "StartTime", "restart_time": "RestartTime",
	"library_name": "LibraryName", "function_name": "FunctionName", "command": "Command", "extra": "Extra",
	"segment": "Segment", "environment": "Environment", "kill_signal": "KillSignal", "kill_timeout": "KillTimeoutUSec",
	"connection": "Database, Role", "connection.database": "Database", "connection.role": "Role",
}

// workerOf makes a dynamic worker of what came over the bus or a control
// socket: complete, with its defaults, and valid.
func (d *Daemon) workerOf(def dbusapi.Definition) (*units.Worker, error) {
	if missing := (dbusapi.KeyFlags | dbusapi.KeyRestartTime) &^ def.Set; missing != 0 {
		return nil, invalid("%s must be given: there is no default", missing)
	}
	w := units.Worker{
		Name: def.Name, Type: def.Type, RestartTime: units.RestartTime(def.RestartTime),
		LibraryName: def.LibraryName, FunctionName: def.FunctionName, Command: slices.Clone(def.Command),
		MainArg: def.MainArg, Extra: slices.Clone(def.Extra), Environment: maps.Clone(def.Environment),
		Segment: def.Segment, StopWithOwner: def.StopWithOwner,
	}
	if err := parseWords(&w, def); err != nil {
		return nil, err
	}
	if def.Set&(dbusapi.KeyDatabase|dbusapi.KeyRole) != 0 {
		w.Connection = &units.Connection{Database: def.Database, Role: def.Role}
	}
	if w.Name == "" && len(w.Command) > 0 {
		w.Name = w.Command[0][strings.LastIndexByte(w.Command[0], '/')+1:]
	}
	var err error
	if w.Server, err = d.serverOf(def); err != nil {
		return nil, err
	}
	w = w.WithDefaults()
	if faults := w.Validate(); faults != nil {
		return nil, invalid("%s", faultText(faults))
	}
	if !d.segments.known(w.Segment) {
		return nil, invalid("Segment: no segment %q is configured", w.Segment)
	}
	return &w, nil
}

// serverOf is the server that a definition names, or the default.
func (d *Daemon) serverOf(def dbusapi.Definition) (string, error) {
	if def.Server == "" {
		return d.defaultServer(), nil
	}
	have := d.serverLabels()
	if !slices.Contains(have, def.Server) {
		return "", invalid("Server: no server %q is configured; there is %s", def.Server, cmp.Or(strings.Join(have, ", "), "none"))
	}
	return def.Server, nil
}

// parseWords reads the fields that the bus carries as words.
func parseWords(w *units.Worker, def dbusapi.Definition) error {
	for _, name := range def.Flags {
		f, ok := units.ParseFlag(name)
		if !ok { // BGW-015
			return invalid("Flags: %q is not a flag; the flags are %s", name, strings.Join(units.FlagNames(), ", "))
		}
		w.Flags |= f
	}
	if def.Set.Has(dbusapi.KeyStartTime) {
		t, ok := units.ParseStartTime(def.StartTime)
		if !ok { // BGW-014
			return invalid("StartTime: %q is not a start time; use one of %s", def.StartTime, strings.Join(units.StartTimeNames(), ", "))
		}
		w.StartTime = t
	} else if w.Flags&units.BackendDatabaseConnection != 0 {
		return invalid("StartTime must be given with the flag backend_database_connection: consistent_state or recovery_finished")
	}
	if def.Set.Has(dbusapi.KeyKillSignal) {
		s, err := units.ParseSignal(def.KillSignal)
		if err != nil {
			return invalid("KillSignal: %v", err)
		}
		w.KillSignal = s
	}
	if def.Set.Has(dbusapi.KeyKillTimeoutUSec) {
		w.KillTimeout = units.Infinity
		if def.KillTimeoutUSec < math.MaxInt64/1000 {
			w.KillTimeout = max(time.Duration(def.KillTimeoutUSec)*time.Microsecond, 1)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return dbusapi.Errorf(dbusapi.ErrorInvalidArgs, format, args...)
}

func faultText(fs units.Faults) string {
	var lines []string
	for _, f := range fs {
		if key, ok := keyOf[f.Field]; ok {
			f.Field = key
		}
		lines = append(lines, f.Error())
	}
	return strings.Join(lines, "\n")
}

// definitionOf is a worker's definition as the bus shows it.
func definitionOf(w *units.Worker, o supervise.Owner) dbusapi.Definition {
	def := dbusapi.Definition{
		Set:  ^dbusapi.Keys(0),
		Name: w.Name, Type: w.Type, Flags: w.Flags.Names(), StartTime: w.StartTime.String(),
		RestartTime: int32(w.RestartTime), LibraryName: w.LibraryName, FunctionName: w.FunctionName,
		Command: w.Command, MainArg: w.MainArg, Extra: w.Extra, NotifyPid: o.Pid,
		Environment: w.Environment, Segment: w.Segment, Server: w.Server, KillSignal: w.KillSignal.String(),
		KillTimeoutUSec: microseconds(w.KillTimeout), StopWithOwner: w.StopWithOwner,
	}
	if c := w.Connection; c != nil {
		def.Database, def.Role = c.Database, c.Role
	}
	return def
}

// definitionFromPairs reads a Register record: the same keys in another
// encoding.
func definitionFromPairs(pairs []control.Pair) (def dbusapi.Definition, err error) {
	for _, p := range pairs {
		key, ok := setPair(&def, p)
		if key == 0 {
			return def, invalid("%s is not a key of a definition", p.Key)
		}
		if !ok {
			return def, invalid("%s: a value of the wrong kind", p.Key)
		}
		def.Set |= key
	}
	return def, nil
}

// setPair stores p in def. It returns the key's bit, 0 for an unknown key, and
// whether the value was of its kind.
func setPair(def *dbusapi.Definition, p control.Pair) (key dbusapi.Keys, ok bool) {
	switch p.Key {
	case control.KeyName:
		return dbusapi.KeyName, as(&def.Name, p.Value)
	case control.KeyType:
		return dbusapi.KeyType, as(&def.Type, p.Value)
	case control.KeyFlags:
		return dbusapi.KeyFlags, as(&def.Flags, p.Value)
	case control.KeyStartTime:
		return dbusapi.KeyStartTime, as(&def.StartTime, p.Value)
	case control.KeyRestartTime:
		return dbusapi.KeyRestartTime, asNumber(&def.RestartTime, p.Value)
	case control.KeyLibraryName:
		return dbusapi.KeyLibraryName, as(&def.LibraryName, p.Value)
	case control.KeyFunctionName:
		return dbusapi.KeyFunctionName, as(&def.FunctionName, p.Value)
	case control.KeyCommand:
		return dbusapi.KeyCommand, as(&def.Command, p.Value)
	case control.KeyMainArg:
		return dbusapi.KeyMainArg, as(&def.MainArg, p.Value)
	case control.KeyExtra:
		return dbusapi.KeyExtra, as(&def.Extra, p.Value)
	case control.KeyNotifyPid:
		return dbusapi.KeyNotifyPid, asNumber(&def.NotifyPid, p.Value)
	case control.KeyDatabase:
		return dbusapi.KeyDatabase, as(&def.Database, p.Value)
	case control.KeyRole:
		return dbusapi.KeyRole, as(&def.Role, p.Value)
	case control.KeyEnvironment:
		return dbusapi.KeyEnvironment, asEnvironment(&def.Environment, p.Value)
	case control.KeySegment:
		return dbusapi.KeySegment, as(&def.Segment, p.Value)
	case control.KeyServer:
		return dbusapi.KeyServer, as(&def.Server, p.Value)
	case control.KeyKillSignal:
		return dbusapi.KeyKillSignal, as(&def.KillSignal, p.Value)
	case control.KeyKillTimeout:
		return dbusapi.KeyKillTimeoutUSec, as(&def.KillTimeoutUSec, p.Value)
	case control.KeyStopWithOwner:
		var n uint64
		ok := as(&n, p.Value) && n <= 1
		def.StopWithOwner = n == 1
		return dbusapi.KeyStopWithOwner, ok
	}
	return 0, false
}

func as[T any](to *T, v any) bool {
	x, ok := v.(T)
	*to = x
	return ok
}

// asNumber narrows a number of the wire; one that does not fit is of the wrong
// kind.
func asNumber[T int32 | uint32](to *T, v any) bool {
	switch n := v.(type) {
	case int64:
		*to = T(n)
		return int64(*to) == n
	case uint64:
		*to = T(n)
		return *to >= 0 && uint64(*to) == n
	}
	return false
}

func asEnvironment(to *map[string]string, v any) bool {
	list, ok := v.([]string)
	*to = make(map[string]string, len(list))
	for _, kv := range list {
		name, value, found := strings.Cut(kv, "=")
		ok = ok && found
		(*to)[name] = value
	}
	return ok
}

// overridable are the keys that an instance may set for itself: none of them
// changes what runs or with what rights.
const overridable = dbusapi.KeyName | dbusapi.KeyMainArg | dbusapi.KeyExtra | dbusapi.KeyNotifyPid | dbusapi.KeyStopWithOwner

// instanceOf makes a dynamic worker of a template.
func (d *Daemon) instanceOf(template, argument string, over dbusapi.Definition) (*units.Worker, error) {
	t, ok := d.config().Template(template)
	if !ok {
		return nil, dbusapi.Errorf(dbusapi.ErrorNoSuchTemplate, "no template %q is configured", template)
	}
	if extra := over.Set &^ overridable; extra != 0 {
		return nil, dbusapi.Errorf(dbusapi.ErrorNotAllowed, "an instance may set %s only, not %s", overridable, extra)
	}
	w, err := t.Instantiate(argument)
	if err != nil {
		return nil, invalid("%v", err)
	}
	if over.Set.Has(dbusapi.KeyName) {
		w.Name = over.Name
	}
	if over.Set.Has(dbusapi.KeyMainArg) {
		w.MainArg = over.MainArg
	}
	if over.Set.Has(dbusapi.KeyExtra) {
		w.Extra = slices.Clone(over.Extra)
	}
	w.StopWithOwner, w.Template = over.StopWithOwner, template
	if w.Server == "" {
		w.Server = d.defaultServer()
	}
	w = w.WithDefaults()
	if faults := w.Validate(); faults != nil {
		return nil, invalid("%s", faultText(faults))
	}
	return &w, nil
}
