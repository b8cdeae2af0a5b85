/*
 * A module that calculates, and leaves it to the server to have the mathematical
 * library.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void bgw_math_main(Datum arg);

void bgw_math_main(Datum arg)
{
	volatile double x = 5.5; /* not for the compiler to know */

	BackgroundWorkerUnblockSignals();
	elog(LOG, "the remainder is %.1f", fmod(x, 2));
	proc_exit(0);
}
