/*
 * Hash tables that processes share: making them, and their entries, each of which
 * is found with the lock of its partition.
 */
#include "internal.h"

#include "common/hashfn.h"

#include "dshash_table.h"

enum { FIRST_BITS = PARTITION_BITS + 2, MOST_BITS = 30 };

static dshash_table *new_table(dsa_area *area, const dshash_parameters *params, void *arg, dsa_pointer handle)
{
	dshash_table *t = palloc0(sizeof *t);

	t->area = area;
	t->parameters = *params;
	t->arg = arg;
	t->handle = handle;
	t->control = dsa_get_address(area, handle);
	return t;
}

dshash_table *dshash_create(dsa_area *area, const dshash_parameters *params, void *arg)
{
	dsa_pointer handle = dsa_allocate0(area, sizeof(struct table_control));
	struct table_control *c = dsa_get_address(area, handle);
	dsa_pointer chains = dsa_allocate_extended(area, sizeof(dsa_pointer) << FIRST_BITS, DSA_ALLOC_NO_OOM | DSA_ALLOC_ZERO);

	if (!DsaPointerIsValid(chains)) {
		dsa_free(area, handle);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				errdetail("Failed on DSA request of size %zu.", sizeof(dsa_pointer) << FIRST_BITS)));
	}
	c->tranche = params->tranche_id;
	c->bits = FIRST_BITS;
	c->chains = chains;
	for (int i = 0; i < PARTITIONS; i++)
		LWLockInitialize(&c->partitions[i].lock, params->tranche_id);
	c->magic = TABLE_MAGIC;
	return new_table(area, params, arg, handle);
}

dshash_table *dshash_attach(dsa_area *area, const dshash_parameters *params, dshash_table_handle handle, void *arg)
{
	const struct table_control *c = dsa_get_address(area, handle);

	if (!c || c->magic != TABLE_MAGIC)
		elog(ERROR, "there is no hash table at " DSA_POINTER_FORMAT, handle);
	return new_table(area, params, arg, handle);
}

void dshash_detach(dshash_table *t)
{
	pfree(t);
}

dshash_table_handle dshash_get_hash_table_handle(dshash_table *t)
{
	return t->handle;
}

/* Nobody else may use it any more. */
void dshash_destroy(dshash_table *t)
{
	t->bits = 0;
	table_follow(t);
	for (Size i = 0; i < (Size)1 << t->bits; i++)
		while (DsaPointerIsValid(t->chains[i])) {
			dsa_pointer p = t->chains[i];

			t->chains[i] = item_at(t, p)->next;
			dsa_free(t->area, p);
		}
	t->control->magic = 0;
	dsa_free(t->area, t->control->chains);
	dsa_free(t->area, t->handle);
	pfree(t);
}

void table_follow(dshash_table *t)
{
	if (t->bits == t->control->bits)
		return;
	t->chains = dsa_get_address(t->area, t->control->chains);
	t->bits = t->control->bits;
}

static dsa_pointer *chain_of(dshash_table *t, dshash_hash hash)
{
	return &t->chains[hash >> (32 - t->bits)];
}

static void *entry_of(dshash_table_item *item)
{
	return (char *)item + ENTRY_AT;
}

static dshash_table_item *item_of(const void *entry)
{
	return (dshash_table_item *)((char *)entry - ENTRY_AT);
}

static dshash_hash hash_key(const dshash_table *t, const void *key)
{
	return t->parameters.hash_function(key, t->parameters.key_size, t->arg);
}

static void copy_key(const dshash_table *t, void *entry, const void *key)
{
#if PG_VERSION_NUM >= 170000
	t->parameters.copy_function(entry, key, t->parameters.key_size, t->arg);
#else
	memcpy(entry, key, t->parameters.key_size);
#endif
}

static dshash_table_item *in_chain(dshash_table *t, dshash_hash hash, const void *key)
{
	dsa_pointer p = *chain_of(t, hash);

	while (DsaPointerIsValid(p)) {
		dshash_table_item *i = item_at(t, p);

		if (i->hash == hash && t->parameters.compare_function(key, entry_of(i), t->parameters.key_size, t->arg) == 0)
			return i;
		p = i->next;
	}
	return NULL;
}

static dshash_table_item *locked(dshash_table *t, dshash_hash hash, const void *key, LWLockMode mode)
{
	LWLockAcquire(partition_lock(t, partition_of(hash)), mode);
	table_follow(t);
	return in_chain(t, hash, key);
}

/* What is found is locked until dshash_release_lock. */
void *dshash_find(dshash_table *t, const void *key, bool exclusive)
{
	dshash_hash hash = hash_key(t, key);
	dshash_table_item *i = locked(t, hash, key, exclusive ? LW_EXCLUSIVE : LW_SHARED);

	if (i)
		return entry_of(i);
	LWLockRelease(partition_lock(t, partition_of(hash)));
	return NULL;
}

