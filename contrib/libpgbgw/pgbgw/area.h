/* Named areas, and tables of contents in memory: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

/* ---- Named areas ---- */

/*
 * The area of that name in the segment (ShmemInitStruct): size bytes, aligned to
 * 128, of zeros when it is new. 0 for the one caller in all processes that made
 * it, 1 for all others. name has 1 to 47 bytes. -EEXIST if it has another size;
 * -ENOMEM, -ENOSPC if there is no room. Areas are never freed. Others may see
 * the area before its maker has filled it: let 0 mean not ready. Takes no lock.
 */
PGBGW_API int pgbgw_area(pgbgw_worker *w, const char *name, size_t size, void **area);

/* The area of that name, whatever its size: 1, or 0 if there is none. It makes none. */
PGBGW_API int pgbgw_find_area(pgbgw_worker *w, const char *name, void **area, size_t *size);

/* ---- Tables of contents (shm_toc) ---- */

/* A table as this process has it. Its fields are the library's. */
typedef struct pgbgw_toc {
	unsigned char *memory;
	size_t size;
} pgbgw_toc;

/* Bytes for one chunk of n bytes and its entry; a table takes 32 besides. */
#define PGBGW_TOC_SIZE(n) ((size_t)32 + (((size_t)(n) + 31) & ~(size_t)31))

/*
 * Makes an empty table of memory that begins at a multiple of 8, which is
 * cleared; its size is rounded down to a multiple of 32.
 */
PGBGW_API int pgbgw_toc_create(pgbgw_toc *toc, uint64_t magic, void *memory, size_t size);

/* -ENOENT if there is no table with this magic number (shm_toc_attach). */
PGBGW_API int pgbgw_toc_open(pgbgw_toc *toc, uint64_t magic, void *memory, size_t size);

/* A chunk of n bytes, at least 1, all 0. -ENOMEM if there is not so much left. */
PGBGW_API int pgbgw_toc_allocate(const pgbgw_toc *toc, size_t n, void **chunk);

/*
 * Lets others find the n bytes of a chunk by key: what was written to it before
 * is there for them. A key that is there twice names the first.
 */
PGBGW_API int pgbgw_toc_insert(const pgbgw_toc *toc, uint64_t key, void *chunk, size_t n);

/* 1 if the key was found, 0 if not. size may be NULL. */
PGBGW_API int pgbgw_toc_lookup(const pgbgw_toc *toc, uint64_t key, void **chunk, size_t *size);

/* Bytes that are left for chunks and their entries, 32 each. */
PGBGW_API size_t pgbgw_toc_free(const pgbgw_toc *toc);
