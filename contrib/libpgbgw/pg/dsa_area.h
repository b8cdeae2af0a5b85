/*
 * Dynamic shared areas (utils/dsa.h), between their files: memory that grows by
 * dynamic segments, and is given out in pieces. A piece's dsa_pointer is the number
 * of its segment and the offset in that, as the segments lie elsewhere in each process.
 *
 * All that an area has is under one lock, in its control.
 */
#ifndef PGBGW_PG_DSA_AREA_H
#define PGBGW_PG_DSA_AREA_H

#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"
#include "utils/resowner.h"

enum {
	AREA_MAGIC = 0x50674473,
	AREA_SEGMENTS = 256,
	AREA_CLASSES = 32, /* of small pieces, by size */
	AREA_PAGE = 4096,
};

/* dsa_pages.c: the pages of a segment, and which of them are used. It lies in the segment. */
struct pages {
	uint32 count, used;
	Size first; /* where the first page is, from the segment's beginning */
	uint32 map[];
};

/* The first segment's beginning, or that of the place. */
struct dsa_control {
	uint32 magic;
	dsa_handle handle; /* of the first segment; DSM_HANDLE_INVALID in a place of the caller's */
	LWLock lock;
	int users;         /* processes, and one for a pin */
	bool pinned;
	Size total, limit, first, most; /* bytes of all segments, at most; of the first segment, of any */
	pg_atomic_uint32 freed;         /* segments that were given back, ever */
	uint32 spare;                   /* an empty segment that is kept; 0 none */
	dsa_pointer partial[AREA_CLASSES]; /* spans that have room */
	struct {
		dsm_handle handle; /* of all but the first */
		Size size;         /* 0: there is none */
		uint32 largest;    /* no run of free pages is longer */
	} segments[AREA_SEGMENTS];
};

struct dsa_area {
	struct dsa_control *control;
	ResourceOwner owner; /* of the mappings; NULL: the process's life */
	uint32 freed;        /* the control's, when the mappings were looked through last */
	struct {
		dsm_segment *segment; /* NULL for a place */
		dsm_handle handle;
		char *base;
	} maps[AREA_SEGMENTS];
};

extern bool pages_init(struct pages *p, Size at, Size size);
extern Size pages_room(Size at, uint32 count);
extern int pages_take(struct pages *p, uint32 n, bool span);
extern uint32 pages_give(struct pages *p, uint32 at);
extern bool pages_find(const struct pages *p, Size offset, uint32 *at, bool *span);

/* dsa.c: the pages of a segment, which is mapped for that; under the lock. */
extern struct pages *area_pages(dsa_area *area, uint32 segment);

/* dsa.c: segments that others have given back are not kept mapped here; under the lock. */
extern void area_sweep(dsa_area *area);

/* dsa.c: a mapping is of the area's owner, not of who first needs it. */
extern void area_own(const dsa_area *area, dsm_segment *segment);

/* dsa_grow.c: a run of pages, 0 when there is none to be had; and its end. Under the lock. */
extern dsa_pointer area_take(dsa_area *area, uint32 n, bool span);
extern void area_give(dsa_area *area, uint32 segment, uint32 page);
extern void area_give_spare(dsa_area *area);

/* dsa.c: what a pointer means here; under the lock, which dsa_get_address must not be called under. */
extern void *area_address(dsa_area *area, dsa_pointer p);

#define AREA_POINTER(segment, offset) ((dsa_pointer)(segment) << 40 | (offset))
#define AREA_SEGMENT(p) ((uint32)((p) >> 40))
#define AREA_OFFSET(p) ((Size)((p) & ((UINT64CONST(1) << 40) - 1)))

#ifndef DSM_HANDLE_INVALID
#define DSM_HANDLE_INVALID 0
#endif

#endif
