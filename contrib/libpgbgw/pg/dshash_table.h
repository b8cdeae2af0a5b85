/*
 * Between the files of shared hash tables (lib/dshash.h).
 *
 * A table is an area's memory: a control with a lock for each of its partitions,
 * an array of chains, and the entries. An entry's partition, and its chain in that, are the
 * upper bits of its hash, so that a partition's chains stay its own when there are more.
 */
#ifndef PGBGW_PG_DSHASH_TABLE_H
#define PGBGW_PG_DSHASH_TABLE_H

#include "lib/dshash.h"
#include "storage/lwlock.h"

enum { TABLE_MAGIC = 0x50674468, PARTITION_BITS = 7, PARTITIONS = 1 << PARTITION_BITS };

/* An entry; what the caller has of it is behind. */
struct dshash_table_item {
	dsa_pointer next;
	dshash_hash hash;
};

enum { ENTRY_AT = MAXALIGN(sizeof(struct dshash_table_item)) };

struct table_control {
	uint32 magic;
	uint32 bits; /* the binary logarithm of the number of chains; changes under all locks */
	int tranche;
	dsa_pointer chains;
	struct {
		LWLock lock;
		Size entries;
	} partitions[PARTITIONS];
};

struct dshash_table {
	dsa_area *area;
	dshash_parameters parameters;
	void *arg;
	dsa_pointer handle;
	struct table_control *control;
	uint32 bits;         /* the control's, when chains was looked up */
	dsa_pointer *chains;
};

static inline uint32 partition_of(dshash_hash hash)
{
	return hash >> (32 - PARTITION_BITS);
}

static inline LWLock *partition_lock(const dshash_table *t, uint32 partition)
{
	return &t->control->partitions[partition].lock;
}

static inline dshash_table_item *item_at(const dshash_table *t, dsa_pointer p)
{
	return dsa_get_address(t->area, p);
}

/* Looks up the chains anew when there are more; under a lock of any partition. */
extern void table_follow(dshash_table *t);

/* Takes an entry from its chain and frees it; under its partition's lock. */
extern void table_remove(dshash_table *t, dshash_table_item *item);

#endif
