/*
 * Dynamic shared areas: making them, attaching to them, and their end, which comes
 * when the last process that has one has detached from it.
 */
#include "internal.h"

#include "storage/ipc.h"

#include "dsa_area.h"

#ifndef DSA_DEFAULT_INIT_SEGMENT_SIZE
#define DSA_DEFAULT_INIT_SEGMENT_SIZE ((size_t)1 << 20)
#define DSA_MAX_SEGMENT_SIZE ((size_t)1 << 40)
#endif

static const Size head = MAXALIGN(sizeof(struct dsa_control));

size_t dsa_minimum_size(void)
{
	return pages_room(head, 4);
}

static dsa_area *new_area(void *place, dsm_segment *segment)
{
	dsa_area *a = palloc0(sizeof *a);

	a->control = place;
	a->owner = CurrentResourceOwner;
	a->maps[0].segment = segment;
	a->maps[0].base = place;
	return a;
}

/* begin lays out an area in memory of its own or of the caller. */
static void begin(void *place, Size size, int tranche, dsa_handle handle, Size first, Size most)
{
	struct dsa_control *c = place;
	struct pages *p = (struct pages *)((char *)place + head);

	if (size < dsa_minimum_size())
		elog(ERROR, "dsa_area space must be at least %zu, but %zu provided", dsa_minimum_size(), size);
	memset(c, 0, sizeof *c);
	LWLockInitialize(&c->lock, tranche);
	pg_atomic_init_u32(&c->freed, 0);
	c->handle = handle;
	c->users = 1;
	c->limit = (Size)-1;
	c->first = Max(first, dsa_minimum_size());
	c->most = Max(Min(most, DSA_MAX_SEGMENT_SIZE), c->first);
	c->total = c->segments[0].size = size;
	pages_init(p, head, size);
	c->segments[0].largest = p->count;
	c->magic = AREA_MAGIC;
}

static dsa_area *create(int tranche, Size first, Size most)
{
	dsm_segment *s = dsm_create(Max(first, dsa_minimum_size()), 0);

	dsm_pin_segment(s); /* until the last user has gone */
	begin(dsm_segment_address(s), Max(first, dsa_minimum_size()), tranche, dsm_segment_handle(s), first, most);
	on_dsm_detach(s, dsa_on_dsm_detach_release_in_place, PointerGetDatum(dsm_segment_address(s)));
	return new_area(dsm_segment_address(s), s);
}

static dsa_area *create_in_place(void *place, Size size, int tranche, dsm_segment *segment, Size first, Size most)
{
	begin(place, size, tranche, DSM_HANDLE_INVALID, first, most);
	if (segment)
		on_dsm_detach(segment, dsa_on_dsm_detach_release_in_place, PointerGetDatum(place));
	return new_area(place, NULL);
}

#if PG_VERSION_NUM >= 170000
dsa_area *dsa_create_ext(int tranche_id, size_t init_segment_size, size_t max_segment_size)
{
	return create(tranche_id, init_segment_size, max_segment_size);
}

dsa_area *dsa_create_in_place_ext(void *place, size_t size, int tranche_id, dsm_segment *segment, size_t init_segment_size,
				  size_t max_segment_size)
{
	return create_in_place(place, size, tranche_id, segment, init_segment_size, max_segment_size);
}

size_t dsa_get_total_size(dsa_area *area)
{
	Size total;

	LWLockAcquire(&area->control->lock, LW_SHARED);
	total = area->control->total;
	LWLockRelease(&area->control->lock);
	return total;
}
#else
dsa_area *dsa_create(int tranche_id)
{
	return create(tranche_id, DSA_DEFAULT_INIT_SEGMENT_SIZE, DSA_MAX_SEGMENT_SIZE);
}

dsa_area *dsa_create_in_place(void *place, size_t size, int tranche_id, dsm_segment *segment)
{
	return create_in_place(place, size, tranche_id, segment, DSA_DEFAULT_INIT_SEGMENT_SIZE, DSA_MAX_SEGMENT_SIZE);
}
#endif

static bool join(struct dsa_control *c)
{
	bool lives = c->magic == AREA_MAGIC;

	if (!lives)
		return false;
	LWLockAcquire(&c->lock, LW_EXCLUSIVE);
	lives = c->users > 0;
	c->users += lives;
	LWLockRelease(&c->lock);
	return lives;
}

static void gone(void)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("could not attach to dynamic shared area")));
}

dsa_area *dsa_attach(dsa_handle handle)
{
	dsm_segment *s = dsm_attach(handle);
	dsa_area *a;

	if (!s)
		gone();
	if (!join(dsm_segment_address(s))) {
		dsm_detach(s);
		gone();
	}
	on_dsm_detach(s, dsa_on_dsm_detach_release_in_place, PointerGetDatum(dsm_segment_address(s)));
	a = new_area(dsm_segment_address(s), s);
	a->freed = pg_atomic_read_u32(&a->control->freed);
	return a;
}

dsa_area *dsa_attach_in_place(void *place, dsm_segment *segment)
{
	dsa_area *a;

	if (!join(place))
		gone();
	if (segment)
		on_dsm_detach(segment, dsa_on_dsm_detach_release_in_place, PointerGetDatum(place));
	a = new_area(place, NULL);
	a->freed = pg_atomic_read_u32(&a->control->freed);
	return a;
}

