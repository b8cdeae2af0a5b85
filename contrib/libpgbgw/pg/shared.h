/*
 * Shared memory as modules know it, between shmem.c, proc.c and lwlock.c.
 */
#ifndef PGBGW_PG_SHARED_H
#define PGBGW_PG_SHARED_H

/* shmem.c: opens the region after the requests, before shmem_startup_hook. */
extern void shared_start(void);

/* shmem.c: a counter of the region that starts at first; the next value of it. */
extern int shared_next_tranche(int first);

/* proc.c: the array of PGPROC, and this worker's own. */
extern void procs_create(void);
extern void proc_start(uint32 slot);

/* lwlock.c */
extern void lwlocks_create(void);

#endif
