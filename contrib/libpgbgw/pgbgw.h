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
 * Says that this worker is of use from now on, with a text in UTF-8 for the
 * administrator, which may be "". May be said again to change the text.
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

/* ---- Named areas ---- */

/*
 * The area of that name in the segment (ShmemInitStruct): size bytes, aligned to
 * 128, of zeros when it is new. 0 for the one caller in all processes that made
 * it, 1 for all others. name has 1 to 47 bytes. -EEXIST if it has another size;
 * -ENOMEM, -ENOSPC if there is no room. Areas are never freed. Others may see
 * the area before its maker has filled it: let 0 mean not ready. Takes no lock.
 */
PGBGW_API int pgbgw_area(pgbgw_worker *w, const char *name, size_t size, void **area);

/* The area of that name, whatever its size: 1, or 0 if there is none. It makes none. */
PGBGW_API int pgbgw_find_area(pgbgw_worker *w, const char *name, void **area, size_t *size);

/* ---- Tables of contents (shm_toc) ---- */

/* A table as this process has it. Its fields are the library's. */
typedef struct pgbgw_toc {
	unsigned char *memory;
	size_t size;
} pgbgw_toc;

/* Bytes for one chunk of n bytes and its entry; a table takes 32 besides. */
#define PGBGW_TOC_SIZE(n) ((size_t)32 + (((size_t)(n) + 31) & ~(size_t)31))

/*
 * Makes an empty table of memory that begins at a multiple of 8, which is
 * cleared; its size is rounded down to a multiple of 32.
 */
PGBGW_API int pgbgw_toc_create(pgbgw_toc *toc, uint64_t magic, void *memory, size_t size);

/* -ENOENT if there is no table with this magic number (shm_toc_attach). */
PGBGW_API int pgbgw_toc_open(pgbgw_toc *toc, uint64_t magic, void *memory, size_t size);

/* A chunk of n bytes, at least 1, all 0. -ENOMEM if there is not so much left. */
PGBGW_API int pgbgw_toc_allocate(const pgbgw_toc *toc, size_t n, void **chunk);

/*
 * Lets others find the n bytes of a chunk by key: what was written to it before
 * is there for them. A key that is there twice names the first.
 */
PGBGW_API int pgbgw_toc_insert(const pgbgw_toc *toc, uint64_t key, void *chunk, size_t n);

/* 1 if the key was found, 0 if not. size may be NULL. */
PGBGW_API int pgbgw_toc_lookup(const pgbgw_toc *toc, uint64_t key, void **chunk, size_t *size);

/* Bytes that are left for chunks and their entries, 32 each. */
PGBGW_API size_t pgbgw_toc_free(const pgbgw_toc *toc);

/* ---- Locks (LWLock) ---- */

/* Bytes of a lock that n processes can wait for, and n share, at the same time. */
#define PGBGW_LWLOCK_SIZE(n) ((size_t)32 + (size_t)16 * (n))

typedef struct pgbgw_lwlock pgbgw_lwlock;

enum pgbgw_lwlock_mode { PGBGW_LW_EXCLUSIVE, PGBGW_LW_SHARED };

/*
 * Makes a free lock of memory that begins at a multiple of 8 and has
 * PGBGW_LWLOCK_SIZE(1) bytes at least. One process makes it, and tells others
 * of it afterwards.
 */
PGBGW_API int pgbgw_lwlock_create(void *memory, size_t size);

/* The lock that some process made of this memory; to be closed. */
PGBGW_API int pgbgw_lwlock_open(pgbgw_worker *w, void *memory, size_t size, pgbgw_lwlock **l);

/*
 * Waits for the lock. 0, or 1: it is held too, and its last exclusive holder
 * died with it, so that what it protects may be half changed; only the first
 * taker is told. After an error it is not held. Not recursive; each thread
 * counts as one that waits or holds.
 */
PGBGW_API int pgbgw_lwlock_acquire(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode);

