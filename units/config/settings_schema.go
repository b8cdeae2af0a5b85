package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

var settingsSchema = schema[Settings]{attrs: []attr[Settings]{
	{name: "max_worker_processes", typ: "integer", def: "128", doc: "Number of slots, for workers of files and of requests together; 1 to 16384.",
		set: func(v *value, s *Settings) { integer(v, &s.MaxWorkerProcesses, 1, 16384) }},
	{name: "max_parallel_workers", typ: "integer", def: "8", doc: "How many dynamic workers with class_parallel may be registered at one time; 0 to 1024.",
		set: func(v *value, s *Settings) { integer(v, &s.MaxParallelWorkers, 0, 1024) }},
	{name: "max_dynamic_segments", typ: "integer", def: "704", doc: "How many dynamic segments there may be of the workers that one user has registered; 0 to 65536. Those of files count as the daemon's user's.",
		set: func(v *value, s *Settings) { integer(v, &s.MaxDynamicSegments, 0, 65536) }},
	{name: "max_dynamic_segments_per_worker", typ: "integer", def: "128", doc: "How many dynamic segments one worker may have at one time; 0 to 65536.",
		set: func(v *value, s *Settings) { integer(v, &s.MaxDynamicSegmentsPerWorker, 0, 65536) }},
	{name: "dynamic_memory_max", typ: "size", def: `"1GiB"`, doc: "Memory of the dynamic segments of the workers that one user has registered, together; at most 1TiB.",
		set: func(v *value, s *Settings) { v.size(&s.DynamicMemoryMax, 0, 1<<40) }},
	{name: "restart_after_crash", typ: "boolean", def: "true", doc: "Whether the workers of a segment start again after a crash in it. If not, a crash ends the daemon with an error.",
		set: func(v *value, s *Settings) { v.boolean(&s.RestartAfterCrash) }},
	{name: "log_level", typ: anyOf(logLevelNames), def: `"info"`, doc: "The least important messages that are logged.",
		set: func(v *value, s *Settings) { word(v, &s.LogLevel, parseLogLevel, logLevelNames) }},
	{name: "smart_stop_grace", typ: `time or "infinity"`, def: `"30s"`, doc: "How long workers outlast the beginning of a smart stop of their server, or smart shutdown of pg-bgw, while the server's other clients are not counted; where they can be, their end is waited for. 0 waits for nothing.",
		set: func(v *value, s *Settings) { v.duration(&s.SmartStopGrace, 0, units.Infinity) }},
	{name: "start_splay", typ: "time", def: "0", doc: "The starts that a server's coming up or promotion brings about are spread over this time at random, so that they do not come all at once; at most an hour.",
		set: func(v *value, s *Settings) { v.duration(&s.StartSplay, 0, time.Hour) }},
	{name: "shared_preload_libraries", typ: "list of strings", def: "[]", doc: "Modules that are loaded once, in this order, before any of their workers start; their _PG_init registers workers.",
		set: func(v *value, s *Settings) { v.strs(&s.SharedPreloadLibraries) }},
	{name: "dynamic_library_path", typ: "string", def: `"$libdir"`, doc: "Directories, with colons between them, where modules without a path are looked for; $libdir is where PostgreSQL has its own.",
		set: func(v *value, s *Settings) { v.str(&s.DynamicLibraryPath) }},
	{name: "postgresql", typ: "integer", def: "0", doc: "Major release of PostgreSQL that modules are built for, as in 15; 0 is the newest that is installed for pg-bgw.",
		set: func(v *value, s *Settings) { integer(v, &s.PostgreSQL, 0, 99) }},
	{name: "settings", typ: "map", def: "{}", doc: "Values of the parameters that modules define, as in { \"worker_spi.naptime\" = 5 }.",
		set: func(v *value, s *Settings) { v.strMap(&s.Parameters) }},
}}

var (
	logLevelNames = []string{"debug", "info", "notice", "warning", "error"}
	logLevels     = []slog.Level{slog.LevelDebug, slog.LevelInfo, LevelNotice, slog.LevelWarn, slog.LevelError}
)