/* The last one lets the segments go: they are there until they are detached from. */
void dsa_release_in_place(void *place)
{
	struct dsa_control *c = place;

	LWLockAcquire(&c->lock, LW_EXCLUSIVE);
	if (--c->users == 0) {
		for (int i = 1; i < AREA_SEGMENTS; i++)
			if (c->segments[i].size > 0)
				dsm_unpin_segment(c->segments[i].handle);
		if (c->handle != DSM_HANDLE_INVALID)
			dsm_unpin_segment(c->handle);
	}
	LWLockRelease(&c->lock);
}

void dsa_on_dsm_detach_release_in_place(dsm_segment *segment, Datum place)
{
	dsa_release_in_place(DatumGetPointer(place));
}

void dsa_on_shmem_exit_release_in_place(int code, Datum place)
{
	dsa_release_in_place(DatumGetPointer(place));
}

void dsa_pin_mapping(dsa_area *area)
{
	area->owner = NULL;
	for (int i = 0; i < AREA_SEGMENTS; i++)
		if (area->maps[i].segment)
			dsm_pin_mapping(area->maps[i].segment);
}

/* The first segment is the last: in it is what the others are found by. */
void dsa_detach(dsa_area *area)
{
	for (int i = AREA_SEGMENTS; --i >= 0;)
		if (area->maps[i].segment)
			dsm_detach(area->maps[i].segment);
	pfree(area);
}

static void change_pin(dsa_area *area, bool pin)
{
	struct dsa_control *c = area->control;
	bool was;

	LWLockAcquire(&c->lock, LW_EXCLUSIVE);
	was = c->pinned;
	c->pinned = pin;
	if (was != pin)
		c->users += pin ? 1 : -1;
	LWLockRelease(&c->lock);
	if (was == pin)
		elog(ERROR, pin ? "dsa_area already pinned" : "dsa_area not pinned");
}

void dsa_pin(dsa_area *area)
{
	change_pin(area, true);
}

void dsa_unpin(dsa_area *area)
{
	change_pin(area, false);
}

void dsa_set_size_limit(dsa_area *area, size_t limit)
{
	LWLockAcquire(&area->control->lock, LW_EXCLUSIVE);
	area->control->limit = limit;
	LWLockRelease(&area->control->lock);
}

dsa_handle dsa_get_handle(dsa_area *area)
{
	return area->control->handle;
}

/* area_sweep detaches from segments that others have given back; under the lock. */
void area_sweep(dsa_area *area)
{
	uint32 freed = pg_atomic_read_u32(&area->control->freed);

	if (area->freed == freed)
		return;
	for (int i = 1; i < AREA_SEGMENTS; i++)
		if (area->maps[i].segment && area->maps[i].handle != area->control->segments[i].handle) {
			dsm_detach(area->maps[i].segment);
			memset(&area->maps[i], 0, sizeof area->maps[i]);
		}
	area->freed = freed;
}

void area_own(const dsa_area *area, dsm_segment *segment)
{
	ResourceOwner current = CurrentResourceOwner;

	if (!area->owner) {
		dsm_pin_mapping(segment);
		return;
	}
	CurrentResourceOwner = area->owner;
	dsm_unpin_mapping(segment);
	CurrentResourceOwner = current;
}

static char *base(dsa_area *area, uint32 segment)
{
	dsm_handle handle;
	dsm_segment *s;

	if (segment >= AREA_SEGMENTS || area->control->segments[segment].size == 0)
		elog(ERROR, "dsa_area has no segment %u", segment);
	if (area->maps[segment].base)
		return area->maps[segment].base;
	handle = area->control->segments[segment].handle;
	s = dsm_attach(handle);
	if (!s)
		elog(ERROR, "dsa_area could not attach to segment");
	area_own(area, s);
	area->maps[segment].segment = s;
	area->maps[segment].handle = handle;
	return area->maps[segment].base = dsm_segment_address(s);
}

void *area_address(dsa_area *area, dsa_pointer p)
{
	area_sweep(area);
	return base(area, AREA_SEGMENT(p)) + AREA_OFFSET(p);
}

struct pages *area_pages(dsa_area *area, uint32 segment)
{
	area_sweep(area);
	return (struct pages *)(base(area, segment) + (segment == 0 ? head : 0));
}

/* The lock is only needed for what is seldom: memory of the caller's cannot go. */
void *dsa_get_address(dsa_area *area, dsa_pointer dp)
{
	void *at;

	if (!DsaPointerIsValid(dp))
		return NULL;
	if (area->freed == pg_atomic_read_u32(&area->control->freed) && AREA_SEGMENT(dp) < AREA_SEGMENTS &&
	    area->maps[AREA_SEGMENT(dp)].base)
		return area->maps[AREA_SEGMENT(dp)].base + AREA_OFFSET(dp);
	LWLockAcquire(&area->control->lock, LW_SHARED);
	at = area_address(area, dp);
	LWLockRelease(&area->control->lock);
	return at;
}

void dsa_dump(dsa_area *area)
{
	struct dsa_control *c = area->control;

	LWLockAcquire(&c->lock, LW_SHARED);
	fprintf(stderr, "dsa_area handle %x: %zu bytes of at most %zu, users %d, pinned %d\n", c->handle, c->total, c->limit,
		c->users, c->pinned);
	for (uint32 i = 0; i < AREA_SEGMENTS; i++)
		if (c->segments[i].size > 0)
			fprintf(stderr, "  segment %u: %zu bytes, %u of %u pages used\n", i, c->segments[i].size, area_pages(area, i)->used,
				area_pages(area, i)->count);
	LWLockRelease(&c->lock);
}
