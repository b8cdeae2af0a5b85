// Package daemon is the composition root of pg-bgwd: it builds every part,
// starts them in the order in which they need each other, and holds every
// adapter between two packages. It is the only package that sees them all.
//
//	options.go     flags, exit codes, where things are
//	daemon.go      the order of start and stop, signals
//	status.go      what the service manager is told: status, watchdog, reloads, the end
//	epoch.go       the number of this life, kept on disk
//	settings.go    units/config     -> supervise: definitions and limits, reload
//	launcher.go    supervise.Launcher on units/launch and shm: one process of one worker
//	output.go      a worker's standard output -> the journal, or lines of our own log
//	segments.go    names and incarnations of segments -> their memory; one latch per slot
//	modules*.go    launchers of PostgreSQL's modules, one of each segment; what _PG_init registers -> definitions
//	dynamic*.go    dynamic segments: whose they are, who has them, and the requests about them
//	control.go     control sockets  -> supervise
//	backend.go     dbusapi.Backend  -> supervise
//	database.go     a database's name -> its workers of supervise
//	definition.go  definitions as they come over the bus and the control socket -> units.Worker
//	convert.go     supervise.Info   -> what the bus, the slot table and the sockets show
//	refusal.go     errors of supervise -> names of the bus, numbers of the control socket
//	owners.go      pidfds of the clients that asked for SIGUSR1
//	servers.go     units/server     -> phases of supervise
//	connection.go  units/server     -> a worker's way into its server
//	isolation_linux.go  what keeps workers of one user apart
//	passed_linux.go  descriptors of the service manager -> secrets of connections
//	census.go      supervise.Change -> what watchers ask about workers
//	sink.go        supervise.Sink   -> slot table, bus, owners, log, in this order
//
// It decides nothing about workers: that is supervise's. It is called by
// cmd/pg-bgwd with flags that are parsed, and its Run returns when everything
// it started is gone.
package daemon
