// Package libpgbgw is the home of the C library of that name, with which a
// background worker in C does what package shm does for one in Go. There is no
// Go in it but tests; they build the library and run it against package shm in
// both directions.
//
// The public header is pgbgw.h, and libpgbgw(7) and pgbgw(3) are its manual
// pages. The sources are in src, by subject; they take the layouts from
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
package libpgbgw
