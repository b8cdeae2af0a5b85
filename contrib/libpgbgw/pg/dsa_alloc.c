/*
 * Pieces of an area. Small ones lie in spans, runs of pages whose pieces are all of
 * one size, with a list of those that were given back; larger ones are runs of their own.
 */
#include "internal.h"

#include "dsa_area.h"

enum { SMALL_MAX = 8192, STEP = 16, EVEN_CLASSES = 8 /* of 16 bytes more each; then four to a doubling */ };

/* The beginning of a span. */
struct span {
	dsa_pointer next, prev; /* of the spans of this class that have room */
	dsa_pointer free;       /* pieces that were given back; each begins with the next */
	uint32 class, room, used, fresh; /* pieces in all; given out; never given out */
};

static uint32 class_of(Size size)
{
	Size base = EVEN_CLASSES * STEP;
	uint32 class = EVEN_CLASSES;

	if (size <= base)
		return (uint32)((size + STEP - 1) / STEP - 1);
	for (; size > base * 2; base *= 2)
		class += 4;
	return class + (uint32)((size - base - 1) / (base / 4));
}

static Size size_of(uint32 class)
{
	Size base = EVEN_CLASSES * STEP;

	if (class < EVEN_CLASSES)
		return (class + 1) * STEP;
	base <<= (class - EVEN_CLASSES) / 4;
	return base + base / 4 * ((class - EVEN_CLASSES) % 4 + 1);
}

static void link_span(dsa_area *area, dsa_pointer p)
{
	struct span *s = area_address(area, p);
	dsa_pointer *first = &area->control->partial[s->class];

	s->next = *first;
	s->prev = InvalidDsaPointer;
	if (DsaPointerIsValid(s->next))
		((struct span *)area_address(area, s->next))->prev = p;
	*first = p;
}

static void unlink_span(dsa_area *area, const struct span *s)
{
	if (DsaPointerIsValid(s->next))
		((struct span *)area_address(area, s->next))->prev = s->prev;
	if (DsaPointerIsValid(s->prev))
		((struct span *)area_address(area, s->prev))->next = s->next;
	else
		area->control->partial[s->class] = s->next;
}

static dsa_pointer new_span(dsa_area *area, uint32 class)
{
	uint32 pages = size_of(class) <= 1024 ? 4 : 16;
	dsa_pointer p = area_take(area, pages, true);
	struct span *s;

	if (!DsaPointerIsValid(p))
		return p;
	s = area_address(area, p);
	memset(s, 0, sizeof *s);
	s->class = class;
	s->room = (uint32)((pages * AREA_PAGE - MAXALIGN(sizeof *s)) / size_of(class));
	link_span(area, p);
	return p;
}

static dsa_pointer small(dsa_area *area, uint32 class)
{
	dsa_pointer p = area->control->partial[class], piece;
	struct span *s;

	if (!DsaPointerIsValid(p))
		p = new_span(area, class);
	if (!DsaPointerIsValid(p))
		return p;
	s = area_address(area, p);
	piece = s->free;
	if (DsaPointerIsValid(piece))
		s->free = *(dsa_pointer *)area_address(area, piece);
	else
		piece = p + MAXALIGN(sizeof *s) + s->fresh++ * size_of(class);
	if (++s->used == s->room)
		unlink_span(area, s);
	return piece;
}

static bool too_large(Size size, int flags)
{
	return flags & DSA_ALLOC_HUGE ? !AllocHugeSizeIsValid(size) || size > (Size)PG_INT32_MAX * AREA_PAGE : !AllocSizeIsValid(size);
}

dsa_pointer dsa_allocate_extended(dsa_area *area, size_t size, int flags)
{
	dsa_pointer p;

	if (size == 0 || too_large(size, flags))
		elog(ERROR, "invalid DSA memory alloc request size %zu", size);
	LWLockAcquire(&area->control->lock, LW_EXCLUSIVE);
	if (size <= SMALL_MAX)
		p = small(area, class_of(size));
	else
		p = area_take(area, (uint32)((size + AREA_PAGE - 1) / AREA_PAGE), false);
	LWLockRelease(&area->control->lock);
	if (!DsaPointerIsValid(p) && !(flags & DSA_ALLOC_NO_OOM))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				errdetail("Failed on DSA request of size %zu.", size)));
	if (DsaPointerIsValid(p) && (flags & DSA_ALLOC_ZERO))
		memset(dsa_get_address(area, p), 0, size);
	return p;
}

/* A span that is empty goes, unless it is the only one of its class with room. */
static void free_small(dsa_area *area, dsa_pointer span, uint32 page, dsa_pointer piece)
{
	struct span *s = area_address(area, span);

	if (s->used-- == s->room)
		link_span(area, span);
	*(dsa_pointer *)area_address(area, piece) = s->free;
	s->free = piece;
	if (s->used > 0 || (!DsaPointerIsValid(s->next) && !DsaPointerIsValid(s->prev)))
		return;
	unlink_span(area, s);
	area_give(area, AREA_SEGMENT(span), page);
}

void dsa_free(dsa_area *area, dsa_pointer dp)
{
	uint32 segment = AREA_SEGMENT(dp), page = 0;
	bool span = false, found;
	struct pages *p;

	LWLockAcquire(&area->control->lock, LW_EXCLUSIVE);
	p = area_pages(area, segment);
	found = pages_find(p, AREA_OFFSET(dp), &page, &span);
	if (found && span)
		free_small(area, AREA_POINTER(segment, p->first + (Size)page * AREA_PAGE), page, dp);
	else if (found)
		area_give(area, segment, page);
	LWLockRelease(&area->control->lock);
	if (!found)
		elog(ERROR, "dsa_pointer " DSA_POINTER_FORMAT " is not that of allocated memory", dp);
}

/* dsa_trim gives back what is kept for the next piece. */
void dsa_trim(dsa_area *area)
{
	LWLockAcquire(&area->control->lock, LW_EXCLUSIVE);
	for (int class = 0; class < AREA_CLASSES; class++) {
		dsa_pointer p = area->control->partial[class];

		while (DsaPointerIsValid(p)) {
			struct span *s = area_address(area, p);
			dsa_pointer next = s->next;
			uint32 page;
			bool span;

			if (s->used == 0 && pages_find(area_pages(area, AREA_SEGMENT(p)), AREA_OFFSET(p), &page, &span)) {
				unlink_span(area, s);
				area_give(area, AREA_SEGMENT(p), page);
			}
			p = next;
		}
	}
	area_give_spare(area);
	LWLockRelease(&area->control->lock);
}