/* The same without a wait; -EAGAIN if it would be one. */
PGBGW_API int pgbgw_lwlock_conditional_acquire(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode);

/* -EPERM if this process does not hold it so. */
PGBGW_API int pgbgw_lwlock_release(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode);

/* Gives the handle back; all that this process holds of the lock is released. NULL is allowed. */
PGBGW_API void pgbgw_lwlock_close(pgbgw_lwlock *l);

/*
 * The number of the lock tranche of that name, 1 or more, which is registered if
 * nobody has: the same in all processes (LWLockNewTrancheId,
 * LWLockRegisterTranche). name has 1 to 63 bytes. -ENOSPC if all are taken. It is
 * for who looks at the segment, and means nothing to the locks.
 */
PGBGW_API int pgbgw_tranche(pgbgw_worker *w, const char *name);

/* The name of a tranche; -ENOENT if nobody has registered it. */
PGBGW_API int pgbgw_tranche_name(pgbgw_worker *w, uint32_t tranche, char name[64]);

/* Says of which tranche the lock is; 0 takes that back. */
PGBGW_API int pgbgw_lwlock_set_tranche(pgbgw_lwlock *l, uint32_t tranche);

/* ---- Condition variables ---- */

/* Bytes of one from which n waiters can be woken at once; more of them look every millisecond. */
#define PGBGW_CONDITION_SIZE(n) ((size_t)32 + (size_t)16 * (n))

typedef struct pgbgw_condition pgbgw_condition;

/* One thread's wait. Its fields are the library's. */
typedef struct pgbgw_condition_sleep {
	pgbgw_condition *condition;
	uint64_t ticket;
	int place;
} pgbgw_condition_sleep;

/* Makes one of memory that begins at a multiple of 8 (ConditionVariableInit). */
PGBGW_API int pgbgw_condition_create(void *memory, size_t size);
PGBGW_API int pgbgw_condition_open(pgbgw_worker *w, void *memory, size_t size, pgbgw_condition **c);

/*
 * Makes the caller one of those who wait (ConditionVariablePrepareToSleep). What
 * it waits for has to be looked at between this and a sleep, and between one
 * sleep and the next: so no wake-up is lost. It has to be cancelled.
 *
 *	pgbgw_condition_prepare(c, &s);
 *	while (!done && (r = pgbgw_condition_sleep_for(&s, -1)) == 0)
 *		;
 *	pgbgw_condition_cancel(&s);
 */
PGBGW_API int pgbgw_condition_prepare(pgbgw_condition *c, pgbgw_condition_sleep *s);

/*
 * Waits for a wake-up, or for nothing, and then waits for the next one already
 * (ConditionVariableTimedSleep). timeout_ms below 0: none.
 */
PGBGW_API int pgbgw_condition_sleep_for(pgbgw_condition_sleep *s, int timeout_ms);

/* Ends the wait; whether a wake-up came since the last sleep returned. Again it does nothing. */
PGBGW_API bool pgbgw_condition_cancel(pgbgw_condition_sleep *s);

/* Wakes the one that has waited longest, or all that wait when it is called. */
PGBGW_API int pgbgw_condition_signal(pgbgw_condition *c);
PGBGW_API int pgbgw_condition_broadcast(pgbgw_condition *c);

/* Gives the handle back; nobody in this process may wait any more. NULL is allowed. */
PGBGW_API void pgbgw_condition_close(pgbgw_condition *c);

/* ---- Barriers ---- */

/* Bytes of one at which n participants can wait and be woken at once. */
#define PGBGW_BARRIER_SIZE(n) ((size_t)32 + PGBGW_CONDITION_SIZE(n))

typedef struct pgbgw_barrier pgbgw_barrier;

/*
 * Makes one of memory that begins at a multiple of 8 (BarrierInit): for 1 to
 * 32,767 participants (static), or with 0 for those that attach (dynamic).
 */
