package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// A definition is a worker or template block as far as it is read.
type definition struct {
	units.Worker
	pattern string // templates: argument_pattern
	place   place
}

var workerSchema = schema[definition]{
	attrs:  workerAttrs,
	groups: workerGroups,
	moved:  workerMoved(),
}

var templateSchema = schema[definition]{
	attrs: append(slices.Clone(workerAttrs), attr[definition]{
		name: "argument_pattern", typ: "string",
		doc: "Regular expression (RE2) that the whole argument must match. Without it an argument must not be empty, start with \"-\" or hold control characters.",
		set: func(v *value, d *definition) { v.pattern(&d.pattern) },
	}),
	groups: workerGroups,
	moved:  workerMoved(),
}

var workerAttrs = []attr[definition]{
	{name: "name", typ: "string", doc: "Shown in listings and log lines; at most 95 bytes. The default is the label. (bgw_name)",
		set: func(v *value, d *definition) { v.str(&d.Name) }},
	{name: "type", typ: "string", doc: "The same for all workers of a kind; at most 95 bytes. The default is the name. (bgw_type)",
		set: func(v *value, d *definition) { v.str(&d.Type) }},
	{name: "library_name", typ: "string", doc: "Library of a module, instead of a command. (bgw_library_name)",
		set: func(v *value, d *definition) { v.str(&d.LibraryName) }},
	{name: "function_name", typ: "string", doc: "Function of the library that is the worker's main. (bgw_function_name)",
		set: func(v *value, d *definition) { v.str(&d.FunctionName) }},
	{name: "command", typ: "list", doc: "Program to run, with its whole path, and its arguments; no shell is between.",
		set: func(v *value, d *definition) { v.strs(&d.Command) }},
	{name: "flags", typ: "list", required: `write flags = ["shmem_access"], with more of ` + anyOf(units.FlagNames()) + " as needed",
		doc: "Some of " + anyOf(units.FlagNames()) + "; shmem_access is required. One that is interruptible may be terminated for the sake of its database, see pg-bgwctl(1). (bgw_flags)",
		set: func(v *value, d *definition) { v.flags(&d.Flags) }},
	{name: "start_time", typ: anyOf(units.StartTimeNames()), def: `"postmaster_start"`,
		doc: "Phase of the server from which on the worker may start; with backend_database_connection one of the later two must be given. (bgw_start_time)",
		set: func(v *value, d *definition) {
			word(v, &d.StartTime, units.ParseStartTime, units.StartTimeNames())
		}},
	{name: "restart_time", typ: `time or "never"`, required: `write restart_time = "10s" or restart_time = "never"`,
		doc: "Whole seconds from an exit with code 1, or a crash, to the next start; at most 86400000. (bgw_restart_time)",
		set: func(v *value, d *definition) { v.restartTime(&d.RestartTime) }},
	{name: "main_arg", typ: "integer", def: "0", doc: "64 bits, handed over unchanged; in quotes also as \"0xff\". (bgw_main_arg)",
		set: func(v *value, d *definition) { v.datum(&d.MainArg) }},
	{name: "extra", typ: "string", doc: "At most 128 bytes, handed over unchanged. (bgw_extra)",
		set: func(v *value, d *definition) { v.extra(d) }},
	{name: "extra_base64", typ: "string", doc: "The same for bytes that are no text.",
		set: func(v *value, d *definition) { v.base64Extra(d) }},
	{name: "environment", typ: "map", doc: "Added to the environment; names that start with PGBGW_ are pg-bgw's own.",
		set: func(v *value, d *definition) { v.strMap(&d.Environment) }},
	{name: "kill_signal", typ: "string", def: `"SIGTERM"`, doc: "Signal that asks the worker to end: a name or a number.",
		set: func(v *value, d *definition) { v.signal(&d.KillSignal) }},
	{name: "kill_timeout", typ: `time or "infinity"`, def: `"30s"`, doc: "How long the worker may take to end before all of its processes are killed.",
		set: func(v *value, d *definition) { v.duration(&d.KillTimeout, time.Millisecond, units.Infinity) }},
	{name: "segment", typ: "string", def: strconv.Quote(units.DefaultSegment), doc: "Label of the segment of shared memory, which is also the crash domain.",
		set: func(v *value, d *definition) { v.label(&d.Segment) }},
	{name: "attach", typ: anyOf(units.AttachNames()), def: `"auto"`, doc: "When an abnormal end of the worker is a crash of its segment: from its attaching on, always or never. For a module auto is always.",
		set: func(v *value, d *definition) { word(v, &d.Attach, units.ParseAttach, units.AttachNames()) }},
	{name: "server", typ: "string", doc: "Label of the server to follow. The default is the only one, or none.",
		set: func(v *value, d *definition) { v.label(&d.Server) }},
	{name: "on_server_stop", typ: anyOf(units.OnServerStopNames()), def: `"terminate"`, doc: "When the server stops: terminate ends the worker, which starts again with the server; keep lets it run on. A smart stop ends what has a database connection at any rate, which the server would wait for.",
		set: func(v *value, d *definition) {
			word(v, &d.OnServerStop, units.ParseOnServerStop, units.OnServerStopNames())
		}},
	{name: "on_server_crash", typ: anyOf(units.OnServerCrashNames()), def: `"crash"`, doc: "When the server crashes and begins anew: crash ends the worker and, if it is attached, is a crash of its segment; keep lets it run on.",
		set: func(v *value, d *definition) {
			word(v, &d.OnServerCrash, units.ParseOnServerCrash, units.OnServerCrashNames())
		}},
	{name: "stop_on_demotion", typ: "boolean", doc: "Whether the worker is ended when the server comes back as a standby; true needs start_time = \"recovery_finished\", and is the default there with backend_database_connection.",
		set: func(v *value, d *definition) { v.demotion(&d.StopOnDemotion) }},
	{name: "user", typ: "string", doc: "User to run as. The default is the daemon's own; another one needs the drop-in 10-multi-user.conf.",
		set: func(v *value, d *definition) { v.user(&d.User) }},
}

