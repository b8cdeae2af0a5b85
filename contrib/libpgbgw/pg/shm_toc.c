/*
 * shm_toc: tables of contents, in libpgbgw's layout, so that workers in C, Go
 * and Python find the keys of a module, and a module theirs. An entry takes 32 bytes
 * where PostgreSQL's takes 16; shm_toc_estimate knows.
 */
#include "internal.h"

#include "storage/shm_toc.h"

#include "segment.h"

enum { BYTES_OF_ENTRY = 32, BYTES_OF_HEADER = 32 };

/* The last chunks that this process took: their sizes go into their entries. */
static struct {
	char *chunk;
	Size size;
} taken[64];
static int ntaken;

static pgbgw_toc table(shm_toc *toc)
{
	struct pgbgw_toc_header *head = (struct pgbgw_toc_header *)toc;

	return (pgbgw_toc){ (unsigned char *)toc, head->total };
}

shm_toc *shm_toc_create(uint64 magic, void *address, Size nbytes)
{
	pgbgw_toc t;

	if (pgbgw_toc_create(&t, magic, address, nbytes) < 0)
		elog(ERROR, "cannot make a table of contents: %s", pgbgw_last_error());
	return address;
}

/* BGW-140: NULL with another magic number. */
shm_toc *shm_toc_attach(uint64 magic, void *address)
{
	struct pgbgw_toc_header *head = address;

	return head->magic == PGBGW_TOC_MAGIC && head->key == magic ? address : NULL;
}

void *shm_toc_allocate(shm_toc *toc, Size nbytes)
{
	pgbgw_toc t = table(toc);
	void *chunk;

	if (pgbgw_toc_allocate(&t, Max(nbytes, 1), &chunk) < 0) /* BGW-141 */
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of shared memory")));
	taken[ntaken % lengthof(taken)].chunk = chunk;
	taken[ntaken++ % lengthof(taken)].size = nbytes;
	return chunk;
}

Size shm_toc_freespace(shm_toc *toc)
{
	pgbgw_toc t = table(toc);

	return pgbgw_toc_free(&t);
}

/* size_of tells a chunk's size if this process took it lately; 0: not known. */
static Size size_of(const char *chunk)
{
	for (int i = ntaken; --i >= 0 && i >= ntaken - (int)lengthof(taken);)
		if (taken[i % lengthof(taken)].chunk == chunk)
			return taken[i % lengthof(taken)].size;
	return 0;
}

void shm_toc_insert(shm_toc *toc, uint64 key, void *address)
{
	pgbgw_toc t = table(toc);
	int error = pgbgw_toc_insert(&t, key, address, size_of(address));

	if (error == -ENOMEM)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of shared memory")));
	if (error < 0)
		elog(ERROR, "%s", pgbgw_last_error());
}

void *shm_toc_lookup(shm_toc *toc, uint64 key, bool noError)
{
	pgbgw_toc t = table(toc);
	void *chunk;
	int found = pgbgw_toc_lookup(&t, key, &chunk, NULL);

	if (found < 0)
		elog(ERROR, "%s", pgbgw_last_error());
	if (found)
		return chunk;
	if (!noError)
		elog(ERROR, "could not find key " UINT64_FORMAT " in shm TOC at %p", key, (void *)toc);
	return NULL;
}

Size shm_toc_estimate(shm_toc_estimator *e)
{
	Size n = add_size(BYTES_OF_HEADER, mul_size(e->number_of_keys, BYTES_OF_ENTRY));

	return BUFFERALIGN(add_size(n, e->space_for_chunks));
}