PGBGW_API int pgbgw_barrier_create(void *memory, size_t size, unsigned participants);
PGBGW_API int pgbgw_barrier_open(pgbgw_worker *w, void *memory, size_t size, pgbgw_barrier **b);

/* Makes the caller a participant of a dynamic barrier; *phase is that in which it is one. */
PGBGW_API int pgbgw_barrier_attach(pgbgw_barrier *b, uint32_t *phase);

/*
 * Waits until all participants have arrived. 1 for the one of them that is
 * elected, 0 for the others. After an error the caller has not arrived.
 */
PGBGW_API int pgbgw_barrier_arrive_and_wait(pgbgw_barrier *b);

/* These end a participation; 1 if nobody is left. */
PGBGW_API int pgbgw_barrier_detach(pgbgw_barrier *b);
PGBGW_API int pgbgw_barrier_arrive_and_detach(pgbgw_barrier *b);

/* The same for all but the last, which stays, begins the next phase and is told so by 1. */
PGBGW_API int pgbgw_barrier_arrive_and_detach_except_last(pgbgw_barrier *b);

PGBGW_API uint32_t pgbgw_barrier_phase(const pgbgw_barrier *b);
PGBGW_API int pgbgw_barrier_participants(const pgbgw_barrier *b);

/* Gives the handle back; the participants of this process are detached. NULL is allowed. */
PGBGW_API void pgbgw_barrier_close(pgbgw_barrier *b);

/* ---- Dynamic segments (dsm) ---- */

/*
 * Memory that was made at run time, as this process has it: until it is detached,
 * or this process detaches from its segment. What can lie in an area can lie in
 * it. It has no fixed address: offsets go into it, never pointers.
 */
typedef struct pgbgw_dynamic pgbgw_dynamic;

/* Makes one of size bytes, all 0. -EDQUOT at a limit, -ENOMEM. */
PGBGW_API int pgbgw_dynamic_create(pgbgw_worker *w, size_t size, pgbgw_dynamic **d);

/* -ENOENT if there is none (any more), -EEXIST if this process has it. */
PGBGW_API int pgbgw_dynamic_attach(pgbgw_worker *w, uint32_t handle, pgbgw_dynamic **d);

/* The one of that handle if this process has it, or NULL (dsm_find_mapping). */
PGBGW_API pgbgw_dynamic *pgbgw_dynamic_find(pgbgw_worker *w, uint32_t handle);

PGBGW_API uint32_t pgbgw_dynamic_handle(const pgbgw_dynamic *d); /* even, and not 0 */
PGBGW_API void *pgbgw_dynamic_address(const pgbgw_dynamic *d);
PGBGW_API size_t pgbgw_dynamic_size(const pgbgw_dynamic *d);

/* Keeps it even if no process has it; -EEXIST if it is pinned already. */
PGBGW_API int pgbgw_dynamic_pin(pgbgw_dynamic *d);
PGBGW_API int pgbgw_dynamic_unpin(pgbgw_worker *w, uint32_t handle);

/* Has f called at the detach, the last one first, while the memory is still there. */
PGBGW_API int pgbgw_dynamic_on_detach(pgbgw_dynamic *d, void (*f)(pgbgw_dynamic *d, void *arg), void *arg);
PGBGW_API int pgbgw_dynamic_cancel_on_detach(pgbgw_dynamic *d, void (*f)(pgbgw_dynamic *d, void *arg), void *arg);

/* Calls the callbacks, gives the memory back and frees d. */
PGBGW_API int pgbgw_dynamic_detach(pgbgw_dynamic *d);

/*
 * The dynamic segment of a name, 1 to 63 bytes of UTF-8 (GetNamedDSMSegment): 0
 * for the one who made it and whose init filled it, 1 for all others, who wait
 * for that. If init returns a negative errno, or its process ends, the next one
 * begins anew. init may be NULL. It is pinned. -EINVAL if it has another size.
 */
