// Package daemon is the composition root of pg-bgwd: it builds every part,
// starts them in the order in which they need each other, and holds every
// adapter between two packages. It is the only package that sees them all.
//
//	settings.go    units/config     -> supervise: definitions and limits, reload
//	launcher.go    supervise.Launcher on units/launch and shm: one process of one worker
//	output.go      a worker's standard output -> the journal, or lines of our own log
//	segments.go    names and incarnations of segments -> their memory; one latch per slot
//	control.go     control sockets  -> supervise
//	backend.go     dbusapi.Backend  -> supervise
//	definition.go  definitions as they come over the bus and the control socket -> units.Worker
//	convert.go     supervise.Info   -> what the bus, the slot table and the sockets show
//	sink.go        supervise.Sink   -> slot table, bus, owners, log, in this order
//	daemon.go      the order of start and stop, signals, watchdog, status
//
// It decides nothing about workers: that is supervise's. It is called by
// cmd/pg-bgwd with flags that are parsed, and its Run returns when everything
// it started is gone.
package daemon
