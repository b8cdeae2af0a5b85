/*
 * palloc and its family.
 */
#include "internal.h"

#include <stdlib.h>

#include "memory.h"

void memory_exhausted(Size size, const char *context)
{
	if (!ErrorContext) { /* the very first allocation */
		write_stderr("out of memory\n");
		exit_without_callbacks(1);
	}
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
			errdetail("Failed on request of size %zu in memory context \"%s\".", size, context)));
}

static struct chunk *chunk_of(void *memory)
{
	return (struct chunk *)memory - 1;
}

static void chunk_link(struct context *c, struct chunk *k)
{
	k->owner = &c->head;
	k->next = &c->chunks;
	k->prev = c->chunks.prev;
	k->prev->next = c->chunks.prev = k;
	c->head.mem_allocated += k->size;
	c->head.isReset = false;
}

static void chunk_unlink(struct chunk *k)
{
	k->prev->next = k->next;
	k->next->prev = k->prev;
	k->owner->mem_allocated -= k->size;
}

void chunk_free(struct chunk *k)
{
	chunk_unlink(k);
	free(k->base);
}

/* from_reserve returns room for a chunk with size bytes, or NULL. */
static void *from_reserve(struct context *c, Size size)
{
	Size need = MAXALIGN(sizeof(struct chunk) + size);

	if (c->reserve_size - c->reserve_used < need)
		return NULL;
	c->reserve_used += need;
	return c->reserve + c->reserve_used - need;
}

static void *allocate(MemoryContext context, Size size, Size align, int flags)
{
	struct context *c = (struct context *)context;
	Size extra = align > MAXIMUM_ALIGNOF ? align : 0;
	struct chunk *k;
	char *base = NULL, *memory;

	if (flags & MCXT_ALLOC_HUGE ? !AllocHugeSizeIsValid(size) : !AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	memory = extra ? NULL : from_reserve(c, size);
	if (!memory) {
		base = malloc(sizeof *k + extra + size);
		if (!base && (flags & MCXT_ALLOC_NO_OOM))
			return NULL;
		if (!base)
			memory_exhausted(size, context->name);
		memory = base;
	}
	memory += sizeof *k;
	if (extra)
		memory = (char *)TYPEALIGN(align, memory);
	k = chunk_of(memory);
	k->base = base;
	k->size = size;
	chunk_link(c, k);
	if (flags & MCXT_ALLOC_ZERO)
		memset(memory, 0, size);
	return memory;
}

static void *reallocate(void *memory, Size size, int flags)
{
	struct chunk *k = chunk_of(memory);
	MemoryContext owner = k->owner;
	Size old = k->size;
	void *p;

	/* An aligned chunk, or one of the reserve, moves; any other may stay where it is. */
	if (k->base != k) {
		p = allocate(owner, size, 0, flags & ~MCXT_ALLOC_ZERO);
		if (!p)
			return NULL;
		memcpy(p, memory, Min(old, size));
		chunk_free(k);
	} else {
		if (flags & MCXT_ALLOC_HUGE ? !AllocHugeSizeIsValid(size) : !AllocSizeIsValid(size))
			elog(ERROR, "invalid memory alloc request size %zu", size);
		chunk_unlink(k);
		p = realloc(k, sizeof *k + size);
		if (p)
			k = p;
		k->base = k;
		k->size = p ? size : old;
		chunk_link((struct context *)owner, k);
		if (!p && !(flags & MCXT_ALLOC_NO_OOM))
			memory_exhausted(size, owner->name);
		p = p ? k + 1 : NULL;
	}
	if (p && (flags & MCXT_ALLOC_ZERO) && size > old)
		memset((char *)p + old, 0, size - old);
	return p;
}

void *MemoryContextAlloc(MemoryContext context, Size size)
{
	return allocate(context, size, 0, 0);
}

void *MemoryContextAllocZero(MemoryContext context, Size size)
{
	return allocate(context, size, 0, MCXT_ALLOC_ZERO);
}

#if PG_VERSION_NUM < 170000
void *MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return allocate(context, size, 0, MCXT_ALLOC_ZERO);
}
#endif