PGBGW_API int pgbgw_dynamic_named(pgbgw_worker *w, const char *name, size_t size, int (*init)(void *memory, size_t size, void *arg),
				  void *arg, pgbgw_dynamic **d);

/* ---- Message queues (shm_mq) ---- */

#define PGBGW_MIN_QUEUE_SIZE 64
#define PGBGW_MAX_MESSAGE 0x3fffffff

/* One end of a queue; one thread's at a time. */
typedef struct pgbgw_mq pgbgw_mq;

enum pgbgw_mq_role { PGBGW_MQ_SENDER, PGBGW_MQ_RECEIVER };

enum {
	PGBGW_MQ_NOWAIT = 1, /* -EAGAIN where it would have to wait */
	PGBGW_MQ_FLUSH = 2   /* show the message, and all before it, at once */
};

/*
 * Makes an empty queue of memory that begins at a multiple of 8: 56 bytes of
 * header, from 4,096 bytes on 384, and a ring. One process makes it, and tells
 * others of it afterwards.
 */
PGBGW_API int pgbgw_mq_create(void *memory, size_t size);

/*
 * Makes this process the queue's sender or its receiver, once in the life of
 * the queue: -EBUSY if it has or had one. To be detached.
 */
PGBGW_API int pgbgw_mq_attach(pgbgw_worker *w, void *memory, size_t size, enum pgbgw_mq_role role, pgbgw_mq **q);

/*
 * Names the worker that will attach to the other end (shm_mq_set_handle): if it
 * stops before, the queue is detached.
 */
PGBGW_API void pgbgw_mq_set_handle(pgbgw_mq *q, pgbgw_handle h);

/* 1 and the slot of the process at an end, or 0 if none has attached. */
PGBGW_API int pgbgw_mq_get_slot(const pgbgw_mq *q, enum pgbgw_mq_role role, uint32_t *slot);

/*
 * Waits until a process has attached to the other end. -EPIPE if none will;
 * -EDESTADDRREQ instead of a wait without an end, with a timeout_ms below 0 and
 * no worker named.
 */
PGBGW_API int pgbgw_mq_wait_for_attach(pgbgw_mq *q, int timeout_ms);

/*
 * Sends one message of n bytes, 0 to PGBGW_MAX_MESSAGE (-EMSGSIZE). flags are
 * PGBGW_MQ_ bits. Without PGBGW_MQ_FLUSH it is seen when more than a quarter of
 * the ring is unseen, the ring is full, at a flush or a detach. While the ring
 * is full it waits; one that is larger than the ring goes in pieces. -EPIPE if
 * the receiver has detached, ended or will never come; -EDESTADDRREQ as above.
 * After -EAGAIN and -EINTR the message is sent in part: repeat the same call
 * with the same bytes, or detach; another length is -EINPROGRESS. The own latch
 * is set when it is worth another try.
 */
PGBGW_API int pgbgw_mq_send(pgbgw_mq *q, const void *data, size_t n, unsigned flags);

/* The same of several parts, one after the other (shm_mq_sendv). */
PGBGW_API int pgbgw_mq_sendv(pgbgw_mq *q, const struct iovec *parts, size_t count, unsigned flags);

PGBGW_API int pgbgw_mq_flush(pgbgw_mq *q);

/*
 * The next message, in one block, valid until the next call with q; its sender
 * can change it at any time. -EPIPE after the last whole message of a sender
 * that has detached or ended; -EAGAIN with PGBGW_MQ_NOWAIT where there is no
 * whole message: the own latch is set when it is worth another try.
 */
PGBGW_API int pgbgw_mq_receive(pgbgw_mq *q, void **data, size_t *n, unsigned flags);

/* Shows what was sent, ends the queue and frees q. NULL is allowed. */
PGBGW_API void pgbgw_mq_detach(pgbgw_mq *q);

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