var workerGroups = []group[definition]{
	{name: "connection", open: func(d *definition) { d.Connection = new(units.Connection) }, attrs: []attr[definition]{
		{name: "database", typ: "string", doc: "Database to connect to; needs the flag backend_database_connection.",
			set: func(v *value, d *definition) { v.str(&d.Connection.Database) }},
		{name: "role", typ: "string", doc: "Role to connect as. The default is the daemon's own.",
			set: func(v *value, d *definition) { v.str(&d.Connection.Role) }},
		{name: "options", typ: "string", doc: "Options of libpq for the session, as in \"-c statement_timeout=5s\".",
			set: func(v *value, d *definition) { v.str(&d.Connection.Options) }},
		{name: "password_file", typ: "string", doc: "File whose first line is the role's password. The daemon reads it at each start and gives the worker a private copy; nobody but its owner, root or the daemon's user, may be able to read it, or the daemon's own group. \"fd:NAME\" is the descriptor of that name that the service was started with.",
			set: func(v *value, d *definition) { v.secret(&d.Connection.PasswordFile, "/etc/pg-bgw/secrets/password") }},
		{name: "certificate_file", typ: "string", doc: "File of a client certificate, in PEM; goes with key_file.",
			set: func(v *value, d *definition) { v.path(&d.Connection.CertificateFile, "/etc/pg-bgw/secrets/client.crt") }},
		{name: "key_file", typ: "string", doc: "File of the certificate's private key, in PEM and not encrypted; read, passed on and protected as password_file is.",
			set: func(v *value, d *definition) { v.secret(&d.Connection.KeyFile, "/etc/pg-bgw/secrets/client.key") }},
	}},
	{name: "restart_backoff", open: func(d *definition) { d.Backoff = &units.Backoff{Factor: 2, Healthy: time.Minute} }, attrs: []attr[definition]{
		{name: "factor", typ: "number", def: "2", doc: "The interval is multiplied by it after each failure; 1 to 10.",
			set: func(v *value, d *definition) { v.float(&d.Backoff.Factor) }},
		{name: "max", typ: "time", required: `write max = "5min"`, doc: "Ceiling of the interval.",
			set: func(v *value, d *definition) { v.duration(&d.Backoff.Max, 0, units.MaxRestartTime.Duration()) }},
		{name: "jitter", typ: "number", def: "0", doc: "Share of the interval, 0 to 1, of which a random part is taken off.",
			set: func(v *value, d *definition) { v.float(&d.Backoff.Jitter) }},
		{name: "healthy", typ: "time", def: `"1min"`, doc: "A run at least this long brings the interval back to restart_time.",
			set: func(v *value, d *definition) { v.duration(&d.Backoff.Healthy, 0, 365*24*time.Hour) }},
	}},
	{name: "resources", attrs: []attr[definition]{
		{name: "memory_max", typ: `size or "max"`, doc: "Memory at which the kernel kills; see oom_group.", set: cgroupSize("memory.max", minMemory)},
		{name: "memory_high", typ: `size or "max"`, doc: "Memory at which the worker is slowed down.", set: cgroupSize("memory.high", minMemory)},
		{name: "memory_swap_max", typ: `size or "max"`, doc: "Swap space; 0 for none.", set: cgroupSize("memory.swap.max", 0)},
		{name: "oom_group", typ: "boolean", def: "true", doc: "When memory is short, the kernel kills the worker with all its processes. If false, it kills one of them.",
			set: func(v *value, d *definition) {
				var whole bool
				v.boolean(&whole)
				d.limit("memory.oom.group", map[bool]string{false: "0", true: "1"}[whole])
			}},
		{name: "cpu_weight", typ: "integer", def: "100", doc: "Share of processor time; 1 to 10000.", set: cgroupCount("cpu.weight", 10_000)},
		{name: "cpu_max", typ: `percentage or "max"`, doc: "Limit of processor time; \"200%\" is two whole processors.",
			set: func(v *value, d *definition) { v.cpuMax(d) }},
		{name: "pids_max", typ: `integer or "max"`, doc: "Number of processes and threads.",
			set: func(v *value, d *definition) {
				if v.unlimited() {
					d.limit("pids.max", "max")
				} else {
					cgroupCount("pids.max", 4_194_304)(v, d)
				}
			}},
		{name: "io_weight", typ: "integer", def: "100", doc: "Share of input and output; 1 to 10000.", set: cgroupCount("io.weight", 10_000)},
		{name: "oom_score_adj", typ: "integer", def: "0", doc: "-1000 to 1000; the higher, the sooner the kernel kills it when memory is short.",
			set: func(v *value, d *definition) { integer(v, &d.Resources.OOMScoreAdj, -1000, 1000) }},
		{name: "nice", typ: "integer", def: "0", doc: "-20 to 19; the higher, the less processor time.",
			set: func(v *value, d *definition) { integer(v, &d.Resources.Nice, -20, 19) }},
		{name: "nofile", typ: "integer", doc: "Number of open files.",
			set: func(v *value, d *definition) { integer(v, &d.Resources.NoFile, 16, 1<<30) }},
		{name: "core", typ: `size or "infinity"`, doc: "Largest core dump; 0 for none. The default is the service's own limit.",
			set: func(v *value, d *definition) {
				limit := uint64(math.MaxUint64)
				if !v.unlimited() {
					v.size(&limit, 0, 1<<50)
				}
				d.Resources.Core = &limit
			}},
	}},
	{name: "sandbox", attrs: []attr[definition]{
		{name: "no_new_privileges", typ: "boolean", def: "false", doc: "The worker cannot gain privileges by running a set-user-ID program.",
			set: func(v *value, d *definition) { v.boolean(&d.Sandbox.NoNewPrivileges) }},
		{name: "read_only_paths", typ: "list", doc: "Files below these directories may be read only. This version cannot enforce it, and refuses it.",
			set: func(v *value, d *definition) { v.paths(&d.Sandbox.ReadOnlyPaths) }},
		{name: "read_write_paths", typ: "list", doc: "Files below these directories may be written. This version cannot enforce it, and refuses it.",
			set: func(v *value, d *definition) { v.paths(&d.Sandbox.ReadWritePaths) }},
	}},
	{name: "logs", attrs: []attr[definition]{
		{name: "identifier", typ: "string", doc: "SYSLOG_IDENTIFIER of the worker's output. The default is the type.",
			set: func(v *value, d *definition) { v.identifier(&d.Logs.Identifier) }},
		{name: "level_prefix", typ: "boolean", def: "true", doc: "\"<3>\" at the start of a line is its priority.",
			set: func(v *value, d *definition) {
				on := true
				v.boolean(&on)
				d.Logs.NoLevelPrefix = !on
			}},
	}},
}

