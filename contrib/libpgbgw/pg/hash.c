/*
 * Hash tables (utils/hsearch.h), in a process's own memory and in shared memory.
 *
 * Entries are chained. A table of one process grows; a shared one has as many
 * buckets as its largest size wants from the start, and takes entries from a list
 * of free ones, which a spinlock guards because a partitioned table is used under
 * several locks. Pointers within shared memory hold in every process, which all
 * have it at one address.
 */
#include "internal.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/hsearch.h"

enum {
	BUCKETS_MIN = 64,
	FILL = 1,         /* entries per bucket before a table grows */
	ALLOCATED_AT_ONCE = 32,
};

/* What a shared table has in shared memory. */
struct HASHHDR {
	slock_t lock;      /* of the next two, in a shared table */
	HASHELEMENT *free;
	long entries;
	Size keysize, entrysize;
	uint32 mask;       /* of the buckets, whose number is a power of two */
	bool fixed;        /* its first size is the limit */
	HASHELEMENT **buckets;
};

struct HTAB {
	HASHHDR *header;
	HashValueFunc hash;
	HashCompareFunc match;
	HashCopyFunc copy;
	HashAllocFunc alloc; /* of the caller's own, or NULL */
	MemoryContext context;
	bool shared, frozen;
	int scans;           /* not ended: the table does not grow meanwhile */
	char *name;
};

static Size element_size(Size entrysize)
{
	return MAXALIGN(sizeof(HASHELEMENT)) + MAXALIGN(entrysize);
}

static void *entry_of(HASHELEMENT *e)
{
	return (char *)e + MAXALIGN(sizeof(HASHELEMENT));
}

static HASHELEMENT *element_of(void *entry)
{
	return (HASHELEMENT *)((char *)entry - MAXALIGN(sizeof(HASHELEMENT)));
}

static int compare_texts(const void *a, const void *b, Size keysize)
{
	return strncmp(a, b, keysize - 1);
}

static void *copy_text(void *to, const void *from, Size keysize)
{
	strlcpy(to, from, keysize);
	return to;
}

static void choose_functions(HTAB *t, const HASHCTL *info, int flags)
{
	if (flags & HASH_FUNCTION)
		t->hash = info->hash;
	else if (!(flags & HASH_BLOBS))
		t->hash = string_hash;
	else
		t->hash = info->keysize == sizeof(uint32) ? uint32_hash : tag_hash;
	t->match = flags & HASH_COMPARE ? info->match : t->hash == string_hash ? compare_texts : memcmp;
	t->copy = flags & HASH_KEYCOPY ? info->keycopy : t->hash == string_hash ? copy_text : (HashCopyFunc)memcpy;
	t->alloc = flags & HASH_ALLOC ? info->alloc : NULL;
}

static uint32 buckets_for(long entries)
{
	return entries <= BUCKETS_MIN ? BUCKETS_MIN : pg_nextpower2_32((uint32)Min(entries, 1 << 26));
}

/* shared_buckets is one for each partition at least: a bucket of two would be changed under two locks. */
static uint32 shared_buckets(long entries, const HASHCTL *info, int flags)
{
	return buckets_for(flags & HASH_PARTITION ? Max(entries, info->num_partitions) : entries);
}

/* request returns memory for elements or buckets, NULL where shared memory is used up. */
static void *request(HTAB *t, Size size)
{
	if (t->shared)
		return ShmemAllocNoError(size);
	return t->alloc ? t->alloc(size) : MemoryContextAlloc(t->context, size);
}

/* add_free gives the table elements more; the lock is not held. */
static bool add_free(HTAB *t, long n)
{
	HASHHDR *h = t->header;
	Size size = element_size(h->entrysize);
	char *block = request(t, size * (Size)n);

	if (!block)
		return false;
	SpinLockAcquire(&h->lock);
	for (long i = 0; i < n; i++) {
		HASHELEMENT *e = (HASHELEMENT *)(block + (Size)i * size);

		e->link = h->free;
		h->free = e;
	}
	SpinLockRelease(&h->lock);
	return true;
}

/* take_element returns a free one, counted as an entry, or NULL. */
static HASHELEMENT *take_element(HTAB *t)
{
	HASHHDR *h = t->header;

	for (;;) {
		HASHELEMENT *e;

		SpinLockAcquire(&h->lock);
		e = h->free;
		if (e) {
			h->free = e->link;
			h->entries++;
		}
		SpinLockRelease(&h->lock);
		if (e || h->fixed)
			return e;
		if (!add_free(t, ALLOCATED_AT_ONCE) && !add_free(t, 1))
			return NULL;
	}
}

