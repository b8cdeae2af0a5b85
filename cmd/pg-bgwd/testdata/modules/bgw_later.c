/*
 * A module built for a later minor release, which has a function that the installed one lacks.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

void _PG_init(void);
extern void a_function_of_a_later_minor_release(void);

void _PG_init(void)
{
	a_function_of_a_later_minor_release();
}
