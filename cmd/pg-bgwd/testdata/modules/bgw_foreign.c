/*
 * A library that says it was built for another release (BGW-098).
 */
#include "postgres.h"

#include "fmgr.h"

void _PG_init(void);
extern PGDLLEXPORT const Pg_magic_struct *Pg_magic_func(void);

const Pg_magic_struct *Pg_magic_func(void)
{
	static Pg_magic_struct magic;

	memset(&magic, 0, sizeof magic);
#if PG_VERSION_NUM >= 180000
	magic.len = sizeof magic;
	magic.abi_fields.version = 9906;
#else
	magic.len = sizeof magic;
	magic.version = 9906;
#endif
	return &magic;
}

void _PG_init(void)
{
	elog(LOG, "a library of another release was run");
}