static void give_back(HTAB *t, HASHELEMENT *e)
{
	SpinLockAcquire(&t->header->lock);
	e->link = t->header->free;
	t->header->free = e;
	t->header->entries--;
	SpinLockRelease(&t->header->lock);
}

static void init_header(HASHHDR *h, HASHELEMENT **buckets, uint32 nbuckets, const HASHCTL *info)
{
	memset(h, 0, sizeof *h);
	SpinLockInit(&h->lock);
	h->keysize = info->keysize;
	h->entrysize = info->entrysize;
	h->mask = nbuckets - 1;
	h->buckets = buckets;
	memset(buckets, 0, nbuckets * sizeof *buckets);
}

static HTAB *new_table(const char *name, const HASHCTL *info, int flags, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "dynahash", ALLOCSET_DEFAULT_SIZES);
	HTAB *t = MemoryContextAllocZero(context, sizeof *t);

	t->context = context;
	t->name = MemoryContextStrdup(context, name);
	MemoryContextSetIdentifier(context, t->name);
	choose_functions(t, info, flags);
	return t;
}

HTAB *hash_create(const char *tabname, long nelem, const HASHCTL *info, int flags)
{
	uint32 nbuckets = buckets_for(nelem);
	HTAB *t;

	if (flags & (HASH_SHARED_MEM | HASH_ATTACH))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("hash table \"%s\": a table in shared memory is made by ShmemInitHash", tabname)));
	t = new_table(tabname, info, flags, flags & HASH_CONTEXT ? info->hcxt : TopMemoryContext);
	t->header = MemoryContextAlloc(t->context, sizeof *t->header);
	init_header(t->header, MemoryContextAllocHuge(t->context, nbuckets * sizeof(HASHELEMENT *)), nbuckets, info);
	if (flags & HASH_FIXED_SIZE) {
		add_free(t, nelem);
		t->header->fixed = true;
	}
	return t;
}

HTAB *ShmemInitHash(const char *name, long init_size, long max_size, HASHCTL *infoP, int hash_flags)
{
	HTAB *t = new_table(name, infoP, hash_flags & ~(HASH_ALLOC | HASH_CONTEXT), TopMemoryContext);
	uint32 nbuckets = shared_buckets(max_size, infoP, hash_flags);
	bool found;

	t->shared = true;
	t->header = ShmemInitStruct(name, MAXALIGN(sizeof(HASHHDR)) + nbuckets * sizeof(HASHELEMENT *), &found);
	if (found)
		return t;
	init_header(t->header, (HASHELEMENT **)((char *)t->header + MAXALIGN(sizeof(HASHHDR))), nbuckets, infoP);
	if (init_size > 0 && !add_free(t, init_size))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of shared memory")));
	t->header->fixed = (hash_flags & HASH_FIXED_SIZE) != 0;
	return t;
}

void hash_destroy(HTAB *t)
{
	if (t)
		MemoryContextDelete(t->context);
}

uint32 get_hash_value(HTAB *t, const void *keyPtr)
{
	return t->hash(keyPtr, t->header->keysize);
}

/* place returns the link that leads to the entry of a key, or the one at the end of its bucket. */
static HASHELEMENT **place(HTAB *t, const void *key, uint32 value)
{
	HASHELEMENT **at = &t->header->buckets[value & t->header->mask];

	while (*at && ((*at)->hashvalue != value || t->match(entry_of(*at), key, t->header->keysize) != 0))
		at = &(*at)->link;
	return at;
}

/* grow doubles the buckets of a table of this process's own. */
static void grow(HTAB *t)
{
	HASHHDR *h = t->header;
	uint32 had = h->mask + 1;
	HASHELEMENT **old = h->buckets;

	h->buckets = MemoryContextAllocExtended(t->context, 2 * (Size)had * sizeof *old, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	h->mask = 2 * had - 1;
	for (uint32 i = 0; i < had; i++)
		for (HASHELEMENT *e = old[i], *next; e; e = next) {
			HASHELEMENT **bucket = &h->buckets[e->hashvalue & h->mask];

			next = e->link;
			e->link = *bucket;
			*bucket = e;
		}
	pfree(old);
}

static void *enter(HTAB *t, const void *key, uint32 value, bool may_be_null)
{
	HASHHDR *h = t->header;
	HASHELEMENT *e, **at;

	if (t->frozen)
		elog(ERROR, "cannot insert into frozen hashtable \"%s\"", t->name);
	if (!t->shared && !t->scans && h->entries > (long)FILL * h->mask && h->mask < (1U << 30))
		grow(t);
	e = take_element(t);
	if (!e) {
		if (may_be_null)
			return NULL;
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg(t->shared ? "out of shared memory" : "out of memory")));
	}
	at = &h->buckets[value & h->mask];
	e->hashvalue = value;
	t->copy(entry_of(e), key, h->keysize);
	while (*at) /* at the end, where a scan finds it that comes by */
		at = &(*at)->link;
	e->link = NULL;
	*at = e;
	return entry_of(e);
}