/* move_all hangs the entries of the old chains into new ones. */
static void move_all(dshash_table *t, dsa_pointer *to, uint32 bits)
{
	for (Size i = 0; i < (Size)1 << t->bits; i++) {
		dsa_pointer p = t->chains[i];

		while (DsaPointerIsValid(p)) {
			dshash_table_item *item = item_at(t, p);
			dsa_pointer next = item->next, *chain = &to[item->hash >> (32 - bits)];

			item->next = *chain;
			*chain = p;
			p = next;
		}
	}
}

/* grow doubles the chains, unless somebody has; without memory for that they stay as they are. */
static void grow(dshash_table *t, uint32 bits)
{
	dsa_pointer chains;

	for (uint32 i = 0; i < PARTITIONS; i++)
		LWLockAcquire(partition_lock(t, i), LW_EXCLUSIVE);
	table_follow(t);
	chains = t->bits < bits ? dsa_allocate_extended(t->area, sizeof(dsa_pointer) << bits,
							DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM | DSA_ALLOC_ZERO)
				: InvalidDsaPointer;
	if (DsaPointerIsValid(chains)) {
		move_all(t, dsa_get_address(t->area, chains), bits);
		dsa_free(t->area, t->control->chains);
		t->control->chains = chains;
		t->control->bits = bits;
		table_follow(t);
	}
	for (uint32 i = PARTITIONS; i-- > 0;)
		LWLockRelease(partition_lock(t, i));
}

/* is_full: three entries for four chains. */
static bool is_full(const dshash_table *t, uint32 partition)
{
	Size chains = (Size)1 << (t->bits - PARTITION_BITS);

	return t->bits < MOST_BITS && t->control->partitions[partition].entries > chains - chains / 4;
}

/* insert adds an entry that is not there; under its partition's lock. */
static void *insert(dshash_table *t, dshash_hash hash, const void *key)
{
	dsa_pointer p = dsa_allocate(t->area, ENTRY_AT + t->parameters.entry_size), *chain;
	dshash_table_item *i = item_at(t, p);

	copy_key(t, entry_of(i), key);
	i->hash = hash;
	chain = chain_of(t, hash);
	i->next = *chain;
	*chain = p;
	t->control->partitions[partition_of(hash)].entries++;
	return entry_of(i);
}

void *dshash_find_or_insert(dshash_table *t, const void *key, bool *found)
{
	dshash_hash hash = hash_key(t, key);
	uint32 partition = partition_of(hash);
	dshash_table_item *i = locked(t, hash, key, LW_EXCLUSIVE);

	if (!i && is_full(t, partition)) {
		uint32 bits = t->bits + 1;

		LWLockRelease(partition_lock(t, partition));
		grow(t, bits);
		i = locked(t, hash, key, LW_EXCLUSIVE);
	}
	*found = i != NULL;
	return i ? entry_of(i) : insert(t, hash, key);
}

void table_remove(dshash_table *t, dshash_table_item *item)
{
	dsa_pointer *at = chain_of(t, item->hash), p;

	while (item_at(t, *at) != item)
		at = &item_at(t, *at)->next;
	p = *at;
	*at = item->next;
	t->control->partitions[partition_of(item->hash)].entries--;
	dsa_free(t->area, p);
}

bool dshash_delete_key(dshash_table *t, const void *key)
{
	dshash_hash hash = hash_key(t, key);
	dshash_table_item *i = locked(t, hash, key, LW_EXCLUSIVE);

	if (i)
		table_remove(t, i);
	LWLockRelease(partition_lock(t, partition_of(hash)));
	return i != NULL;
}

/* The entry was found exclusively; its lock is released. */
void dshash_delete_entry(dshash_table *t, void *entry)
{
	uint32 partition = partition_of(item_of(entry)->hash);

	table_follow(t);
	table_remove(t, item_of(entry));
	LWLockRelease(partition_lock(t, partition));
}

void dshash_release_lock(dshash_table *t, void *entry)
{
	LWLockRelease(partition_lock(t, partition_of(item_of(entry)->hash)));
}

int dshash_memcmp(const void *a, const void *b, size_t size, void *arg)
{
	return memcmp(a, b, size);
}

dshash_hash dshash_memhash(const void *v, size_t size, void *arg)
{
	return tag_hash(v, size);
}

#if PG_VERSION_NUM >= 170000
void dshash_memcpy(void *dest, const void *src, size_t size, void *arg)
{
	memcpy(dest, src, size);
}

int dshash_strcmp(const void *a, const void *b, size_t size, void *arg)
{
	return strcmp(a, b);
}

dshash_hash dshash_strhash(const void *v, size_t size, void *arg)
{
	return string_hash(v, size);
}

void dshash_strcpy(void *dest, const void *src, size_t size, void *arg)
{
	strlcpy(dest, src, size);
}
#endif
