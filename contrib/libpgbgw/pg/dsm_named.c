/*
 * Dynamic segments that modules find by name: GetNamedDSMSegment.
 */
#include "internal.h"

#if PG_VERSION_NUM >= 170000

#include "storage/dsm.h"
#include "storage/dsm_registry.h"

#include "dsm.h"
#include "supervisor.h"

enum { NAME_MAX_OF_SEGMENT = 63 };

/* A module's function that fills a new segment, and how that went. */
struct filling {
	void (*init)(void *ptr);
#if PG_VERSION_NUM >= 190000
	void (*init_arg)(void *ptr, void *arg);
	void *arg;
#endif
	ErrorData *error;
};

static void call(const struct filling *f, void *memory)
{
#if PG_VERSION_NUM >= 190000
	if (f->init_arg)
		f->init_arg(memory, f->arg);
#endif
	if (f->init)
		f->init(memory);
}

/* An error must not jump over libpgbgw, which holds a lock and has others waiting. */
static int fill(void *memory, size_t size, void *arg)
{
	struct filling *f = arg;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		call(f, memory);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		f->error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return f->error ? -ECANCELED : 0;
}

static void check(const char *name, size_t size)
{
	if (!name || *name == '\0')
		ereport(ERROR, (errmsg("DSM segment name cannot be empty")));
	if (strlen(name) > NAME_MAX_OF_SEGMENT)
		ereport(ERROR, (errmsg("DSM segment name too long")));
	if (size == 0)
		ereport(ERROR, (errmsg("DSM segment size must be nonzero")));
	if (!the_pgbgw)
		ereport(ERROR, (errmsg("dynamic shared memory segments exist in workers only")));
}

/* BGW-139. The segment is pinned, and mapped here until the process ends. */
static void *named(const char *name, size_t size, struct filling *f, bool *found)
{
	pgbgw_dynamic *d;
	dsm_segment *seg;
	int r;

	check(name, size);
	r = HELD(pgbgw_dynamic_named(the_pgbgw, name, size, fill, f, &d));
	if (f->error)
		ReThrowError(f->error);
	if (r == -EINVAL)
		ereport(ERROR, (errmsg("requested DSM segment size does not match size of existing segment")));
	if (r < 0)
		ereport(ERROR, (errmsg("could not open DSM segment \"%s\": %s", name, pgbgw_last_error())));
	seg = dsm_find_mapping(pgbgw_dynamic_handle(d));
	if (!seg)
		seg = dsm_add(d);
	dsm_pin_mapping(seg);
	*found = r == 1;
	return pgbgw_dynamic_address(d);
}

#if PG_VERSION_NUM >= 190000
void *GetNamedDSMSegment(const char *name, size_t size, void (*init_callback)(void *ptr, void *arg), bool *found, void *arg)
{
	struct filling f = { .init_arg = init_callback, .arg = arg };

	return named(name, size, &f, found);
}
#else
void *GetNamedDSMSegment(const char *name, size_t size, void (*init_callback)(void *ptr), bool *found)
{
	struct filling f = { .init = init_callback };

	return named(name, size, &f, found);
}
#endif

#endif
