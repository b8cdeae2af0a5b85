/*
 * Tables of contents. Chunks are taken from the end of the memory, entries grow
 * from its start, and nothing is given back. There is no lock: one word says how
 * much of both is taken, and an entry counts once its offset is stored.
 */
#include "internal.h"

#define ALIGN PGBGW_TOC_ALIGN
#define MAX_ENTRIES UINT64_C(0xffffff)

struct usage {
	uint64_t entries;
	uint64_t chunks; /* bytes */
};

static struct usage usage_of(uint64_t word) { return (struct usage){ word & MAX_ENTRIES, (word >> 24) * ALIGN }; }
static uint64_t bytes(struct usage u) { return ALIGN + u.entries * ALIGN + u.chunks; }
static word64 *word_at(const pgbgw_toc *t, uint64_t offset) { return pgi_word64(t->memory, offset); }

static int lay_over(pgbgw_toc *t, void *memory, size_t size)
{
	if (size < ALIGN)
		return pgi_fail(EINVAL, "a table of contents of %zu bytes: %d are the least", size, ALIGN);
	if ((uintptr_t)memory % 8)
		return pgi_fail(EINVAL, "a table of contents does not begin at a multiple of 8");
	t->memory = memory;
	t->size = size & ~(size_t)(ALIGN - 1);
	return 0;
}

int pgbgw_toc_create(pgbgw_toc *t, uint64_t magic, void *memory, size_t size)
{
	int r = lay_over(t, memory, size);

	if (r < 0)
		return r;
	memset(t->memory, 0, t->size); /* an entry that is not written yet has offset 0 */
	atomic_store(word_at(t, 0), magic);
	atomic_store(word_at(t, 16), t->size);
	atomic_store(word_at(t, 8), PGBGW_TOC_MAGIC);
	return 0;
}

int pgbgw_toc_open(pgbgw_toc *t, uint64_t magic, void *memory, size_t size)
{
	int r = lay_over(t, memory, size);

	if (r < 0)
		return r;
	if (atomic_load(word_at(t, 8)) != PGBGW_TOC_MAGIC || atomic_load(word_at(t, 0)) != magic)
		return pgi_fail(ENOENT, "no table of contents with the magic number %#llx", (unsigned long long)magic);
	uint64_t total = atomic_load(word_at(t, 16));
	if (total != t->size)
		return pgi_fail(EUCLEAN, "the table of contents has %llu bytes, not %zu", (unsigned long long)total, t->size);
	return 0;
}

/* Changes the usage, unless the memory does not allow it; *before is what it was. */
static int take(const pgbgw_toc *t, struct usage change, struct usage *before)
{
	word64 *taken = word_at(t, 24);
	uint64_t word = atomic_load(taken), more;

	do {
		*before = usage_of(word);
		if (bytes(*before) > t->size)
			return pgi_fail(EUCLEAN, "%llu bytes of a table of contents of %zu are taken", (unsigned long long)bytes(*before), t->size);
		struct usage after = { before->entries + change.entries, before->chunks + change.chunks };
		if (bytes(after) > t->size || after.entries > MAX_ENTRIES)
			return pgi_fail(ENOMEM, "%llu bytes of the table of contents are free",
					(unsigned long long)(t->size - bytes(*before)));
		more = after.entries | after.chunks / ALIGN << 24;
	} while (!atomic_compare_exchange_weak(taken, &word, more));
	POINT();
	return 0;
}

int pgbgw_toc_allocate(const pgbgw_toc *t, size_t n, void **chunk)
{
	struct usage before;
	uint64_t size = ((uint64_t)n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
	int r;

	if (n == 0 || n > INT64_MAX - ALIGN)
		return pgi_fail(EINVAL, "cannot allocate %zu bytes", n);
	if ((r = take(t, (struct usage){ .chunks = size }, &before)) < 0)
		return r;
	*chunk = t->memory + (t->size - before.chunks - size);
	return 0;
}

int pgbgw_toc_insert(const pgbgw_toc *t, uint64_t key, void *chunk, size_t n)
{
	uint64_t offset = (uint64_t)((uintptr_t)chunk - (uintptr_t)t->memory);
	struct usage before;
	int r;

	if ((uintptr_t)chunk <= (uintptr_t)t->memory || offset >= t->size || n > t->size - offset)
		return pgi_fail(EINVAL, "cannot insert key %llu: the chunk is not of this table", (unsigned long long)key);
	if ((r = take(t, (struct usage){ .entries = 1 }, &before)) < 0)
		return r;
	uint64_t at = ALIGN + before.entries * ALIGN;
	atomic_store(word_at(t, at), key);
	POINT();
	atomic_store(word_at(t, at + 16), n);
	POINT();
	atomic_store(word_at(t, at + 8), offset);
	return 0;
}

int pgbgw_toc_lookup(const pgbgw_toc *t, uint64_t key, void **chunk, size_t *size)
{
	struct usage u = usage_of(atomic_load(word_at(t, 24)));

	if (bytes(u) > t->size)
		return pgi_fail(EUCLEAN, "%llu bytes of a table of contents of %zu are taken", (unsigned long long)bytes(u), t->size);
	for (uint64_t i = 0; i < u.entries; i++) {
		uint64_t at = ALIGN + i * ALIGN, offset = atomic_load(word_at(t, at + 8)), n;

		if (offset == 0 || atomic_load(word_at(t, at)) != key)
			continue; /* or not written yet, or never */
		n = atomic_load(word_at(t, at + 16));
		if (offset < t->size - u.chunks || offset >= t->size || n > t->size - offset)
			return pgi_fail(EUCLEAN, "the chunk of key %llu is %llu bytes at %llu of %zu", (unsigned long long)key, (unsigned long long)n,
					(unsigned long long)offset, t->size);
		*chunk = t->memory + offset;
		if (size)
			*size = (size_t)n;
		return 1;
	}
	return 0;
}

size_t pgbgw_toc_free(const pgbgw_toc *t)
{
	uint64_t have = bytes(usage_of(atomic_load(word_at(t, 24))));

	return have < t->size ? t->size - (size_t)have : 0;
}
