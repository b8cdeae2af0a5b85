// Package journal is where the daemon's log goes: to journald in its native
// protocol when standard error is a stream of the journal, otherwise as text
// to standard error. It also opens the streams that become a worker's standard
// output, one for each start.
//
// Only the daemon's composition root opens a Log; the rest of the daemon sees
// an *slog.Logger and the attribute constructors of this package, which name
// the fields PGBGW_*. Every kind of event has a MESSAGE_ID, and each of these an
// entry in packaging/catalog/pg-bgw.catalog.
//
// A stream outlives a restart and a crash of journald, which hands its end to
// the manager; a stop takes it away, before systemd 254, and then a worker gets
// EPIPE (SIGPIPE is ignored for it) for what it writes.
//
// Logging never blocks: records wait in a bounded queue for one goroutine that
// writes them. What does not fit is dropped, counted, and the count is logged
// when there is room again. The price is that records still queued when the
// process is killed are lost; Close writes them.
package journal
