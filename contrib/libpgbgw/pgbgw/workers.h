/* All workers: their table, registration and handles: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

/* ---- Workers ---- */

enum pgbgw_state {
	PGBGW_FREE,       /* never used */
	PGBGW_WAITING,    /* registered; its start time has not come */
	PGBGW_STARTING,   /* the launcher has been asked */
	PGBGW_RUNNING,    /* its process runs */
	PGBGW_STOPPING,   /* its process has been asked to end */
	PGBGW_RESTARTING, /* it ended, its restart time has not passed */
	PGBGW_HELD,       /* stopped by the administrator */
	PGBGW_ENDED       /* unregistered */
};

/* BgwHandleStatus. */
enum pgbgw_status {
	PGBGW_STARTED,
	PGBGW_NOT_YET_STARTED,
	PGBGW_STOPPED, /* ended, or the handle names nothing any more */
	PGBGW_SUPERVISOR_DIED
};

/* Further facts about a slot's worker. */
enum { PGBGW_SLOT_ATTACHED = 1, PGBGW_SLOT_DYNAMIC = 2, PGBGW_SLOT_READY = 4 };

/* One slot of the table of all workers. */
typedef struct pgbgw_slot {
	uint64_t generation;
	uint64_t start; /* of the current or last process; 0: none yet */
	int32_t pid;    /* -1 not yet started, 0 dead */
	uint32_t state;
	uint32_t status;
	uint32_t flags;
	int32_t exit_code;   /* of the last process; -1: none */
	int32_t exit_signal; /* 0: none */
	int64_t registered;  /* microseconds since 1970, as the next two; 0: never */
	int64_t changed;
	int64_t next_start;
	uint64_t restarts;
	char name[96]; /* ends with NUL, as the next two */
	char type[96];
	char segment[64];
} pgbgw_slot;

/* max_worker_processes now, or a negative errno. */
PGBGW_API int pgbgw_slots_max(pgbgw_worker *w);

/* One more than the highest slot that was ever used, or a negative errno. */
PGBGW_API int pgbgw_slots_used(pgbgw_worker *w);

/*
 * A consistent copy of a slot; one that was never used is PGBGW_FREE. No system
 * call. -ENOENT if there is no such slot, -EUCLEAN if the supervisor died while
 * it wrote this one.
 */
PGBGW_API int pgbgw_slot_get(pgbgw_worker *w, uint32_t slot, pgbgw_slot *to);

/* bgw_flags. */
enum {
	PGBGW_SHMEM_ACCESS = 0x0001, /* required */
	PGBGW_BACKEND_DATABASE_CONNECTION = 0x0002,
	PGBGW_INTERRUPTIBLE = 0x0004,
	PGBGW_CLASS_PARALLEL = 0x0010
};

/* bgw_start_time; 0: the supervisor's default. */
enum { PGBGW_START_POSTMASTER_START = 1, PGBGW_START_CONSISTENT_STATE = 2, PGBGW_START_RECOVERY_FINISHED = 3 };

#define PGBGW_NEVER_RESTART (-1)
#define PGBGW_RESTART_NOT_SET INT64_MIN

/* notify_pid beside real pids: the caller itself, and nobody. */
#define PGBGW_NOTIFY_SELF 0
#define PGBGW_NOTIFY_NOBODY (-1)

/*
 * A worker to be registered. Begin with PGBGW_DEFINITION_INIT, so that what is
 * not set is the supervisor's default. The supervisor checks all of it.
 */
typedef struct pgbgw_definition {
	size_t size; /* of this structure */
	const char *name;
	const char *type;         /* default: name */
	uint32_t flags;           /* required */
	uint32_t start_time;
	int64_t restart_time;     /* seconds, or PGBGW_NEVER_RESTART; required */
	const char *library_name; /* with function_name, or command */
	const char *function_name;
	const char *const *command; /* path and arguments, ends with NULL */
	uint64_t main_arg;
	const void *extra;
	size_t extra_len; /* at most 128 */
	int notify_pid;
	bool notify_signal; /* SIGUSR1 beside the latch */
	bool stop_with_owner;
	const char *database;
	const char *role;
	const char *const *environment; /* NAME=value, ends with NULL */
	const char *segment;
	const char *kill_signal;   /* "SIGINT" */
	int64_t kill_timeout_usec; /* 0: the supervisor's default; -1: for ever */
	const char *server;        /* that the worker follows; default: the only one */
} pgbgw_definition;

#ifndef __cplusplus
#define PGBGW_DEFINITION_INIT { .size = sizeof(pgbgw_definition), .restart_time = PGBGW_RESTART_NOT_SET }
#endif

/* The same for C++, which has no such initialiser before C++20. */
static inline void pgbgw_definition_init(pgbgw_definition *d)
{
	unsigned char *p = (unsigned char *)d;

	for (size_t i = 0; i < sizeof *d; i++)
		p[i] = 0;
	d->size = sizeof *d;
	d->restart_time = PGBGW_RESTART_NOT_SET;
}

/*
 * RegisterDynamicBackgroundWorker. Refusals: -EINVAL (pgbgw_last_error names the
 * field), -EAGAIN no free slot, -EDQUOT a quota is used up, -ESHUTDOWN, -EPERM.
 */
PGBGW_API int pgbgw_register(pgbgw_worker *w, const pgbgw_definition *d, pgbgw_handle *h);

/*
 * GetBackgroundWorkerPid: an enum pgbgw_status; *pid is not 0 only with
 * PGBGW_STARTED. pid may be NULL.
 */
PGBGW_API int pgbgw_get_pid(pgbgw_worker *w, pgbgw_handle h, int *pid);

/*
 * WaitForBackgroundWorkerStartup: waits until the supervisor has tried;
 * PGBGW_STARTED with the pid, PGBGW_STOPPED or PGBGW_SUPERVISOR_DIED.
 * timeout_ms below 0: none.
 */
PGBGW_API int pgbgw_wait_for_startup(pgbgw_worker *w, pgbgw_handle h, int *pid, int timeout_ms);

/*
 * WaitForBackgroundWorkerShutdown: PGBGW_STOPPED or PGBGW_SUPERVISOR_DIED. It
 * returns at the first exit, although the worker may be started again.
 */
PGBGW_API int pgbgw_wait_for_shutdown(pgbgw_worker *w, pgbgw_handle h, int timeout_ms);

/*
 * TerminateBackgroundWorker: the worker is asked to end and then unregistered.
 * A handle that names nothing any more is no error.
 */
PGBGW_API int pgbgw_terminate(pgbgw_worker *w, pgbgw_handle h);

/* A worker that this process registered has changed its state: a hint. */
typedef struct pgbgw_change {
	pgbgw_handle handle;
	uint64_t start;
	uint32_t state;
	uint32_t status;
	int32_t pid;
	int32_t exit_code;   /* -1: none */
	int32_t exit_signal; /* 0: none */
	char reason[256];    /* what is longer is cut */
} pgbgw_change;

/*
 * The next change that came: 1, or 0 if there is none. Each change also sets
 * the latch. The oldest of 256 unread ones is dropped for a new one. A process
 * that registers workers has to wait (for anything) or to call this from time to
 * time: the supervisor closes the socket of one that never reads.
 */
PGBGW_API int pgbgw_next_change(pgbgw_worker *w, pgbgw_change *c);
