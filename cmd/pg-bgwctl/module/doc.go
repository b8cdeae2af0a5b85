// Package module says of a PostgreSQL module, a shared library with PG_MODULE_MAGIC in it, whether pg-bgw can load it and
// what it would miss there. pg-bgwctl module check is its only user.
//
// It reads: the module's own ELF headers, symbols and read-only data (file.go, magic.go); what there is of the server's
// symbols in a release's library, from the list that the library's build leaves beside it (release.go); and the libraries
// that the module itself is linked with (libraries.go). check.go puts them together in the way that dlopen would.
//
// It never runs anything of what it reads and never writes. A file is foreign: whatever is in it, the answer is a report
// or an error that names the file.
package module
