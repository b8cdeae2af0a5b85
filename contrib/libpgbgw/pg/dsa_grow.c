/*
 * Runs of pages of an area, from the segments that it has or from a new one.
 */
#include "internal.h"

#include "dsa_area.h"

/* create makes a segment that outlives who makes it; NULL when there may be no more. */
static dsm_segment *create(dsa_area *area, Size size)
{
	dsm_segment *s = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);

	if (!s)
		return NULL;
	area_own(area, s);
	dsm_pin_segment(s);
	return s;
}

/* size_of_next is that of a new segment, which grow as the area does, and hold n pages. */
static Size size_of_next(const struct dsa_control *c, uint32 segment, uint32 n)
{
	Size least = pages_room(0, n), size = c->first;

	for (uint32 i = 2; i <= segment && size < c->most; i += 2) /* two of each size */
		size *= 2;
	size = Max(Min(size, c->most), least);
	if (c->total + size > c->limit)
		size = c->limit > c->total ? c->limit - c->total : 0;
	return size >= least ? size : 0;
}

/* grow adds a segment with a run of n pages: its number, or 0. */
static uint32 grow(dsa_area *area, uint32 n)
{
	struct dsa_control *c = area->control;
	uint32 i = 1;
	dsm_segment *s;
	Size size;

	area_sweep(area); /* what was mapped in the new one's place */
	while (i < AREA_SEGMENTS && c->segments[i].size > 0)
		i++;
	if (i == AREA_SEGMENTS || (size = size_of_next(c, i, n)) == 0)
		return 0;
	s = create(area, size);
	if (!s && size > pages_room(0, n)) {
		size = pages_room(0, n);
		s = create(area, size);
	}
	if (!s)
		return 0;
	area->maps[i].segment = s;
	area->maps[i].handle = dsm_segment_handle(s);
	area->maps[i].base = dsm_segment_address(s);
	pages_init((struct pages *)area->maps[i].base, 0, size);
	c->segments[i].handle = area->maps[i].handle;
	c->segments[i].size = size;
	c->segments[i].largest = ((struct pages *)area->maps[i].base)->count;
	c->total += size;
	return i;
}

static dsa_pointer take_from(dsa_area *area, uint32 segment, uint32 n, bool span)
{
	struct pages *p = area_pages(area, segment);
	int at = pages_take(p, n, span);

	if (at < 0) {
		area->control->segments[segment].largest = n - 1;
		return InvalidDsaPointer;
	}
	if (area->control->spare == segment)
		area->control->spare = 0;
	return AREA_POINTER(segment, p->first + (Size)at * AREA_PAGE);
}

dsa_pointer area_take(dsa_area *area, uint32 n, bool span)
{
	struct dsa_control *c = area->control;
	uint32 added;

	for (uint32 i = 0; i < AREA_SEGMENTS; i++) {
		dsa_pointer p = c->segments[i].size > 0 && c->segments[i].largest >= n ? take_from(area, i, n, span) : InvalidDsaPointer;

		if (DsaPointerIsValid(p))
			return p;
	}
	added = grow(area, n);
	return added ? take_from(area, added, n, span) : InvalidDsaPointer;
}

static void drop(dsa_area *area, uint32 segment)
{
	struct dsa_control *c = area->control;
	dsm_handle handle = c->segments[segment].handle;

	c->total -= c->segments[segment].size;
	memset(&c->segments[segment], 0, sizeof c->segments[segment]);
	pg_atomic_fetch_add_u32(&c->freed, 1);
	dsm_unpin_segment(handle);
	if (area->maps[segment].segment) /* else nothing of it was needed here */
		dsm_detach(area->maps[segment].segment);
	memset(&area->maps[segment], 0, sizeof area->maps[segment]);
}

/* A segment that is empty goes, but for one of the smaller: the next piece would have to make it anew. */
void area_give(dsa_area *area, uint32 segment, uint32 page)
{
	struct dsa_control *c = area->control;
	struct pages *p = area_pages(area, segment);
	uint32 run = pages_give(p, page);

	c->segments[segment].largest = Max(c->segments[segment].largest, run);
	if (segment == 0 || p->used > 0)
		return;
	if (c->spare == 0 && c->segments[segment].size <= 4 * c->first)
		c->spare = segment;
	else
		drop(area, segment);
}

void area_give_spare(dsa_area *area)
{
	if (area->control->spare)
		drop(area, area->control->spare);
	area->control->spare = 0;
}
