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
