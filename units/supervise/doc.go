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
//	  |          ^                      | failed      exit |  | terminate, stop, restart, its server,
//	  |          | reset of the         v                  |  | crash of its segment, shutdown
//	  |          | segment         Restarting <------------+  v
//	  |          |                      |      exit 1, …      Stopping
//	  |          +----------------------+                      |
//	  |              restart time passed                       | exit
//	  v                                                        v
//	Held  <-------------------- stop ------------------ Held, Ended, or a start
//
// Three things are kept apart: what a registration does (units.State), what is
// wanted of it (goal: run, wait for its server, start afresh, be held, end), and
// whether it may start (its server's phase, its segment, a shutdown). A transition looks at
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
// process; what has changed keeps its handle and restarts, but for one that runs
// and has changed in its limits alone, which are set where it is (if that fails, it
// restarts); a definition that
// found no slot is tried again by the next reload, and as soon as a process
// that the same reload has removed is gone.
//
// # A server's life
//
// What a server's phase wants of its workers is a function of the phase and of
// the definition (server.expels, server.permits), worked out anew at each
// change and never from what was seen before: whichever changes were missed,
// and however a server flaps, the same comes of it.
//
//   - Unknown: nothing is started, nothing is stopped. What was wanted before
//     still is.
//   - Down: who has OnServerStop terminate gets its kill signal, is killed after
//     its kill timeout, and is Waiting then.
//   - Crashed: for the segments of attached workers with OnServerCrash crash it is
//     a crash of the segment; who is not attached is ended as by Down. The
//     supervisor goes on, whatever restart_after_crash says: no worker crashed.
//   - A standby (Consistent, or any phase with Demoted): who stops on demotion is
//     ended, even if it outlived the stop. A server that is merely Started may
//     still finish recovery; it ends only what its stop or crash would have
//     ended if they had been seen.
//   - A smart stop: workers run on, and what needs no session starts (BGW-084,
//     BGW-085). A worker with a connection, which the server would refuse, waits.
//     When no clients but ours are left, or are not counted and SmartStopGrace is
//     over, workers are ended as by Down (BGW-086), and those with a connection
//     even if they are to be kept, as they would hold the stop up (BGW-087). Who
//     waits for the start of a worker that the stop holds back is told that it
//     is stopped (deviation from BGW-094).
//
// An outage is nobody's failure. Whoever is ended by it is Waiting, however it
// ended and even if it never restarts; no restart time is waited for and no
// backoff grows. The end of a process and that of its server are seen in either
// order: so the end of a worker with a database connection, exit code 0 aside,
// which nobody asked for, is its server's if the server is known to be away at
// that moment, or is seen to go, or to go out of sight and turn out to have
// gone, up to doubtTime later. One that never restarts is kept in its slot,
// Restarting, until that is decided; its owner is told of the exit at once and
// of the unregistration then.
//
// When a phase comes to permit what it did not, starts are spread over
// StartSplay, and never are more than maxStarting workers of one server Starting.
//
// Smart, our own smart shutdown, becomes Fast when every server of a worker is
// without clients or down, or they are not counted and SmartStopGrace is over;
// without a server at once.
//
// # Crash of a segment
//
// A worker that ends while attached to its segment has crashed (BGW-058 to
// BGW-064): every other attached worker of the segment gets SIGQUIT, process
// and group, and after 5 s its whole tree is killed (BGW-065, BGW-066). When
// the last one is gone the segment is renewed (its incarnation grows), what
// may restart starts at once and what may not is unregistered (BGW-068,
// BGW-069). A segment that was renewed five times within 10 s for crashes of
// its own workers is renewed after a pause, of 100 ms and then growing to 1 s,
// until that is so no more. Nothing of another segment notices.
//
// # A segment that is removed
//
// A segment that a reload does not define any more lives on, with its crashes and
// renewals, until no registration names it; no further one may. Then it is
// retired: its incarnation grows, so that one of its name that is defined later
// is another one.
//
// The package never opens a file, never looks up a process, never talks to a
// bus: its callers give it a [Launcher] and a [Sink]. The only caller is
// cmd/internal/daemon.
package supervise
