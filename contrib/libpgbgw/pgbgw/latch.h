/* Latches, its own and those of others: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

/* ---- Latches ---- */

/* Reasons to wake, with the numbers of PostgreSQL's WL_ constants. */
enum {
	PGBGW_WL_LATCH_SET = 1 << 0,
	PGBGW_WL_SOCKET_READABLE = 1 << 1,
	PGBGW_WL_SOCKET_WRITEABLE = 1 << 2,
	PGBGW_WL_TIMEOUT = 1 << 3,
	PGBGW_WL_SUPERVISOR_DEATH = 1 << 4,        /* WL_POSTMASTER_DEATH */
	PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH = 1 << 5 /* exit(1) inside the wait */
};

/* Sets this process's own latch. Safe in signal handlers; errno is kept. */
PGBGW_API void pgbgw_latch_set(pgbgw_worker *w);

/*
 * Makes it not set. What is looked at afterwards was written before any set
 * that is still to come: reset, check, wait; or check, wait, reset.
 */
PGBGW_API void pgbgw_latch_reset(pgbgw_worker *w);

/* Whether it is set, without waiting. */
PGBGW_API bool pgbgw_latch_is_set(pgbgw_worker *w);

/*
 * Waits for one of the reasons in mask (WaitLatchOrSocket) and returns those
 * that are there, one at least. fd is for the socket reasons only. timeout_ms
 * is for PGBGW_WL_TIMEOUT only, 0 or more. A latch that is set is returned at
 * once, and stays set. A hint to look: it may be found set though nothing new
 * is there. -EBUSY if another thread is in this wait; one thread at a time.
 */
PGBGW_API int pgbgw_latch_wait(pgbgw_worker *w, unsigned mask, int fd, int timeout_ms);

/*
 * An eventfd that becomes readable when this process may be woken, for an event
 * loop of the caller's. It stays the library's and is not to be read: when it is
 * readable, call pgbgw_latch_wait with a timeout of 0. Before the loop sleeps
 * pgbgw_latch_arm has to return false: true says that the latch is set.
 */
PGBGW_API int pgbgw_latch_fd(const pgbgw_worker *w);
PGBGW_API bool pgbgw_latch_arm(pgbgw_worker *w);

/* Another worker's latch, to be set. */
typedef struct pgbgw_peer_latch pgbgw_peer_latch;

/*
 * Asks the supervisor for the latch of a slot's worker, whoever that is at the
 * time of a set. -ENOENT if there is no such slot. To be closed by the caller,
 * before pgbgw_close.
 */
PGBGW_API int pgbgw_peer_latch_open(pgbgw_worker *w, uint32_t slot, pgbgw_peer_latch **p);

/* Wakes its owner. Safe in signal handlers. Never waits. */
PGBGW_API void pgbgw_peer_latch_set(pgbgw_peer_latch *p);
PGBGW_API void pgbgw_peer_latch_close(pgbgw_peer_latch *p);
