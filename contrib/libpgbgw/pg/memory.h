/*
 * The shape of a context and of a chunk, for memory.c and palloc.c only.
 */
#ifndef PGBGW_PG_MEMORY_H
#define PGBGW_PG_MEMORY_H

/*
 * Before each piece of memory. The owner stands last: PostgreSQL 15 reads it
 * from the word in front of the memory (GetMemoryChunkContext is inline there).
 */
struct chunk {
	struct chunk *prev, *next;
	void *base; /* what free() gets; NULL: from the reserve */
	Size size;  /* asked for */
	Size unused;
	MemoryContext owner;
};
StaticAssertDecl(sizeof(struct chunk) % MAXIMUM_ALIGNOF == 0, "a chunk keeps the alignment of malloc");
StaticAssertDecl(offsetof(struct chunk, owner) + sizeof(void *) == sizeof(struct chunk), "the owner stands before the memory");

struct context {
	MemoryContextData head;
	struct chunk chunks; /* ring */
	char *reserve;
	Size reserve_size, reserve_used;
};

extern void chunk_free(struct chunk *chunk);
extern void memory_exhausted(Size size, const char *context) pg_attribute_noreturn();

#endif
