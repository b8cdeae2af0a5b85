/* The life of this process as a worker: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

/* ---- Life ---- */

/* What this process was registered as (MyBgworkerEntry). */
typedef struct pgbgw_self {
	const char *name; /* never NULL, as the next */
	const char *type;
	uint64_t main_arg;
	const unsigned char *extra;
	size_t extra_len; /* at most 128 */
	int notify_pid;   /* who is told of start and exit; 0: nobody */
	pgbgw_handle handle;
	uint64_t start; /* number of this start; 0: not known */
} pgbgw_self;

/*
 * Reads PGBGW_FDS and the other variables, and takes over the descriptors that
 * the supervisor passed. Attaches nothing and waits for nothing. *w is the
 * caller's, to be closed. -ENXIO in a process that no supervisor started,
 * -EBUSY if the worker is open already; -EINVAL names the variable or the
 * descriptor that is wrong.
 */
PGBGW_API int pgbgw_open(pgbgw_worker **w);

/* Valid until pgbgw_close. */
PGBGW_API const pgbgw_self *pgbgw_get_self(const pgbgw_worker *w);

/*
 * Maps the segment, checks it and tells the supervisor, for whom this process
 * is attached from then on: ending without pgbgw_detach is a crash of all
 * attached workers of the segment. -ESTALE if the segment was renewed after a
 * crash: end with status 1 to be started again. -ENODEV if this worker has no
 * segment. Attached already is no error.
 */
PGBGW_API int pgbgw_attach(pgbgw_worker *w);

/*
 * Tells the supervisor that this process uses the segment no more; how it ends
 * is then its own affair. Its queues are detached (what was not flushed is
 * lost), its locks released. What pgbgw_area returned stays mapped, and must
 * not be used. Not attached is no error.
 */
PGBGW_API int pgbgw_detach(pgbgw_worker *w);

PGBGW_API bool pgbgw_is_attached(const pgbgw_worker *w);

/*
 * Says that this worker is of use from now on, with a text in UTF-8 of at most
 * 1,024 bytes for the administrator, which may be "": StatusText on the bus. May be
 * said again to change the text.
 */
PGBGW_API int pgbgw_ready(pgbgw_worker *w, const char *status);

/*
 * Detaches, closes the descriptors and frees w. Queue and lock handles may still
 * be given back afterwards, and nothing else be done with them. NULL is allowed.
 */
PGBGW_API void pgbgw_close(pgbgw_worker *w);

/*
 * pgbgw_close and exit (proc_exit): 0 is done and never again, 1 to be started
 * again after the restart time, anything else an abnormal end.
 */
PGBGW_API void pgbgw_exit(pgbgw_worker *w, int status) __attribute__((noreturn));

/*
 * Whether the supervisor is known to be gone (POSTMASTER_DIED): nothing starts
 * this process again, and it should end. Known by waiting or by a request. A
 * server's outage never is.
 */
PGBGW_API bool pgbgw_supervisor_died(const pgbgw_worker *w);

/*
 * Makes every wait of this process but that for the latch end with -EINTR, those
 * to come too, until pgbgw_resume; and sets the latch. Safe in signal handlers:
 * it is what a handler of SIGTERM calls.
 */
PGBGW_API void pgbgw_interrupt(pgbgw_worker *w);
PGBGW_API bool pgbgw_interrupted(const pgbgw_worker *w);
PGBGW_API void pgbgw_resume(pgbgw_worker *w);
