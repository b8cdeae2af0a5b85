// Package config reads the administrator's files: pg-bgw.hcl, which holds the
// settings, and the workers.d directories, which hold definitions. [Load]
// turns them into one [Config], or into [Diagnostics] that name every mistake
// of every file with its line and show it.
//
// The rules of a definition are those of [units.Worker.Validate]; here they
// only get a place in a file. What a block may hold is one table, which the
// decoder obeys and [Schema] lists.
//
// Files are taken to be hostile: a file is judged by what was opened and not
// by its name, must belong to root or to the caller, and is bounded in size
// and depth before the parser sees it. Values are literals: there are no
// variables, functions, templates or operators, so reading a file takes time
// in proportion to its size.
//
// The package never starts, stops or compares anything, never looks at a bus,
// a process or a server, and never writes. cmd/pg-bgwd calls it at start and
// at reload, pg-bgwctl's check without a daemon.
package config
