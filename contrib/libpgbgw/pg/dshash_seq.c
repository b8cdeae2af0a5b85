/*
 * Going through a shared hash table, partition by partition. One lock is held from
 * the first entry to the last: the next partition's is taken before that is released, so
 * that the chains stay what they are.
 */
#include "internal.h"

#include "dshash_table.h"

#if PG_VERSION_NUM >= 150000

void dshash_seq_init(dshash_seq_status *s, dshash_table *t, bool exclusive)
{
	memset(s, 0, sizeof *s);
	s->hash_table = t;
	s->curpartition = -1;
	s->curbucket = -1;
	s->exclusive = exclusive;
}

/* enter goes on to a partition. */
static void enter(dshash_seq_status *s, int partition)
{
	LWLockAcquire(partition_lock(s->hash_table, (uint32)partition), s->exclusive ? LW_EXCLUSIVE : LW_SHARED);
	if (s->curpartition >= 0)
		LWLockRelease(partition_lock(s->hash_table, (uint32)s->curpartition));
	s->curpartition = partition;
}

/* next_chain goes on to the next chain; false behind the last. */
static bool next_chain(dshash_seq_status *s)
{
	dshash_table *t = s->hash_table;
	int partition;

	if (s->curpartition < 0) {
		enter(s, 0);
		table_follow(t);
		s->nbuckets = 1 << t->bits;
	}
	if (s->curbucket + 1 >= s->nbuckets)
		return false;
	s->curbucket++;
	partition = s->curbucket >> (t->bits - PARTITION_BITS);
	if (partition != s->curpartition)
		enter(s, partition);
	s->pnextitem = t->chains[s->curbucket];
	return true;
}

/* The entry may be deleted, by dshash_delete_current. */
void *dshash_seq_next(dshash_seq_status *s)
{
	while (!DsaPointerIsValid(s->pnextitem))
		if (!next_chain(s))
			return NULL;
	s->curitem = item_at(s->hash_table, s->pnextitem);
	s->pnextitem = s->curitem->next;
	return (char *)s->curitem + ENTRY_AT;
}

void dshash_seq_term(dshash_seq_status *s)
{
	if (s->curpartition >= 0)
		LWLockRelease(partition_lock(s->hash_table, (uint32)s->curpartition));
	s->curpartition = -1;
}

void dshash_delete_current(dshash_seq_status *s)
{
	table_remove(s->hash_table, s->curitem);
}

#endif

void dshash_dump(dshash_table *t)
{
	fprintf(stderr, "hash table at " DSA_POINTER_FORMAT "\n", t->handle);
	for (uint32 i = 0; i < PARTITIONS; i++) {
		LWLockAcquire(partition_lock(t, i), LW_SHARED);
		if (t->control->partitions[i].entries > 0)
			fprintf(stderr, "  partition %u: %zu entries\n", i, t->control->partitions[i].entries);
		LWLockRelease(partition_lock(t, i));
	}
}
