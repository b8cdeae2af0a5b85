/* Locks, condition variables and barriers in memory: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

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
