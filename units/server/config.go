package server

import "time"

// DefaultApplication is the application_name of the watcher's sessions.
const DefaultApplication = "pg-bgw"

// A Config says which server to watch. Of its fields only Label is required:
// the zero values mean the server that a client finds without being told, the
// local socket and port 5432.
type Config struct {
	Label string // of the server block; goes into every State

	// Conninfo is a libpq connection string or URI; service files, the password
	// file and the PG* variables are honoured. Empty: Cluster, or the defaults.
	Conninfo string

	// Cluster is a Debian cluster as pg_lsclusters(1) lists it, "15/main". Its
	// port and socket directory are read from postgresql.conf at each connection.
	Cluster string

	// ClusterRoot is where Debian keeps clusters' configuration; empty:
	// PG_CLUSTER_CONF_ROOT, then /etc/postgresql.
	ClusterRoot string

	// DataDirectory is the server's, if this process can read it. What is in it
	// makes the watcher ask earlier; it is never believed.
	DataDirectory string

	// ApplicationName is the held session's where the conninfo names none; empty:
	// DefaultApplication.
	ApplicationName string

	// IsOurs reports whether a session is a worker's, by its application_name.
	// It may be called on any goroutine. A server in SmartStop is not held up
	// for such sessions. nil: none is.
	IsOurs func(applicationName string) bool

	// Timeout is how long the server may take to answer before it counts as
	// Unreachable. 0: connect_timeout of the conninfo, else 5 s.
	Timeout time.Duration

	// Interval is how often a standby is asked whether it was promoted, give or
	// take a fifth. 0: 50 ms.
	Interval time.Duration

	// SmartStopGrace is how long the held session outlasts the beginning of a
	// smart stop while the clients are not counted. 0: not at all, so that the
	// count is not waited for; units.Infinity: without a limit.
	SmartStopGrace time.Duration
}
