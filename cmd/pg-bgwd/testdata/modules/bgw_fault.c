/*
 * A module whose _PG_init ends the process, or does not end itself, as its
 * parameter says.
 */
#include "postgres.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fmgr.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void _PG_init(void)
{
	static char *way;

	DefineCustomStringVariable("bgw_fault.way", "How to fail.", NULL, &way, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	if (strcmp(way, "fatal") == 0)
		ereport(FATAL, (errmsg("the module gives up")));
	if (strcmp(way, "error") == 0)
		elog(ERROR, "the module cannot go on");
	if (strcmp(way, "exit") == 0)
		exit(7);
	if (strcmp(way, "segv") == 0)
		raise(SIGSEGV);
	while (strcmp(way, "hang") == 0)
		pause();
}
