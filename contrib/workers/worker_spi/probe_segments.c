/*
 * Dynamic segments and tables of contents (BGW-135 to BGW-141).
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "pgstat.h"

#include "child.h"

static char order[64];

static void note(dsm_segment *seg, Datum arg)
{
	/* the memory is still there */
	snprintf(order + strlen(order), sizeof order - strlen(order), "%c%s", DatumGetChar(arg),
		 *(char *)dsm_segment_address(seg) == 'x' ? "" : "?");
}

static dsm_segment *the_segment;
static dsm_handle the_handle;
static shm_toc *the_toc;

static void attach_again(void)
{
	(void)dsm_attach(the_handle);
}

static void pin_again(void)
{
	dsm_pin_segment(the_segment);
}

static void unpin(void)
{
	dsm_unpin_segment(the_handle);
}

static void look_up(void)
{
	PG_TRY();
	{
		(void)shm_toc_lookup(the_toc, 99, false);
	}
	PG_CATCH();
	{
		FlushErrorState(); /* its text has an address */
		ereport(ERROR, (errmsg("not found")));
	}
	PG_END_TRY();
}

static void fill_up(void)
{
	for (;;)
		memset(shm_toc_allocate(the_toc, 100), 'y', 100);
}

static void probe_mapping(void)
{
	order[0] = '\0';
	the_segment = dsm_create(10000, 0);
	the_handle = dsm_segment_handle(the_segment);
	saw("handle", "%d %d", the_handle != 0, the_handle % 2 == 0);
	saw("length", "%zu", dsm_segment_map_length(the_segment));
	saw("zeros", "%d", *(int64 *)dsm_segment_address(the_segment) == 0);
	*(char *)dsm_segment_address(the_segment) = 'x';
	saw("found", "%d %d", dsm_find_mapping(the_handle) == the_segment, dsm_find_mapping(the_handle + 1) == NULL);
	probe_error("BGW-137", attach_again);
	for (const char *c = "abcd"; *c; c++)
		on_dsm_detach(the_segment, note, CharGetDatum(*c));
	cancel_on_dsm_detach(the_segment, note, CharGetDatum('b'));
	dsm_detach(the_segment);
	saw("BGW-138", "%s", order);
	saw("BGW-136", "%d", dsm_attach(the_handle) == NULL);
	probe_error("unpin unknown", unpin);
	the_segment = dsm_create(1, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	the_handle = dsm_segment_handle(the_segment);
	on_dsm_detach(the_segment, note, CharGetDatum('r'));
	reset_on_dsm_detach();
	dsm_detach(the_segment);
	saw("reset", "%s", order);
}

/* BGW-135 */
static void probe_pins(void)
{
	the_segment = dsm_create(5000, 0);
	the_handle = dsm_segment_handle(the_segment);
	*(char *)dsm_segment_address(the_segment) = 'p';
	probe_error("unpin unpinned", unpin);
	dsm_pin_segment(the_segment);
	probe_error("pin twice", pin_again);
	dsm_detach(the_segment);
	the_segment = dsm_attach(the_handle);
	saw("pinned", "%d", the_segment != NULL && *(char *)dsm_segment_address(the_segment) == 'p');
	dsm_unpin_segment(the_handle);
	saw("still mapped", "%c", *(char *)dsm_segment_address(the_segment));
	dsm_detach(the_segment);
	saw("gone", "%d", dsm_attach(the_handle) == NULL);
}

/* A mapping belongs to the transaction it was made in, unless it is pinned. */
static void probe_owners(void)
{
	dsm_segment *kept;
	dsm_handle handle;

	order[0] = '\0';
	StartTransactionCommand();
	the_segment = dsm_create(100, 0);
	kept = dsm_create(100, 0);
	dsm_pin_mapping(kept);
	handle = dsm_segment_handle(kept);
	*(char *)dsm_segment_address(the_segment) = *(char *)dsm_segment_address(kept) = 'x';
	on_dsm_detach(the_segment, note, CharGetDatum('t'));
	on_dsm_detach(kept, note, CharGetDatum('k'));
	the_handle = dsm_segment_handle(the_segment);
	AbortCurrentTransaction();
	saw("aborted", "%s %d %d", order, dsm_find_mapping(the_handle) == NULL, dsm_find_mapping(handle) == kept);
	StartTransactionCommand();
	dsm_unpin_mapping(kept);
	CommitTransactionCommand(); /* with a warning */
	saw("committed", "%s %d", order, dsm_find_mapping(handle) == NULL);
}

static void probe_toc(void)
{
	shm_toc_estimator e;
	Size size;
	char *first, *chunk;

	shm_toc_initialize_estimator(&e);
	shm_toc_estimate_chunk(&e, 100);
	shm_toc_estimate_chunk(&e, 1);
	shm_toc_estimate_keys(&e, 2);
	size = shm_toc_estimate(&e);
	the_segment = dsm_create(size, 0);
	the_toc = shm_toc_create(TOC_MAGIC, dsm_segment_address(the_segment), size);
	first = shm_toc_allocate(the_toc, 100);
	memset(first, 'f', 100);
	shm_toc_insert(the_toc, 7, first);
	chunk = shm_toc_allocate(the_toc, 1);
	shm_toc_insert(the_toc, 8, chunk);
	saw("estimate was enough", "%d %d", chunk < first, shm_toc_lookup(the_toc, 8, true) == chunk);
	saw("BGW-140", "%d %d", shm_toc_attach(TOC_MAGIC + 1, dsm_segment_address(the_segment)) == NULL,
	    shm_toc_attach(TOC_MAGIC, dsm_segment_address(the_segment)) == the_toc);
	saw("no such key", "%d", shm_toc_lookup(the_toc, 99, true) == NULL);
	probe_error("no such key", look_up);
	probe_error("BGW-141", fill_up);
	saw("intact", "%c %c", *(char *)shm_toc_lookup(the_toc, 7, false), first[99]);
	dsm_detach(the_segment);
}

void probe_segments(void)
{
	probe_mapping();
	probe_pins();
	probe_owners();
	probe_toc();
}
