/*
 * Memory contexts: the tree of them, their reset and their end.
 *
 * A context is a list of chunks, each from malloc. A background worker lives
 * on few and long-lived allocations, so one general allocator serves for
 * PostgreSQL's four kinds of context, and AddressSanitizer sees every chunk.
 */
#include "internal.h"

#include <stdlib.h>

#include "utils/catcache.h"

#include "memory.h"

MemoryContext CurrentMemoryContext;
MemoryContext TopMemoryContext;
MemoryContext ErrorContext;
MemoryContext PostmasterContext;
MemoryContext CacheMemoryContext;
MemoryContext MessageContext;
MemoryContext TopTransactionContext;
MemoryContext CurTransactionContext;
MemoryContext PortalContext;

/*
 * ErrorContext hands out this much first, of memory that was got before: an error
 * is reported from a signal handler too (PostgreSQL's own bgworker_die does), where
 * malloc may not be called.
 */
enum { RESERVE = 64 * 1024 };
static struct context error_context;

static void link_child(MemoryContext parent, MemoryContext c)
{
	c->parent = parent;
	c->prevchild = NULL;
	c->nextchild = parent ? parent->firstchild : NULL;
	if (c->nextchild)
		c->nextchild->prevchild = c;
	if (parent)
		parent->firstchild = c;
}

static void unlink_child(MemoryContext c)
{
	if (c->prevchild)
		c->prevchild->nextchild = c->nextchild;
	else if (c->parent)
		c->parent->firstchild = c->nextchild;
	if (c->nextchild)
		c->nextchild->prevchild = c->prevchild;
	c->parent = c->prevchild = c->nextchild = NULL;
}

static void init_context(struct context *c, NodeTag tag, MemoryContext parent, const char *name)
{
	memset(c, 0, sizeof *c);
	c->head.type = tag;
	c->head.isReset = true;
	c->head.name = name;
	c->chunks.next = c->chunks.prev = &c->chunks;
	link_child(parent, &c->head);
	c->head.allowInCritSection = parent && parent->allowInCritSection;
}

static MemoryContext create(NodeTag tag, MemoryContext parent, const char *name)
{
	struct context *c = malloc(sizeof *c);

	if (!c)
		memory_exhausted(sizeof *c, name);
	init_context(c, tag, parent, name);
	return &c->head;
}

/* For what lasts as long as the session: modules keep there what they have looked up. */
void CreateCacheMemoryContext(void)
{
	if (!CacheMemoryContext)
		CacheMemoryContext = AllocSetContextCreate(TopMemoryContext, "CacheMemoryContext", ALLOCSET_DEFAULT_SIZES);
}

void memory_start(void)
{
	if (TopMemoryContext)
		return;
	TopMemoryContext = create(T_AllocSetContext, NULL, "TopMemoryContext");
	init_context(&error_context, T_AllocSetContext, TopMemoryContext, "ErrorContext");
	error_context.head.allowInCritSection = true;
	error_context.reserve = malloc(RESERVE);
	if (!error_context.reserve)
		memory_exhausted(RESERVE, "ErrorContext");
	error_context.reserve_size = RESERVE;
	ErrorContext = &error_context.head;
	CurrentMemoryContext = TopMemoryContext;
}

void MemoryContextInit(void)
{
	memory_start();
}

MemoryContext AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size min, Size initial, Size max)
{
	return create(T_AllocSetContext, parent, name);
}

MemoryContext SlabContextCreate(MemoryContext parent, const char *name, Size block, Size chunk)
{
	return create(T_SlabContext, parent, name);
}

MemoryContext GenerationContextCreate(MemoryContext parent, const char *name, Size min, Size initial, Size max)
{
	return create(T_GenerationContext, parent, name);
}

#if PG_VERSION_NUM >= 170000
MemoryContext BumpContextCreate(MemoryContext parent, const char *name, Size min, Size initial, Size max)
{
	return create(T_BumpContext, parent, name);
}
#endif

/* A callback is taken off before it is called: one that fails is not called again. */
static void run_callbacks(MemoryContext c)
{
	MemoryContextCallback *cb;

	while ((cb = c->reset_cbs) != NULL) {
		c->reset_cbs = cb->next;
		cb->func(cb->arg);
	}
}

void MemoryContextResetOnly(MemoryContext context)
{
	struct context *c = (struct context *)context;

	if (context->isReset)
		return;
	run_callbacks(context);
	while (c->chunks.next != &c->chunks)
		chunk_free(c->chunks.next);
	c->reserve_used = 0;
	context->isReset = true;
}

void MemoryContextReset(MemoryContext context)
{
	MemoryContextDeleteChildren(context);
	MemoryContextResetOnly(context);
}

void MemoryContextResetChildren(MemoryContext context)
{
	for (MemoryContext c = context->firstchild; c; c = c->nextchild) {
		MemoryContextResetChildren(c);
		MemoryContextResetOnly(c);
	}
}

void MemoryContextDelete(MemoryContext context)
{
	Assert(context != TopMemoryContext && context != CurrentMemoryContext);
	MemoryContextDeleteChildren(context);
	run_callbacks(context);
	unlink_child(context);
	context->isReset = false;
	MemoryContextResetOnly(context);
	if (context != ErrorContext)
		free(context);
}

void MemoryContextDeleteChildren(MemoryContext context)
{
	while (context->firstchild)
		MemoryContextDelete(context->firstchild);
}

void MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *cb)
{
	cb->next = context->reset_cbs;
	context->reset_cbs = cb;
	context->isReset = false;
}

void MemoryContextSetIdentifier(MemoryContext context, const char *id)
{
	context->ident = id;
}

void MemoryContextSetParent(MemoryContext context, MemoryContext parent)
{
	if (context->parent == parent)
		return;
	unlink_child(context);
	link_child(parent, context);
}

MemoryContext MemoryContextGetParent(MemoryContext context)
{
	return context->parent;
}

bool MemoryContextIsEmpty(MemoryContext context)
{
	struct context *c = (struct context *)context;

	return !context->firstchild && c->chunks.next == &c->chunks;
}

Size MemoryContextMemAllocated(MemoryContext context, bool recurse)
{
	Size total = context->mem_allocated;

	for (MemoryContext c = recurse ? context->firstchild : NULL; c; c = c->nextchild)
		total += MemoryContextMemAllocated(c, true);
	return total;
}

static void print_context(MemoryContext c, int depth)
{
	write_stderr("%*s%s: %zu bytes%s%s\n", depth * 2, "", c->name, (size_t)c->mem_allocated,
		     c->ident ? ": " : "", c->ident ? c->ident : "");
	for (c = c->firstchild; c; c = c->nextchild)
		print_context(c, depth + 1);
}

void MemoryContextStats(MemoryContext context)
{
	print_context(context, 0);
}

void MemoryContextAllowInCriticalSection(MemoryContext context, bool allow)
{
	context->allowInCritSection = allow;
}

#ifdef MEMORY_CONTEXT_CHECKING
void MemoryContextCheck(MemoryContext context)
{
}
#endif