// minMemory is below what any process needs: less is a slip of the unit.
const minMemory = 1 << 20

func (d *definition) limit(file, value string) {
	if d.Resources.Cgroup == nil {
		d.Resources.Cgroup = make(map[string]string)
	}
	d.Resources.Cgroup[file] = value
}

func cgroupSize(file string, lo uint64) func(*value, *definition) {
	return func(v *value, d *definition) {
		if v.unlimited() {
			d.limit(file, "max")
			return
		}
		n := uint64(math.MaxUint64)
		if v.size(&n, lo, 1<<50); n != math.MaxUint64 {
			d.limit(file, strconv.FormatUint(n, 10))
		}
	}
}

func cgroupCount(file string, hi int64) func(*value, *definition) {
	return func(v *value, d *definition) {
		n := 0
		if integer(v, &n, 1, hi); n != 0 {
			d.limit(file, strconv.Itoa(n))
		}
	}
}

// cpuPeriod is the kernel's default period of cpu.max, in microseconds.
const cpuPeriod = 100_000

func (v *value) cpuMax(d *definition) {
	if v.unlimited() {
		d.limit("cpu.max", "max")
		return
	}
	s, ok := v.text()
	if !ok {
		return
	}
	digits, percent := strings.CutSuffix(s, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	quota := math.Round(share * cpuPeriod / 100)
	if !percent || err != nil || !(quota >= 1000 && quota <= 10_000*cpuPeriod) {
		v.wrong(fmt.Sprintf("%q is not a share of a processor", s), `Use "1%" to "1000000%", or "max"; "100%" is one processor.`)
		return
	}
	d.limit("cpu.max", fmt.Sprintf("%.0f %d", quota, cpuPeriod))
}

// workerMoved are names that people bring along from elsewhere.
func workerMoved() []moved {
	const owner = "A worker that a file defines has no owner. Register it over the bus to own it, or leave this out."
	ms := []moved{
		{"notify_pid", owner}, // BGW-013
		{"bgw_notify_pid", owner},
		{"stop_with_owner", owner},
		{"env", `Write environment = { NAME = "text" }.`},
	}
	for _, name := range []string{"name", "type", "flags", "start_time", "restart_time", "library_name", "function_name", "main_arg", "extra"} {
		ms = append(ms, moved{"bgw_" + name, fmt.Sprintf("It is %q here, without \"bgw_\".", name)})
	}
	for _, g := range workerGroups {
		for _, a := range g.attrs {
			ms = append(ms, moved{a.name, fmt.Sprintf("It belongs in a block %s { }.", g.name)})
		}
	}
	return ms
}
