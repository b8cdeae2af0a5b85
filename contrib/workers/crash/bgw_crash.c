/*
 * A module with a bug that comes when it is called: its worker, connected to a
 * database and otherwise idle, follows a null pointer on SIGUSR2. A second worker
 * of it, the neighbour, has nothing to do with that. Nothing here knows of pg-bgw:
 * `packaging/dev run crash` shows the same file inside PostgreSQL and beside it.
 */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void _PG_init(void);
extern PGDLLEXPORT void bgw_crash_main(Datum arg);
extern PGDLLEXPORT void bgw_crash_neighbour_main(Datum arg);

static volatile sig_atomic_t called;
static bool neighbour;

static void on_call(SIGNAL_ARGS)
{
	int saved = errno;

	called = true;
	SetLatch(MyLatch);
	errno = saved;
}

static void stay(void)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection("postgres", NULL, 0);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;) {
		(void)WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (called)
			*(volatile int *)NULL = 1;
	}
}

void bgw_crash_main(Datum arg)
{
	pqsignal(SIGUSR2, on_call);
	stay();
}

void bgw_crash_neighbour_main(Datum arg)
{
	stay();
}

static void enlist(const char *name, const char *function)
{
	BackgroundWorker w;

	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	w.bgw_start_time = BgWorkerStart_RecoveryFinished;
	w.bgw_restart_time = 1;
	snprintf(w.bgw_name, BGW_MAXLEN, "%s", name);
	snprintf(w.bgw_type, BGW_MAXLEN, "%s", name);
	snprintf(w.bgw_library_name, BGW_MAXLEN, "bgw_crash");
	snprintf(w.bgw_function_name, BGW_MAXLEN, "%s", function);
	RegisterBackgroundWorker(&w);
}

void _PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomBoolVariable("bgw_crash.neighbour", "Whether the neighbour is registered, too.", NULL, &neighbour, true,
				 PGC_POSTMASTER, 0, NULL, NULL, NULL);
	enlist("bgw_crash", "bgw_crash_main");
	if (neighbour)
		enlist("neighbour", "bgw_crash_neighbour_main");
}
