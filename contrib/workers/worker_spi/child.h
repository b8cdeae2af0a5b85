/*
 * Between the probe's children and those who register them: the memory of
 * shmem_startup_hook, and the contents of a dynamic segment.
 */
#ifndef BGW_SPI_CHILD_H
#define BGW_SPI_CHILD_H

#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "storage/spin.h"
#include "utils/hsearch.h"

struct shared {
	LWLock *lock; /* of the requested tranche: pointers are good in fixed memory */
	slock_t spin;
	ConditionVariable changed;
	Barrier barrier;
	int starts, done, elected;
	int places; /* taken in the row of workers */
	int locked, spun; /* counted under the lock, and under the spinlock */
	int64 arg;        /* what the last child was given */
	int notify_pid;
	uint64 table; /* the handle of the hash table that the children share */
	char name[BGW_MAXLEN], type[BGW_MAXLEN], extra[BGW_EXTRALEN];
};
extern struct shared *shared;

/* note changes something of the shared memory and wakes who waits for it. */
#define NOTE(change)                                 \
	do {                                         \
		SpinLockAcquire(&shared->spin);      \
		change;                              \
		SpinLockRelease(&shared->spin);      \
		ConditionVariableBroadcast(&shared->changed); \
	} while (0)

/* until waits for a condition of the shared memory, which must be volatile. */
#define UNTIL(condition)                                                              \
	do {                                                                          \
		volatile struct shared *s = shared;                                   \
		ConditionVariablePrepareToSleep(&shared->changed);                    \
		while (!(condition))                                                  \
			ConditionVariableSleep(&shared->changed, PG_WAIT_EXTENSION);  \
		ConditionVariableCancelSleep();                                       \
	} while (0)

enum { TOC_MAGIC = 0x50674277, KEY_THERE = 1, KEY_BACK, KEY_ROW };

enum { MOST_IN_A_ROW = 5 };

/* probe_tables.c: the table in shared memory: its room, the hook's part, the child's, the probe's. */
extern Size shared_table_size(void);
extern void shared_table_create(void);
extern void shared_table_note(void);
extern void probe_shared_table(void);
extern int partition_rounds(uint32 partition);
extern void probe_partitions(void);

/* probe_named.c: counts itself in the segment that all find by name. */
extern void add_to_named(void);

/* probe_areas.c: counts all keys in the table of the area. */
extern void count_in_table(Datum arg);

/* probe_areas.c: frees the piece of the area that shared->table points to. */
extern void free_piece(Datum arg);

/* child.c: attaches to both queues of a segment; makes one with queues of so many bytes, and attaches to them. */
extern void open_queues(dsm_segment *seg, shm_mq_handle **there, shm_mq_handle **back, bool child);
extern dsm_segment *make_queues(Size size, shm_mq_handle **there, shm_mq_handle **back);

#endif
