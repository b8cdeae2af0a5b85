/*
 * Dynamic shared memory: dsm_create and its family over the dynamic segments of
 * libpgbgw, memfds that the supervisor makes, counts and passes. A handle is
 * the same number in a module, in C, in Go and in Python.
 */
#include "internal.h"

#include "storage/dsm.h"
#include "storage/ipc.h"

#include "dsm.h"
#include "resowner.h"
#include "supervisor.h"

struct callback {
	struct callback *next;
	on_dsm_detach_callback function;
	Datum arg;
};

struct dsm_segment {
	dsm_segment *next;
	pgbgw_dynamic *dynamic;
	ResourceOwner owner; /* NULL: for the process's life */
	struct callback *callbacks; /* the newest first */
};

static dsm_segment *segments; /* the newest first */

dsm_segment *dsm_add(pgbgw_dynamic *d)
{
	dsm_segment *s = MemoryContextAllocZero(TopMemoryContext, sizeof *s);

	s->dynamic = d;
	s->owner = CurrentResourceOwner;
	s->next = segments;
	segments = s;
	return s;
}

static void need_supervisor(void)
{
	if (!the_pgbgw)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("dynamic shared memory segments exist in workers only")));
}

dsm_segment *dsm_create(Size size, int flags)
{
	pgbgw_dynamic *d;
	int error;

	need_supervisor();
	error = HELD(pgbgw_dynamic_create(the_pgbgw, size, &d));
	if (error == -EDQUOT && (flags & DSM_CREATE_NULL_IF_MAXSEGMENTS))
		return NULL;
	if (error == -EDQUOT)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("too many dynamic shared memory segments"),
				errdetail("%s", pgbgw_last_error())));
	if (error < 0)
		ereport(ERROR, (errcode(error == -ENOMEM ? ERRCODE_OUT_OF_MEMORY : ERRCODE_SYSTEM_ERROR),
				errmsg("could not create a dynamic shared memory segment of %zu bytes: %s", size, pgbgw_last_error())));
	return dsm_add(d);
}

/* NULL: nobody has it any more (BGW-136). */
dsm_segment *dsm_attach(dsm_handle h)
{
	pgbgw_dynamic *d;
	int error;

	need_supervisor();
	if (dsm_find_mapping(h)) /* BGW-137 */
		elog(ERROR, "can't attach the same segment more than once");
	error = HELD(pgbgw_dynamic_attach(the_pgbgw, h, &d));
	if (error == -ENOENT || error == -EINVAL)
		return NULL;
	if (error < 0)
		ereport(ERROR, (errmsg("could not attach to dynamic shared memory segment %u: %s", h, pgbgw_last_error())));
	return dsm_add(d);
}

/* Each callback is taken off before it is called: one that fails is not called again. */
static void call_back(dsm_segment *seg)
{
	struct callback *c;

	while ((c = seg->callbacks)) {
		on_dsm_detach_callback function = c->function;
		Datum arg = c->arg;

		seg->callbacks = c->next;
		pfree(c);
		function(seg, arg);
	}
}

/* BGW-138: the callbacks, the last one first, while the memory is there. */
void dsm_detach(dsm_segment *seg)
{
	dsm_segment **at = &segments;

	HOLD_INTERRUPTS();
	call_back(seg);
	RESUME_INTERRUPTS();
	while (*at && *at != seg)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = seg->next;
	(void)HELD(pgbgw_dynamic_detach(seg->dynamic));
	pfree(seg);
}

void dsm_detach_all(void)
{
	while (segments)
		dsm_detach(segments);
}

void dsm_backend_shutdown(void)
{
	dsm_detach_all();
}

void segments_detach(void)
{
	dsm_detach_all();
}

void segments_release(ResourceOwner owner, bool commit)
{
	for (dsm_segment *s = segments; s;) {
		if (s->owner != owner) {
			s = s->next;
			continue;
		}
		if (commit)
			elog(WARNING, "dynamic shared memory leak: segment %u still referenced", dsm_segment_handle(s));
		s->owner = NULL;
		dsm_detach(s);
		s = segments; /* its callbacks may have detached others */
	}
}

void dsm_pin_mapping(dsm_segment *seg)
{
	seg->owner = NULL;
}

void dsm_unpin_mapping(dsm_segment *seg)
{
	seg->owner = CurrentResourceOwner;
}

void dsm_pin_segment(dsm_segment *seg)
{
	int error = HELD(pgbgw_dynamic_pin(seg->dynamic));

	if (error == -EEXIST)
		elog(ERROR, "cannot pin a segment that is already pinned");
	if (error < 0)
		elog(ERROR, "cannot pin segment %u: %s", dsm_segment_handle(seg), pgbgw_last_error());
}

void dsm_unpin_segment(dsm_handle h)
{
	int error;

	need_supervisor();
	error = HELD(pgbgw_dynamic_unpin(the_pgbgw, h));
	if (error == -ENOENT)
		elog(ERROR, "cannot unpin unknown segment handle");
	if (error == -EINVAL)
		elog(ERROR, "cannot unpin a segment that is not pinned");
	if (error < 0)
		elog(ERROR, "cannot unpin segment %u: %s", h, pgbgw_last_error());
}

dsm_segment *dsm_find_mapping(dsm_handle h)
{
	for (dsm_segment *s = segments; s; s = s->next)
		if (dsm_segment_handle(s) == h)
			return s;
	return NULL;
}

void *dsm_segment_address(dsm_segment *seg)
{
	return pgbgw_dynamic_address(seg->dynamic);
}

Size dsm_segment_map_length(dsm_segment *seg)
{
	return pgbgw_dynamic_size(seg->dynamic);
}

dsm_handle dsm_segment_handle(dsm_segment *seg)
{
	return pgbgw_dynamic_handle(seg->dynamic);
}

void on_dsm_detach(dsm_segment *seg, on_dsm_detach_callback function, Datum arg)
{
	struct callback *c = MemoryContextAlloc(TopMemoryContext, sizeof *c);

	*c = (struct callback){ seg->callbacks, function, arg };
	seg->callbacks = c;
}

void cancel_on_dsm_detach(dsm_segment *seg, on_dsm_detach_callback function, Datum arg)
{
	for (struct callback **at = &seg->callbacks; *at; at = &(*at)->next)
		if ((*at)->function == function && (*at)->arg == arg) {
			struct callback *gone = *at;

			*at = gone->next;
			pfree(gone);
			return;
		}
}

void reset_on_dsm_detach(void)
{
	for (dsm_segment *s = segments; s; s = s->next)
		while (s->callbacks) {
			struct callback *gone = s->callbacks;

			s->callbacks = gone->next;
			pfree(gone);
		}
}
