/*
 * A module that looks at the server's buffers, and has a worker that would.
 */
#include "postgres.h"

#include "fmgr.h"
#include "storage/buf_internals.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void bgw_inner_main(Datum arg);

void bgw_inner_main(Datum arg)
{
	elog(LOG, "the first buffer's descriptor is at %p", (void *)GetBufferDescriptor(0));
}
