// Package server watches one PostgreSQL server and says what it is doing and
// how far it has come, so that the life of background workers can be tied to
// that of a server that pg-bgw is not part of.
//
// It is called by cmd/internal/daemon, with one [Watcher] for each server of
// the configuration. It never starts, stops or changes a server, never reads
// one's files to believe what they say, never runs a query that takes a lock
// or a snapshot on a server that is up, and decides nothing about workers.
//
// It also makes a worker's way into its server ([Login]): the variables of libpq
// and the files with its secrets, each of which is a sealed file in memory that
// only the worker is given ([LoginFile.Memfd]); libpq opens it by its path in
// /proc. A secret that others can read is refused. pg-bgwctl tries such logins
// ([Login.Try]) and says what would mend them ([Remedy]).
//
// # How it knows
//
// The state is always concluded anew from what is so now (conclude.go), never
// from the order of events; events only make the watcher ask. There are three
// kinds of evidence:
//
//   - The held session, one for each server. It reports its role itself
//     (in_hot_standby); its loss is noticed at once and makes everything
//     unknown until the next answer.
//   - The answer to an attempt to open a session, made when there is none, when
//     something hints at a change or somebody suspects one ([Watcher.Suspect]),
//     and otherwise every 2 s (15 s over a network, or where postmaster.pid can
//     be watched), because a server in smart stop tells nobody but newcomers.
//   - The identity of the postmaster: the listener of the Unix socket
//     (SO_PEERCRED), held by a pidfd. While it lives its role cannot have
//     changed but by promotion. Its death makes the watcher ask at once.
//
// Hints are only ever a reason to ask: the pidfd's end, and changes of
// postmaster.pid, standby.signal, recovery.signal and promote in a readable
// data directory and of the socket in its directory. A file that lies costs a
// question. The one exception is standby.signal while the server is down: it
// says that a former primary will be a standby (State.Demoted).
//
// # Evidence
//
// What a server shows, and what it means; the first row that applies holds.
// All of it is measured on PostgreSQL 15 and 17, which differ in nothing but words
// that nobody reads (the detail of 53300). Other releases from 14 on are taken to
// show the same; a message of 57P03 that one of them words differently counts
// as one in another language. 57P03 and its messages come from
// ProcessStartupPacket, the end of a session from quickdie and
// ProcessInterrupts, the role from the parameter that 14 introduced.
//
//	held session  answer to another attempt                 Kind           Phase
//	yes           57P03 in recovery mode                    CrashRestart   crashed
//	yes           57P03 starting up                         Starting       started
//	yes           57P03 not (yet) accepting connections     Recovering     started
//	yes           none in time; no route                    Unreachable    unknown
//	yes           57P03 shutting down                       SmartStop      as before
//	yes, on       any other                                 HotStandby     consistent
//	yes, off      any other                                 Running        recovery_finished
//	57P02         none since                                CrashRestart   crashed
//	no answer     none since                                Unreachable    unknown
//	ended         none since, but shutting down before      Stopping       down
//	ended         none since                                Unknown        unknown
//	left          57P03 shutting down                       SmartStop      as before
//	no            57P03 starting up                         Starting       started
//	no            57P03 not yet accepting connections (a)   Recovering     started
//	no            57P03 not accepting connections (b)       Recovering     started
//	no            57P03 shutting down                       Stopping       down
//	no            57P03 in recovery mode                    CrashRestart   crashed
//	no            57P03 in another language, was up         Stopping       down
//	no            57P03 in another language                 Starting       started
//	no            53300, 28xxx, 3D000, other errors (c)     as before, or
//	                                                        Unknown        consistent
//	no            TLS fails (c)                             Unknown        started
//	no            ENOENT, ECONNREFUSED                      Down           down
//	no            none in time; backlog full                Unreachable    unknown
//	no            no route, no such host                    Unreachable    unknown
//	no            anything else, a bad conninfo             Unknown        unknown
//
// (a) The consistent state is not reached; from 15 on a primary says so too, in the redo of its crash recovery, so that
// this alone is no demotion. (b) hot_standby is off, and (a). (c) The server checks its own state before it looks
// at who is asking, so a refusal for any other reason proves that sessions are
// accepted; which role it has is known if the same postmaster was seen before.
// Where we had a session and cannot tell postmasters apart, as over a network,
// the phase is unknown instead, so that nothing is stopped for a mere refusal.
//
// What cannot be seen from outside, by any means: whether "shutting down"
// said to a watcher without a session is a smart stop (it is told as Stopping);
// a promotion before the server itself lets go of recovery; a crash restart
// that is over before anybody asks and whose end of our session says nothing
// (it is told as Unknown, then as what it is). Behind a connection pooler the
// pooler is what is watched: name the server itself.
//
// With the kind a state tells, for people and listings only, the server's
// version, its postmaster's pid and where it was asked; nothing is concluded
// from these, and no secret is among them.
//
// # Promotion
//
// A session that is idle is not told of a promotion by itself: the changed parameter is reported with the next ReadyForQuery (measured on
// 15). So a standby gets an empty query every 50 ms (10 ms for 2 s after a
// hint), which takes no snapshot and starts no transaction, unless nobody
// waits for a promotion ([Watcher.Relax]).
//
// # Smart stop
//
// Our own session is a client that the server would wait for. Once, of the
// other sessions, only workers' are left ([Config].IsOurs), or when for
// SmartStopGrace it could not be found out, because the role may not see
// others (pg_read_all_stats), the session is closed. The
// state stays SmartStop until the server is gone.
//
// # Cost
//
// A watched server costs one session, up to four descriptors, two goroutines
// while idle and one that waits for the postmaster. A server that is not up is
// asked at most 40 times a second for a moment and then ever more rarely, to
// once in 2 s; one whose refusal somebody must mend first, once in 15 s. With
// log_connections each question is a line in the server's log. Suspicions lead
// to one question in a second at most, hints to ten.
package server