func parseLogLevel(s string) (slog.Level, bool) {
	i := slices.Index(logLevelNames, s)
	return logLevels[max(i, 0)], i >= 0
}

// settingsMoved refuses settings in a file of definitions.
func settingsMoved(main string) []moved {
	var ms []moved
	for _, a := range settingsSchema.attrs {
		ms = append(ms, moved{a.name, "It is a setting of the whole daemon and belongs in " + main + "."})
	}
	return ms
}

var segmentSchema = schema[Segment]{attrs: []attr[Segment]{
	{name: "size", typ: "size", def: `"64MiB"`, doc: "Size of the shared memory, a multiple of the page size; 2MiB to 1TiB.",
		set: func(v *value, s *Segment) { v.pages(&s.Size) }},
	{name: "huge_pages", typ: anyOf(hugePagesNames), def: `"off"`, doc: "Whether the memory consists of huge pages: never, where as many are free (vm.nr_hugepages), or always, so that no worker of the segment can start without. The size is rounded up to them.",
		set: func(v *value, s *Segment) {
			word(v, &s.HugePages, parser[HugePages](hugePagesNames), hugePagesNames)
		}},
}}

func (v *value) pages(dst *uint64) {
	n := *dst
	v.size(&n, 2<<20, 1<<40)
	if page := uint64(os.Getpagesize()); n%page != 0 {
		v.wrong(fmt.Sprintf("%d bytes are not a whole number of pages", n), fmt.Sprintf("Use a multiple of %d, as in %s.", page, sizeText(n-n%page)))
		return
	}
	*dst = n
}

var serverSchema = schema[Server]{attrs: []attr[Server]{
	{name: "conninfo", typ: "string", doc: "How to reach the server: a libpq connection string or URI.",
		set: func(v *value, s *Server) { v.conninfo(&s.Conninfo) }},
	{name: "cluster", typ: "string", doc: "The same by Debian's name of the cluster, as in \"15/main\", instead of conninfo.",
		set: func(v *value, s *Server) { v.cluster(&s.Cluster) }},
	{name: "data_directory", typ: "string", doc: "Where the server's files are, if they can be read; only a hint.",
		set: func(v *value, s *Server) { v.path(&s.DataDirectory, "/var/lib/postgresql/15/main") }},
}}

// conninfo checks no more than that it is one of libpq's two forms: the
// client library knows the rest.
func (v *value) conninfo(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	uri := strings.HasPrefix(s, "postgresql://") || strings.HasPrefix(s, "postgres://")
	if strings.ContainsRune(s, 0) || !uri && !strings.Contains(s, "=") {
		v.wrong("not a connection string", `Write it as in "host=/run/postgresql port=5432" or "postgresql://host/database".`)
		return
	}
	*dst = s
}

var clusterForm = regexp.MustCompile(`^[1-9][0-9]?/[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

func (v *value) cluster(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	if !clusterForm.MatchString(s) {
		v.wrong(fmt.Sprintf("%q is not a cluster", s), `Write version and name, as in "15/main"; pg_lsclusters(1) lists them.`)
		return
	}
	*dst = s
}

func (v *value) path(dst *string, example string) {
	s, ok := v.text()
	if !ok {
		return
	}
	if !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
		v.wrong(fmt.Sprintf("%q is not an absolute path", s), `Write it as in "`+example+`".`)
		return
	}
	*dst = filepath.Clean(s)
}

// secret reads the path of a secret, or the name of a descriptor.
func (v *value) secret(dst *string, example string) {
	if s, ok := v.text(); ok {
		if name, fd := strings.CutPrefix(s, units.SecretDescriptor); !fd {
			v.path(dst, example)
		} else if !units.ValidLabel(name) {
			v.wrong(fmt.Sprintf("%q cannot be the name of a descriptor", name), `Write it as in "fd:clerk"; use `+units.LabelForm+".")
		} else {
			*dst = s
		}
	}
}