void *hash_search_with_hash_value(HTAB *t, const void *keyPtr, uint32 hashvalue, HASHACTION action, bool *foundPtr)
{
	HASHELEMENT **at = place(t, keyPtr, hashvalue), *e = *at;

	if (foundPtr)
		*foundPtr = e != NULL;
	switch (action) {
	case HASH_FIND:
		return e ? entry_of(e) : NULL;
	case HASH_REMOVE:
		if (!e)
			return NULL;
		*at = e->link;
		give_back(t, e);
		return entry_of(e); /* for the caller to look at, and no longer */
	case HASH_ENTER:
	case HASH_ENTER_NULL:
		return e ? entry_of(e) : enter(t, keyPtr, hashvalue, action == HASH_ENTER_NULL);
	}
	elog(ERROR, "unrecognized hash action code: %d", (int)action);
	return NULL;
}

void *hash_search(HTAB *t, const void *keyPtr, HASHACTION action, bool *foundPtr)
{
	return hash_search_with_hash_value(t, keyPtr, get_hash_value(t, keyPtr), action, foundPtr);
}

bool hash_update_hash_key(HTAB *t, void *existingEntry, const void *newKeyPtr)
{
	HASHELEMENT *e = element_of(existingEntry), **at = &t->header->buckets[e->hashvalue & t->header->mask];
	uint32 value = get_hash_value(t, newKeyPtr);

	if (t->frozen)
		elog(ERROR, "cannot update in frozen hashtable \"%s\"", t->name);
	while (*at && *at != e)
		at = &(*at)->link;
	if (!*at)
		elog(ERROR, "hash_update_hash_key argument is not in hashtable \"%s\"", t->name);
	if (*place(t, newKeyPtr, value))
		return false;
	*at = e->link;
	e->hashvalue = value;
	t->copy(existingEntry, newKeyPtr, t->header->keysize);
	e->link = t->header->buckets[value & t->header->mask];
	t->header->buckets[value & t->header->mask] = e;
	return true;
}

long hash_get_num_entries(HTAB *t)
{
	return t->header->entries;
}

void hash_seq_init(HASH_SEQ_STATUS *status, HTAB *t)
{
	memset(status, 0, sizeof *status);
	status->hashp = t;
	t->scans++;
}

/* The next entry is looked up before this one is shown: the caller may remove what it is shown. */
void *hash_seq_search(HASH_SEQ_STATUS *status)
{
	HASHHDR *h = status->hashp->header;
	HASHELEMENT *e = status->curEntry;

	while (!e && status->curBucket <= h->mask)
		e = h->buckets[status->curBucket++];
	if (!e) {
		hash_seq_term(status);
		return NULL;
	}
	status->curEntry = e->link;
	return entry_of(e);
}

void hash_seq_term(HASH_SEQ_STATUS *status)
{
	if (status->hashp->scans > 0)
		status->hashp->scans--;
}

void hash_freeze(HTAB *t)
{
	if (t->shared)
		elog(ERROR, "cannot freeze shared hashtable \"%s\"", t->name);
	t->frozen = true;
}

void hash_stats(const char *where, HTAB *t)
{
}

/*
 * hash_estimate_size is enough for a shared table of so many entries: what
 * ShmemInitHash takes, in parts that are aligned.
 */
Size hash_estimate_size(long num_entries, Size entrysize)
{
	Size size = add_size(MAXALIGN(sizeof(HASHHDR)), mul_size(buckets_for(num_entries), sizeof(HASHELEMENT *)));

	return add_size(size, mul_size((Size)num_entries + 2 * ALLOCATED_AT_ONCE, element_size(entrysize)));
}

long hash_select_dirsize(long num_entries)
{
	return buckets_for(num_entries) / 256 + 1;
}

Size hash_get_shared_size(HASHCTL *info, int flags)
{
	return sizeof(HASHHDR);
}
