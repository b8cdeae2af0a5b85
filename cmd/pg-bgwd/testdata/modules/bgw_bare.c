/*
 * A library without the magic block (BGW-098).
 */
#include "postgres.h"

void _PG_init(void);

void _PG_init(void)
{
	elog(LOG, "a library without the magic block was run");
}
