/*
 * libpgbgw: a background worker of pg-bgw in C. See libpgbgw(7) and pgbgw(3).
 *
 * A worker opens what its supervisor passed (pgbgw_open), attaches to its
 * segment (pgbgw_attach), and then has named areas, locks, message queues and
 * tables of contents in memory that it shares with workers in C, Go and Python,
 * its own latch and those of others, the table of all workers, and over the
 * control socket the registration of further workers.
 *
 * Results: functions that return int return 0, or a number that their comment
 * names, or a negative errno:
 *
 *	-EINVAL         an argument is wrong
 *	-ENXIO          no supervisor started this process
 *	-ENOTCONN       not attached to a segment: call pgbgw_attach
 *	-EUCLEAN        shared memory is damaged, foreign or of another version
 *	-EPROTO         the supervisor does not speak this library's language
 *	-ECONNRESET     the supervisor is gone
 *	-EINTR          pgbgw_interrupt was called; a signal alone is never a reason
 *	-ETIMEDOUT      the caller's time has passed
 *	-ECHILD         this process was forked from the worker
 *	-ENOMEM         there is no memory
 *
 * and those that are named where they occur. What the supervisor refuses is the
 * errno it sent. pgbgw_last_error has a sentence for a person.
 *
 * Threads: all functions may be called concurrently, save that a queue handle
 * is one thread's at a time, and nothing may be called with what was given back.
 * In a signal handler: pgbgw_latch_set, pgbgw_peer_latch_set and pgbgw_interrupt,
 * nothing else. The library starts no thread, handles no signal and prints
 * nothing. It has no state beside the worker but the text of pgbgw_last_error.
 *
 * fork and exec: the worker is the process that opened it. In a child of fork
 * all functions but pgbgw_close fail with -ECHILD, and the child's end means
 * nothing to the supervisor; the memory stays mapped there, and a child that
 * writes it can do what the crash of a worker does. The library's descriptors
 * are close-on-exec from pgbgw_open on; others that PGBGW_FDS names (a password
 * file, say) are left as they are. A worker that replaces itself by exec
 * detaches first.
 */
#ifndef PGBGW_H
#define PGBGW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PGBGW_API __attribute__((visibility("default")))

/* The version of this header; pgbgw_version tells that of the library. */
#define PGBGW_VERSION "1.0"

PGBGW_API const char *pgbgw_version(void);

/*
 * Why the last function that failed in this thread did, in words: what was
 * wrong, and what would be right. "" if none has failed. Valid until the
 * thread's next call.
 */
PGBGW_API const char *pgbgw_last_error(void);

/* This process as a background worker. */
typedef struct pgbgw_worker pgbgw_worker;

/*
 * One registration of a worker: a slot, and the generation that the slot had
 * then. It stays the same over restarts, and never names another.
 */
typedef struct pgbgw_handle {
	uint32_t slot;
	uint64_t generation;
} pgbgw_handle;

/* The parts, by subject. */
#define PGBGW_PARTS
#include "pgbgw/life.h"
#include "pgbgw/latch.h"
#include "pgbgw/workers.h"
#include "pgbgw/area.h"
#include "pgbgw/lock.h"
#include "pgbgw/dynamic.h"
#include "pgbgw/queue.h"
#undef PGBGW_PARTS

/* ---- The database ---- */

/*
 * Writes a libpq connection string of what the supervisor says in the
 * environment (PGHOST, PGPORT, PGDATABASE, PGUSER, PGAPPNAME and the others that
 * it passes), NUL-terminated, and returns its length: like snprintf the length
 * that it would have, if that is not below size. libpq reads the same variables
 * by itself: this is for other clients, and to see it. database and role replace
 * those of the definition unless NULL. -ENXIO if this worker was given no
 * server.
 */
PGBGW_API int pgbgw_conninfo(char *to, size_t size, const char *database, const char *role);

#ifdef __cplusplus
}
#endif

#endif
