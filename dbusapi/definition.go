package dbusapi

import (
	"iter"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/godbus/dbus/v5"
)

// Definition is a worker's definition with the keys of the a{sv} that registers it. A field means something only if
// its bit is in Set: RestartTime 0, say, is a wish and not an absence. Lengths and ranges are the Backend's to judge.
type Definition struct {
	Set Keys // which fields are present

	Name            string            // bgw_name
	Type            string            // bgw_type; default Name
	Flags           []string          // bgw_flags, lower-case words
	StartTime       string            // bgw_start_time, a lower-case word
	RestartTime     int32             // bgw_restart_time: seconds, -1 never
	LibraryName     string            // bgw_library_name
	FunctionName    string            // bgw_function_name
	Command         []string          // program and arguments, instead of library and function
	MainArg         uint64            // bgw_main_arg, 64 bits
	Extra           []byte            // bgw_extra
	NotifyPid       uint32            // bgw_notify_pid; unset: the caller, 0: nobody
	Database        string            // database to connect to
	Role            string            // role to connect as
	Environment     map[string]string // variables added to the worker's environment
	Segment         string            // segment the worker belongs to
	KillSignal      string            // signal that asks the worker to end, "SIGTERM"
	KillTimeoutUSec uint64            // µs until the cgroup is killed; the largest uint64: never
	StopWithOwner   bool              // terminate the worker when its owner goes
	Server          string            // server that the worker follows; by default the only one
}

// Keys is a set of keys of a definition.
type Keys uint32

// One bit for each key, named like the key.
const (
	KeyName Keys = 1 << iota
	KeyType
	KeyFlags
	KeyStartTime
	KeyRestartTime
	KeyLibraryName
	KeyFunctionName
	KeyCommand
	KeyMainArg
	KeyExtra
	KeyNotifyPid
	KeyDatabase
	KeyRole
	KeyEnvironment
	KeySegment
	KeyKillSignal
	KeyKillTimeoutUSec
	KeyStopWithOwner
	KeyServer
)

// allKeys has every key.
const allKeys = 2*KeyServer - 1

// Has reports whether all keys of want are in k.
func (k Keys) Has(want Keys) bool { return k&want == want }