void *MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return allocate(context, size, 0, flags);
}

void *MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return allocate(context, size, 0, MCXT_ALLOC_HUGE);
}

#if PG_VERSION_NUM >= 160000
void *MemoryContextAllocAligned(MemoryContext context, Size size, Size alignto, int flags)
{
	return allocate(context, size, alignto, flags);
}

void *palloc_aligned(Size size, Size alignto, int flags)
{
	return allocate(CurrentMemoryContext, size, alignto, flags);
}

void *repalloc0(void *pointer, Size oldsize, Size size)
{
	if (oldsize > size)
		elog(ERROR, "invalid repalloc0 call: oldsize %zu, new size %zu", oldsize, size);
	pointer = reallocate(pointer, size, 0);
	memset((char *)pointer + oldsize, 0, size - oldsize);
	return pointer;
}

MemoryContext GetMemoryChunkContext(void *pointer)
{
	return chunk_of(pointer)->owner;
}
#endif

void *palloc(Size size)
{
	return allocate(CurrentMemoryContext, size, 0, 0);
}

void *palloc0(Size size)
{
	return allocate(CurrentMemoryContext, size, 0, MCXT_ALLOC_ZERO);
}

void *palloc_extended(Size size, int flags)
{
	return allocate(CurrentMemoryContext, size, 0, flags);
}

void *repalloc(void *pointer, Size size)
{
	return reallocate(pointer, size, 0);
}

void *repalloc_extended(void *pointer, Size size, int flags)
{
	return reallocate(pointer, size, flags);
}

void *repalloc_huge(void *pointer, Size size)
{
	return reallocate(pointer, size, MCXT_ALLOC_HUGE);
}

void pfree(void *pointer)
{
	chunk_free(chunk_of(pointer));
}

Size GetMemoryChunkSpace(void *pointer)
{
	return chunk_of(pointer)->size + sizeof(struct chunk);
}

#if PG_VERSION_NUM < 160000
bool MemoryContextContains(MemoryContext context, void *pointer)
{
	return pointer && pointer == (void *)MAXALIGN(pointer) && chunk_of(pointer)->owner == context;
}
#endif

Size add_size(Size a, Size b)
{
	Size sum;

	if (__builtin_add_overflow(a, b, &sum))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("requested shared memory size overflows size_t")));
	return sum;
}

Size mul_size(Size a, Size b)
{
	Size product;

	if (__builtin_mul_overflow(a, b, &product))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("requested shared memory size overflows size_t")));
	return product;
}

char *MemoryContextStrdup(MemoryContext context, const char *string)
{
	Size size = strlen(string) + 1;

	return memcpy(allocate(context, size, 0, 0), string, size);
}

char *pstrdup(const char *in)
{
	return MemoryContextStrdup(CurrentMemoryContext, in);
}

char *pnstrdup(const char *in, Size len)
{
	char *out;

	len = strnlen(in, len);
	out = memcpy(palloc(len + 1), in, len);
	out[len] = 0;
	return out;
}

char *pchomp(const char *in)
{
	Size n = strlen(in);

	while (n > 0 && in[n - 1] == '\n')
		n--;
	return pnstrdup(in, n);
}

/* The array forms that minor releases of 2026 brought; see palloc_array. */
void *palloc_mul(Size a, Size b)
{
	return palloc(mul_size(a, b));
}

void *palloc0_mul(Size a, Size b)
{
	return palloc0(mul_size(a, b));
}

void *palloc_mul_extended(Size a, Size b, int flags)
{
	return palloc_extended(mul_size(a, b), flags);
}

void *repalloc_mul(void *p, Size a, Size b)
{
	return repalloc(p, mul_size(a, b));
}

void *repalloc_mul_extended(void *p, Size a, Size b, int flags)
{
	return repalloc_extended(p, mul_size(a, b), flags);
}
