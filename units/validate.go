package units

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Fault is one mistake in a definition.
type Fault struct {
	Field   string // HCL name of the field: "restart_time", "connection.database"
	Problem string // what is wrong, with the value
	Remedy  string // what would be right
}

func (f Fault) Error() string { return fmt.Sprintf("%s: %s; %s", f.Field, f.Problem, f.Remedy) }

// Faults are all mistakes of a definition, in the order of its fields but for
// PostgreSQL's own checks, which come first and in PostgreSQL's order.
type Faults []Fault

func (fs Faults) Error() string {
	texts := make([]string, len(fs))
	for i, f := range fs {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "\n")
}

func (fs *Faults) add(field, remedy, problem string, args ...any) {
	*fs = append(*fs, Fault{Field: field, Problem: fmt.Sprintf(problem, args...), Remedy: remedy})
}

var labelForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$`)

// ValidLabel reports whether s can be the label of a worker, template, server
// or segment: it becomes part of cgroup names, object paths and log fields.
func ValidLabel(s string) bool { return labelForm.MatchString(s) }

// LabelForm is what ValidLabel wants, in words.
const LabelForm = "1 to 63 letters, digits, '_', '.', '@' and '-', starting with a letter or digit"

// Validate checks w, to which WithDefaults has been applied, against
// PostgreSQL's rules (SanityCheckBackgroundWorker) and pg-bgw's own. It returns
// nil when there is nothing to complain of.
func (w *Worker) Validate() Faults {
	var fs Faults
	w.sanityCheck(&fs)
	w.checkIdentity(&fs)
	w.checkCode(&fs)
	w.checkProcess(&fs)
	w.checkServer(&fs)
	return fs
}

// sanityCheck is PostgreSQL's SanityCheckBackgroundWorker, in its order
// (BGW-001 to BGW-011), then the two checks that PostgreSQL lacks (BGW-014,
// BGW-015).
func (w *Worker) sanityCheck(fs *Faults) {
	if w.Flags&ShmemAccess == 0 { // BGW-001, BGW-002, BGW-003
		fs.add("flags", `add "shmem_access"`, "background workers without shared memory access are not supported")
	}
	if w.Flags&BackendDatabaseConnection != 0 && w.StartTime == PostmasterStart { // BGW-004
		fs.add("start_time", `use "consistent_state" or "recovery_finished", or drop the flag`,
			"cannot request database access if starting at postmaster start")
	}
	if w.Flags&Interruptible != 0 && w.Flags&BackendDatabaseConnection == 0 { // BGW-005
		fs.add("flags", `add "backend_database_connection" or drop "interruptible"`,
			"a worker without database access cannot be interruptible")
	}
	if w.RestartTime < NeverRestart || w.RestartTime > MaxRestartTime { // BGW-006 to BGW-010
		fs.add("restart_time", `use 0 to 86400000 seconds or "never"`, "invalid restart interval of %d seconds", int(w.RestartTime))
	}
	if w.Flags&ClassParallel != 0 && w.RestartTime != NeverRestart { // BGW-011
		fs.add("restart_time", `use "never"`, "parallel workers may not be configured for restart")
	}
	if w.StartTime > RecoveryFinished { // BGW-014
		fs.add("start_time", "use one of "+quoted(startTimeNames), "unknown start time %d", w.StartTime)
	}
	if extra := w.Flags &^ allFlags; extra != 0 { // BGW-015
		fs.add("flags", "use only "+quoted(FlagNames()), "unknown flags %#x", uint32(extra))
	}
}

func (w *Worker) checkIdentity(fs *Faults) {
	if w.Label != "" && !ValidLabel(w.Label) {
		fs.add("label", "use "+LabelForm, "%q cannot be a label", w.Label)
	}
	checkText(fs, "name", w.Name, MaxName, true)
	checkText(fs, "type", w.Type, MaxName, true)
	if len(w.Extra) > MaxExtra { // BGW-018
		fs.add("extra", "use at most 128", "%d bytes do not fit", len(w.Extra))
	}
	if w.Segment != "" && !ValidLabel(w.Segment) {
		fs.add("segment", "use "+LabelForm, "%q cannot be the name of a segment", w.Segment)
	}
	if c := w.Connection; c != nil {
		if w.Flags&BackendDatabaseConnection == 0 { // BGW-120
			fs.add("connection", `add the flag "backend_database_connection"`, "a database connection was not requested in the flags")
		}
		c.check(fs)
	}
}

func (w *Worker) checkCode(fs *Faults) {
	module := w.LibraryName != "" || w.FunctionName != ""
	switch {
	case module && len(w.Command) > 0:
		fs.add("command", "give either a command or a library_name and function_name", "both a command and a library are given")
	case !module && len(w.Command) == 0:
		fs.add("command", "give a command, or a library_name and function_name", "there is nothing to run")
	case module:
		checkText(fs, "library_name", w.LibraryName, MaxLibrary, true)
		checkText(fs, "function_name", w.FunctionName, MaxName, true)
	default:
		w.checkCommand(fs)
	}
}

func (w *Worker) checkCommand(fs *Faults) {
	if !filepath.IsAbs(w.Command[0]) {
		fs.add("command", `write the whole path, as in "/usr/bin/`+filepath.Base(w.Command[0])+`"`, "%q is not an absolute path", w.Command[0])
	}
	bytes := 0
	for i, a := range w.Command {
		bytes += len(a) + 1
		switch {
		case strings.ContainsRune(a, 0):
			fs.add("command", "leave it out", "argument %d has a NUL byte", i)
		case !utf8.ValidString(a): // a definition is shown on the bus, which carries nothing else
			fs.add("command", "write it in UTF-8", "argument %d, %q, is not UTF-8", i, a)
		}
	}
	if len(w.Command) > MaxArgs || bytes > MaxArgBytes {
		fs.add("command", fmt.Sprintf("use at most %d arguments and %d bytes", MaxArgs, MaxArgBytes), "%d arguments of %d bytes do not fit", len(w.Command), bytes)
	}
}

func (w *Worker) checkProcess(fs *Faults) {
	if w.KillSignal < 1 || w.KillSignal > MaxSignal {
		fs.add("kill_signal", `use a signal such as "SIGTERM"`, "%d is not a signal", int(w.KillSignal))
	}
	if w.KillTimeout < 0 {
		fs.add("kill_timeout", `use a time such as "30s" or "infinity"`, "%v is negative", w.KillTimeout)
	}
	if n := w.Resources.OOMScoreAdj; n < -1000 || n > 1000 {
		fs.add("resources.oom_score_adj", "use -1000 to 1000", "%d is out of range", n)
	}
	if n := w.Resources.Nice; n < -20 || n > 19 {
		fs.add("resources.nice", "use -20 to 19", "%d is out of range", n)
	}
	if len(w.Sandbox.ReadOnlyPaths) > 0 {
		fs.add("sandbox.read_only_paths", "leave it out", "this version cannot keep a worker to it")
	}
	if len(w.Sandbox.ReadWritePaths) > 0 {
		fs.add("sandbox.read_write_paths", "leave it out", "this version cannot keep a worker to it")
	}
	if w.Attach == AttachNever && w.Module() {
		fs.add("attach", `use "always"`, "a module cannot do without its segment")
	}
	w.checkEnvironment(fs)
	if b := w.Backoff; b != nil {
		b.check(fs, w.RestartTime)
	}
}

// checkServer checks what ties w to the life of its server.
func (w *Worker) checkServer(fs *Faults) {
	if w.OnServerStop > ServerStopKeep {
		fs.add("on_server_stop", "use one of "+quoted(onServerStopNames), "unknown value %d", w.OnServerStop)
	}
	if w.OnServerCrash > ServerCrashKeep {
		fs.add("on_server_crash", "use one of "+quoted(onServerCrashNames), "unknown value %d", w.OnServerCrash)
	}
	if w.StopOnDemotion > DemotionKeep {
		fs.add("stop_on_demotion", "use true or false", "unknown value %d", w.StopOnDemotion)
	}
	if w.StopOnDemotion == DemotionStop && w.StartTime != RecoveryFinished { // a standby would start it again at once
		fs.add("stop_on_demotion", `use start_time = "recovery_finished", or drop it`,
			"a worker that may start on a standby cannot be stopped for its server being one")
	}
}

func (w *Worker) checkEnvironment(fs *Faults) {
	bytes := 0
	for _, k := range slices.Sorted(maps.Keys(w.Environment)) {
		v := w.Environment[k]
		bytes += len(k) + len(v) + 2
		switch {
		case k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0):
			fs.add("environment", "use names without '=' and no NUL bytes", "%q cannot be set", k)
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			fs.add("environment", "write it in UTF-8", "%q is not UTF-8", k+"="+v)
		case strings.HasPrefix(k, "PGBGW_"):
			fs.add("environment", "leave it out", "%s is pg-bgw's own", k)
		}
	}
	if len(w.Environment) > MaxEnv || bytes > MaxArgBytes {
		fs.add("environment", fmt.Sprintf("use at most %d variables and %d bytes", MaxEnv, MaxArgBytes), "%d variables of %d bytes do not fit", len(w.Environment), bytes)
	}
}

func (b *Backoff) check(fs *Faults, base RestartTime) {
	if base == NeverRestart {
		fs.add("restart_backoff", "drop it or give a restart_time", "a worker that never restarts has no interval")
	}
	if !(b.Factor >= 1 && b.Factor <= 10) {
		fs.add("restart_backoff.factor", "use 1 to 10", "%v is out of range", b.Factor)
	}
	if !(b.Jitter >= 0 && b.Jitter <= 1) {
		fs.add("restart_backoff.jitter", "use 0 to 1", "%v is out of range", b.Jitter)
	}
	if limit := MaxRestartTime.Duration(); b.Max < 0 || b.Max > limit || base > 0 && b.Max < base.Duration() {
		fs.add("restart_backoff.max", fmt.Sprintf("use a time from restart_time to %v", limit), "%v is out of range", b.Max)
	}
	if b.Healthy < 0 || b.Healthy > 24*365*time.Hour {
		fs.add("restart_backoff.healthy", `use a time such as "1min"`, "%v is out of range", b.Healthy)
	}
}

// checkText refuses what cannot be shown on one line of a log, carried by the
// bus or kept in a C string; lengths are refused, never cut (deviation from BGW-017).
func checkText(fs *Faults, field, s string, limit int, required bool) {
	switch {
	case s == "" && required:
		fs.add(field, "give one", "it is empty")
	case len(s) > limit:
		fs.add(field, fmt.Sprintf("use at most %d", limit), "%d bytes do not fit", len(s))
	case !utf8.ValidString(s):
		fs.add(field, "write it in UTF-8", "%q is not UTF-8", s)
	case strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
		fs.add(field, "leave them out", "%q has control characters", s)
	}
}

func quoted(names []string) string {
	return `"` + strings.Join(names, `", "`) + `"`
}