// String lists the keys, separated by ", ".
func (k Keys) String() string {
	var names []string
	for _, f := range fields {
		if k.Has(f.key) {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// Bounds on what one definition may weigh, in bytes. They keep memory bounded; the rules for a field are narrower.
const (
	maxText  = 4096
	maxTexts = 128 << 10 // all elements of one list or dictionary together
	maxItems = 1024
	maxBytes = 4096
)

// field describes one key: the only place where key, D-Bus type and struct field meet.
type field struct {
	key Keys
	wireField[Definition]
}

var fields = []field{
	{KeyName, wireField[Definition]{"Name", func(d *Definition) any { return &d.Name }}},
	{KeyType, wireField[Definition]{"Type", func(d *Definition) any { return &d.Type }}},
	{KeyFlags, wireField[Definition]{"Flags", func(d *Definition) any { return &d.Flags }}},
	{KeyStartTime, wireField[Definition]{"StartTime", func(d *Definition) any { return &d.StartTime }}},
	{KeyRestartTime, wireField[Definition]{"RestartTime", func(d *Definition) any { return &d.RestartTime }}},
	{KeyLibraryName, wireField[Definition]{"LibraryName", func(d *Definition) any { return &d.LibraryName }}},
	{KeyFunctionName, wireField[Definition]{"FunctionName", func(d *Definition) any { return &d.FunctionName }}},
	{KeyCommand, wireField[Definition]{"Command", func(d *Definition) any { return &d.Command }}},
	{KeyMainArg, wireField[Definition]{"MainArg", func(d *Definition) any { return &d.MainArg }}},
	{KeyExtra, wireField[Definition]{"Extra", func(d *Definition) any { return &d.Extra }}},
	{KeyNotifyPid, wireField[Definition]{"NotifyPid", func(d *Definition) any { return &d.NotifyPid }}},
	{KeyDatabase, wireField[Definition]{"Database", func(d *Definition) any { return &d.Database }}},
	{KeyRole, wireField[Definition]{"Role", func(d *Definition) any { return &d.Role }}},
	{KeyEnvironment, wireField[Definition]{"Environment", func(d *Definition) any { return &d.Environment }}},
	{KeySegment, wireField[Definition]{"Segment", func(d *Definition) any { return &d.Segment }}},
	{KeyKillSignal, wireField[Definition]{"KillSignal", func(d *Definition) any { return &d.KillSignal }}},
	{KeyKillTimeoutUSec, wireField[Definition]{"KillTimeoutUSec", func(d *Definition) any { return &d.KillTimeoutUSec }}},
	{KeyStopWithOwner, wireField[Definition]{"StopWithOwner", func(d *Definition) any { return &d.StopWithOwner }}},
	{KeyServer, wireField[Definition]{"Server", func(d *Definition) any { return &d.Server }}},
}

// EncodeDefinition returns d as the a{sv} of a registration, with the keys in d.Set.
func EncodeDefinition(d Definition) map[string]dbus.Variant {
	m := make(map[string]dbus.Variant, len(fields))
	for _, f := range fields {
		if d.Set.Has(f.key) {
			m[f.name] = dbus.MakeVariant(toWire(f.ref(&d)))
		}
	}
	return m
}

// require reports the keys of want that d does not have.
func (d *Definition) require(want Keys) error {
	if missing := want &^ d.Set; missing != 0 {
		return Errorf(ErrorInvalidArgs, "worker: %s must be given; there is no default", missing)
	}
	return nil
}

// wrongType says that a value has another D-Bus type than f.
func (f namedField) wrongType(got string) error {
	return Errorf(ErrorInvalidArgs, "%s: expected D-Bus type %q (%s), got %q", f.name, f.wireType, typeWords[f.wireType], bounded(got, 64))
}

// typeWords says in words what the signatures of definition fields mean.
var typeWords = map[string]string{
	"s": "string", "as": "array of strings", "a{ss}": "dictionary of strings", "ay": "array of bytes",
	"b": "boolean", "i": "32-bit signed integer", "u": "32-bit unsigned integer", "t": "64-bit unsigned integer",
}

// checkSize holds the field that p points to against the bounds above.
func (f field) checkSize(p any) error {
	switch p := p.(type) {
	case *string:
		return f.checkBytes(len(*p), maxText)
	case *[]byte:
		return f.checkBytes(len(*p), maxBytes)
	case *[]string:
		return f.checkTexts(slices.Values(*p), len(*p))
	case *map[string]string:
		return f.checkTexts(pairs(*p), len(*p))
	}
	return nil
}

func (f field) checkBytes(n, limit int) error {
	if n > limit {
		return Errorf(ErrorInvalidArgs, "%s: %d bytes are too long, at most %d", f.name, n, limit)
	}
	return nil
}

func (f field) checkTexts(all iter.Seq[string], n int) error {
	if n > maxItems {
		return Errorf(ErrorInvalidArgs, "%s: %d elements are too many, at most %d", f.name, n, maxItems)
	}
	total := 0
	for s := range all {
		total += len(s)
	}
	return f.checkBytes(total, maxTexts)
}

// pairs yields keys and values of m.
func pairs(m map[string]string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k, v := range m {
			if !yield(k) || !yield(v) {
				return
			}
		}
	}
}

// unknownKey names the key, and the nearest known one or all.
func unknownKey(name string) error {
	shown := bounded(name, 64)
	if near := nearest(name); near != "" {
		return Errorf(ErrorInvalidArgs, "unknown key %q: did you mean %q?", shown, near)
	}
	return Errorf(ErrorInvalidArgs, "unknown key %q: the keys are %s", shown, allKeys)
}

// nearest returns the known key at most a third of its length away from name, ignoring case, or "".
func nearest(name string) string {
	if len(name) > maxKey {
		return ""
	}
	best, distance := "", 0
	for _, f := range fields {
		n := levenshtein.Distance(strings.ToLower(name), strings.ToLower(f.name), nil)
		if n <= len(f.name)/3 && (best == "" || n < distance) {
			best, distance = f.name, n
		}
	}
	return best
}

const maxKey = 32
