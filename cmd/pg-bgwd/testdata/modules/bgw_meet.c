/*
 * Workers that meet at a barrier and hand a token round by a condition variable.
 * bgw_extra says how many they are, how often they meet, and which of them this one is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void bgw_meet_main(Datum arg);

static struct meeting {
	Barrier barrier;
	ConditionVariable passed;
	slock_t spin;
	int elected;
	int token; /* how often it was passed on */
} *here;

static void come(int members)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	here = ShmemInitStruct("bgw_meet", sizeof *here, &found);
	if (!found) {
		BarrierInit(&here->barrier, members);
		ConditionVariableInit(&here->passed);
		SpinLockInit(&here->spin);
		here->elected = here->token = 0;
	}
	LWLockRelease(AddinShmemInitLock);
}

static int token(int more)
{
	int now;

	SpinLockAcquire(&here->spin);
	now = here->token += more;
	SpinLockRelease(&here->spin);
	return now;
}

void bgw_meet_main(Datum arg)
{
	int members = 0, times = 0, me = 0;

	BackgroundWorkerUnblockSignals();
	if (sscanf(MyBgworkerEntry->bgw_extra, "%d %d %d", &members, &times, &me) != 3)
		elog(FATAL, "what is \"%s\"?", MyBgworkerEntry->bgw_extra);
	come(members);
	for (int i = 0; i < times; i++)
		if (BarrierArriveAndWait(&here->barrier, PG_WAIT_EXTENSION)) {
			SpinLockAcquire(&here->spin);
			here->elected++;
			SpinLockRelease(&here->spin);
		}
	for (int i = 0; i < times; i++) {
		ConditionVariablePrepareToSleep(&here->passed);
		while (token(0) != i * members + me)
			ConditionVariableSleep(&here->passed, PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
		token(1);
		ConditionVariableBroadcast(&here->passed);
	}
	(void)BarrierArriveAndWait(&here->barrier, PG_WAIT_EXTENSION);
	elog(LOG, "%s: phase %d, %d elected, %d passed on", MyBgworkerEntry->bgw_name, BarrierPhase(&here->barrier), here->elected, token(0));
	proc_exit(0);
}
