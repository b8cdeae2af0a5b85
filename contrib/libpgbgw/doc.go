// Package libpgbgw is the home of the C library of that name, with which a
// background worker in C does what package shm does for one in Go. There is no
// Go in it but tests; they build the library and run it against package shm in
// both directions.
//
// The public header is pgbgw.h, with its parts in pgbgw by subject, and
// libpgbgw(7) and pgbgw(3) are its manual pages. The sources are in src, by subject; they take the layouts from
// pgbgw_abi.h in shm/testdata, which a test there holds equal to Go's, and the
// control socket's records from the description and the vectors of
// shm/control. build.sh builds the shared and the static library, with the
// compiler in CC.
//
// The library starts no thread, handles no signal, prints nothing, and needs
// neither PostgreSQL nor libpq. It never trusts what is in shared memory: damaged
// or foreign memory is -EUCLEAN, not a fault. Its callers are workers, and the
// launcher's modules.
//
// In a test build (build.sh test) each step of a protocol in shared memory calls
// pgi_test_point, where a test can end the process: testdata/point.c.
//
// # PostgreSQL's modules
//
// In pg is a second library, which lets modules written for PostgreSQL's workers
// run outside of it, from the same file. pg/build.sh makes one for each major release, from that
// release's server headers and with its layouts: libpgbgw-pgNN.so, and a list of
// the server's symbols, each "provided", "stub" or "data".
//
// pg-bgw-launcher opens it through host.h, has it load the preloaded modules and
// run their _PG_init and hooks, and forks the workers. What a module asks of the
// supervisor goes through libpgbgw, of which that library has its own copy; what
// it asks of the database goes over a session of libpq, as any client's. Shared
// memory is half of the worker's segment, at one address in every process.
//
// Signals end or interrupt a worker where nothing is half done: pg/interrupt.c has
// the rule, and HELD in pg/internal.h marks what must not be left.
//
// A function of the server that is not there is a stub that ends the worker with
// a FATAL error that names it; data that is not there keeps the module from being
// loaded. pg-bgwd calls nothing of it, and no module ever runs in pg-bgwd.
//
// What a client's session cannot have, and what differs for that reason, is in
// pg-bgw-modules(7). Everything else that a module can see is the same as in
// PostgreSQL: TestModuleProbe in cmd/pg-bgwd runs one module in both and compares.
package libpgbgw
