// Package supervise decides which workers run: it is the postmaster's part of
// PostgreSQL's background workers.
//
// Its heart is a table of registrations and one pure function,
//
//	step(now, event) []effect
//
// which reads no clock and does no I/O. A [Supervisor] is the loop around it:
// one goroutine owns the table, takes one event at a time, and hands the
// effects to three queues (starts, signals, publications), each served in
// order by a goroutine of its own, so that nothing that can block ever blocks
// the loop. What an effect brings about comes back as an event.
//
// # A registration's life
//
//	          register                 start answered
//	             |        permitted        |
//	             v     +-----------> Starting ----------> Running
//	  +------ Waiting -+                |                  |  |
//	  |          ^                      | failed      exit |  | terminate, stop, restart,
//	  |          | reset of the         v                  |  | crash of its segment, shutdown
//	  |          | segment         Restarting <------------+  v
//	  |          |                      |      exit 1, …      Stopping
//	  |          +----------------------+                      |
//	  |              restart time passed                       | exit
//	  v                                                        v
//	Held  <-------------------- stop ------------------ Held, Ended, or a start
//
// Three things are kept apart: what a registration does (units.State), what is
// wanted of it (goal: run, start afresh, be held, end), and whether it may
// start (its server's phase, its segment, a shutdown). A transition looks at
// all three; there is no state for a combination.
//
// A start is a request with an answer. The exit of a process may be seen
// before the answer that it was started; the table keeps such an early exit
// and handles it with the answer.
//
// A process is asked to end at most once by its kill signal, at most once by
// SIGQUIT and killed at most once, in this order; what asks again, or less
// hard, changes only what is wanted of the registration.
//
// An owner is told of every start, every failed start, every exit, and of an
// unregistration without a process; of nothing else. The slot is free before
// it is told of a final exit (BGW-045).
//
// # Reload
//
// A reload compares definitions by label. What has not changed keeps its
// process; what has changed keeps its handle and restarts; a definition that
// found no slot is tried again by the next reload, and as soon as a process
// that the same reload has removed is gone.
//
// # Crash of a segment
//
// A worker that ends while attached to its segment has crashed (BGW-058 to
// BGW-064): every other attached worker of the segment gets SIGQUIT, process
// and group, and after 5 s its whole tree is killed (BGW-065, BGW-066). When
// the last one is gone the segment is renewed (its incarnation grows), what
// may restart starts at once and what may not is unregistered (BGW-068,
// BGW-069). Nothing of another segment notices.
//
// The package never opens a file, never looks up a process, never talks to a
// bus: its callers give it a [Launcher] and a [Sink]. The only caller is
// cmd/internal/daemon.
package supervise
