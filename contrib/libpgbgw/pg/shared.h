/*
 * Shared memory as modules know it, between shmem.c, proc.c and lwlock.c.
 */
#ifndef PGBGW_PG_SHARED_H
#define PGBGW_PG_SHARED_H

/* shmem.c: opens the region after the requests, before shmem_startup_hook. */
extern void shared_start(void);

/* shmem.c: a counter of the region that starts at first; the next value of it. */
extern int shared_next_tranche(int first);

/*
 * shmem.c: the piece of the region that has this name, of whichever size, which is
 * returned. Where there is none it is made with wanted bytes, all 0; NULL: none is, and 0 were wanted.
 */
extern void *shared_piece(const char *name, Size wanted, Size *size);

/* proc.c: the PGPROCs, and this worker's own. */
extern void procs_create(void);
extern void proc_start(uint32 slot);

/* proc.c: a slot's, NULL where nobody has given it one; the slot of one, or -1; how many slots there are. */
extern struct PGPROC *proc_of(uint32 slot);
extern int proc_slot(const struct PGPROC *proc);
extern uint32 procs_count(void);

/* lwlock.c */
extern void lwlocks_create(void);

#endif
