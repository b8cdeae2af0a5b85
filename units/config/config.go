package config

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/pg-bgw/pg-bgw/units"
)

// DefaultMain is the path of the main file.
const DefaultMain = "/etc/pg-bgw/pg-bgw.hcl"

// DefaultWorkers returns the search path of definitions, the directory that
// wins over all others first.
func DefaultWorkers() []string {
	return []string{
		"/etc/pg-bgw/workers.d",
		"/run/pg-bgw/workers.d",
		"/usr/local/lib/pg-bgw/workers.d",
		"/usr/lib/pg-bgw/workers.d",
	}
}

// Paths says which files make up a configuration.
type Paths struct {
	// Main is the main file: settings, and any definition. Empty: none is
	// read. A missing one means the defaults, unless MainRequired is set, as
	// it should be when the user named the file.
	Main         string
	MainRequired bool

	// Workers are the directories of definitions, the one that wins first. A
	// file there replaces the files of its name in later ones; an empty file
	// or a link to /dev/null hides them. A missing directory is an empty one,
	// unless WorkersRequired is set.
	Workers         []string
	WorkersRequired bool

	// Files are more files of definitions, read last and in this order. All of
	// them must exist.
	Files []string
}

// Options are what a definition may ask of the daemon that will run it.
type Options struct {
	User      string // name of the user that workers run as; empty: not known
	MultiUser bool   // the daemon may start workers as other users
}

// A Config is what a set of files without an error says.
type Config struct {
	Settings  Settings
	Workers   []units.Worker // defaults applied, valid, in the order of the files
	Templates []Template     // in the order of the files
	Servers   []Server       // in the order of the files
	Segments  []Segment      // in the order of the files; the first is units.DefaultSegment if no file has it
	Files     []File         // what was read, in order, without hidden files

	origins map[string]hcl.Range
}

// Origin says where the worker or template of that label is defined, as in
// "/etc/pg-bgw/workers.d/20-cron.hcl:3"; it is empty for an unknown label.
// Workers and templates share one space of labels.
func (c *Config) Origin(label string) string {
	r, ok := c.origins[label]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// Template returns the template of that label.
func (c *Config) Template(label string) (*Template, bool) {
	for i := range c.Templates {
		if c.Templates[i].Label == label {
			return &c.Templates[i], true
		}
	}
	return nil, false
}

// Settings are the attributes of the main file.
type Settings struct {
	MaxWorkerProcesses          int           // slots, 1..16384
	MaxParallelWorkers          int           // dynamic workers with class_parallel at one time, 0..1024
	RestartAfterCrash           bool          // false: workers of a crashed segment stay down
	LogLevel                    slog.Level    // LevelNotice lies between Info and Warn
	SmartStopGrace              time.Duration // how long a smart stop is outlasted where clients cannot be counted; may be units.Infinity
	MaxDynamicSegments          int           // of the workers of one user together, 0..65536
	MaxDynamicSegmentsPerWorker int           // that one process may have, 0..65536
	DynamicMemoryMax            uint64        // bytes of the dynamic segments of one user together
	StartSplay                  time.Duration // starts that a server's phase brings about are spread over it; 0: all at once

	SharedPreloadLibraries []string          // modules that are loaded before their workers start, in this order
	DynamicLibraryPath     string            // where modules are looked for; "" is "$libdir"
	PostgreSQL             int               // major release of modules; 0: the newest that is there
	Parameters             map[string]string // values of the modules' parameters, by name
}

// LevelNotice is the log level of syslog's "notice".
const LevelNotice = slog.Level(2)

// DefaultSettings returns what an absent main file means.
func DefaultSettings() Settings {
	return Settings{
		MaxWorkerProcesses:          128,
		MaxParallelWorkers:          8,
		RestartAfterCrash:           true,
		LogLevel:                    slog.LevelInfo,
		SmartStopGrace:              30 * time.Second,
		MaxDynamicSegments:          704,
		MaxDynamicSegmentsPerWorker: 128,
		DynamicMemoryMax:            1 << 30,
		DynamicLibraryPath:          "$libdir",
	}
}

// A Segment is the shared memory of the workers that name it.
type Segment struct {
	Name      string
	Size      uint64 // bytes, a multiple of the page size, 2 MiB..1 TiB
	HugePages HugePages
}

// DefaultSegmentSize is the size of a segment that names none, in bytes.
const DefaultSegmentSize = 64 << 20

// HugePages is PostgreSQL's huge_pages for a segment.
type HugePages uint8

// The values of HugePages.
const (
	HugePagesOff HugePages = iota
	HugePagesTry           // huge pages where they can be had
	HugePagesOn            // no segment without them
)

var hugePagesNames = []string{"off", "try", "on"}

func (h HugePages) String() string { return hugePagesNames[h] }

// A Server is a PostgreSQL server whose phase workers follow.
type Server struct {
	Label         string
	Conninfo      string // libpq connection string or URI; empty: Cluster is set
	Cluster       string // "15/main", as pg_lsclusters lists it; empty: Conninfo is set
	DataDirectory string // an extra hint, absolute; may be empty
}

// A File is one file that was read.
type File struct {
	Path   string
	Source []byte
}
