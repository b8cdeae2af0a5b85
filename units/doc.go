// Package units says what a worker is: its definition ([Worker], the fields of
// PostgreSQL's BackgroundWorker and what pg-bgw adds), the identity of a
// registration ([Handle]), what can be known of it ([State], [Status], [Exit])
// and the rules that a definition must obey ([Worker.Validate]).
//
// It holds values only: it opens nothing, starts nothing, reads no clock and
// imports nothing of this module. Everything else that knows workers is built
// on it: units/config makes definitions out of files, units/supervise decides
// when they run, units/launch runs them, cmd/internal/daemon converts them to
// and from the wire types of dbusapi and shm.
//
// Numbers in the form BGW-nnn are rows of PostgreSQL's behaviour that the
// tests of this module name; where a type departs from its row, its comment
// says so.
package units
