/*
 * The pages of one segment of an area. The map has a word for each page, of which
 * those at the ends of a run count: what the run is, and how many pages it has.
 */
#include "internal.h"

#include "dsa_area.h"

enum {
	KIND = 3u << 30,
	FREE = 1u << 30,  /* the first and the last page of a free run: its length */
	LARGE = 2u << 30, /* the first of a piece: its length */
	SPAN = 3u << 30,  /* the first of a span of small pieces: its length */
	/* 0: within a run that is used; in a span, how far behind its first */
};

static uint32 kind(uint32 word)
{
	return word & (uint32)KIND;
}

static uint32 value(uint32 word)
{
	return word & ~(uint32)KIND;
}

static void mark_free(struct pages *p, uint32 at, uint32 n)
{
	if (n > 0)
		p->map[at] = p->map[at + n - 1] = (uint32)FREE | n;
}

/* pages_room is the size of a segment whose pages lie from at on, for so many of them. */
Size pages_room(Size at, uint32 count)
{
	return MAXALIGN(at + sizeof(struct pages) + count * sizeof(uint32)) + (Size)count * AREA_PAGE;
}

/* pages_init lays out a segment of size bytes, in which p is at at; false when it has no room for a page. */
bool pages_init(struct pages *p, Size at, Size size)
{
	Size n = size > at + sizeof *p ? (size - at - sizeof *p) / (AREA_PAGE + sizeof p->map[0]) : 0;

	n = Min(n, value(PG_UINT32_MAX));
	while (n > 0 && pages_room(at, (uint32)n) > size)
		n--;
	p->count = (uint32)n;
	p->used = 0;
	p->first = MAXALIGN(at + sizeof *p + n * sizeof p->map[0]);
	mark_free(p, 0, p->count);
	return n > 0;
}

/* pages_take takes the first run that has n pages; -1 when none has. */
int pages_take(struct pages *p, uint32 n, bool span)
{
	uint32 i, length;

	for (i = 0; i < p->count; i += length) {
		length = value(p->map[i]);
		if (kind(p->map[i]) != (uint32)FREE || length < n)
			continue;
		mark_free(p, i + n, length - n);
		p->map[i + n - 1] = 0;
		for (uint32 k = 1; span && k < n; k++)
			p->map[i + k] = k;
		p->map[i] = (span ? (uint32)SPAN : (uint32)LARGE) | n;
		p->used += n;
		return (int)i;
	}
	return -1;
}

/* pages_give ends the run at a page, and returns the length of the free one that it is now part of. */
uint32 pages_give(struct pages *p, uint32 at)
{
	uint32 n = value(p->map[at]);

	p->used -= n;
	if (at + n < p->count && kind(p->map[at + n]) == (uint32)FREE)
		n += value(p->map[at + n]);
	if (at > 0 && kind(p->map[at - 1]) == (uint32)FREE) {
		uint32 before = value(p->map[at - 1]);

		at -= before;
		n += before;
	}
	mark_free(p, at, n);
	return n;
}

/* pages_find returns the first page of the run that an offset is in; false when no piece is there. */
bool pages_find(const struct pages *p, Size offset, uint32 *at, bool *span)
{
	Size page = offset >= p->first ? (offset - p->first) / AREA_PAGE : p->count;

	if (page >= p->count)
		return false;
	*at = (uint32)page;
	if (kind(p->map[page]) == 0 && value(p->map[page]) <= page)
		*at -= value(p->map[page]);
	*span = kind(p->map[*at]) == (uint32)SPAN;
	return *span || kind(p->map[*at]) == (uint32)LARGE;
}
