/*
 * Condition variables in PostgreSQL's own structure: a list of the workers that
 * sleep, under a spinlock, linked through their PGPROC. Who wakes one takes it off
 * the list and sets its latch; that it is off tells the sleeper that it was meant.
 * The workers are those of one segment.
 */
#include "internal.h"

#include <time.h>

#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/proclist.h"

#if PG_VERSION_NUM >= 170000
#define BOOL_17 bool
#define RETURN_17(value) return value
#define NUMBER_OF(proc) GetNumberFromPGProc(proc)
#define NOBODY INVALID_PROC_NUMBER
#else
#define BOOL_17 void
#define RETURN_17(value) ((void)(value))
#define NUMBER_OF(proc) ((proc)->pgprocno)
#define NOBODY INVALID_PGPROCNO
#endif

static ConditionVariable *target; /* where this process sleeps, or is about to */

void ConditionVariableInit(ConditionVariable *cv)
{
	SpinLockInit(&cv->mutex);
	proclist_init(&cv->wakeup);
}

/* Only one at a time: who prepares for another one no longer waits for the first. */
void ConditionVariablePrepareToSleep(ConditionVariable *cv)
{
	int me = NUMBER_OF(MyProc);

	if ((uint32)me >= ProcGlobal->allProcCount) /* the list's links are in one array */
		elog(ERROR, "condition variables are for workers of the first %u slots", ProcGlobal->allProcCount);
	if (target)
		ConditionVariableCancelSleep();
	target = cv;
	SpinLockAcquire(&cv->mutex);
	proclist_push_tail(&cv->wakeup, me, cvWaitLink);
	SpinLockRelease(&cv->mutex);
}

void ConditionVariableSleep(ConditionVariable *cv, uint32 wait_event_info)
{
	(void)ConditionVariableTimedSleep(cv, -1, wait_event_info);
}

static int64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* woken tells whether a wake-up came, and if so waits for the next one already. */
static bool woken(ConditionVariable *cv)
{
	int me = NUMBER_OF(MyProc);
	bool came;

	SpinLockAcquire(&cv->mutex);
	came = !proclist_contains(&cv->wakeup, me, cvWaitLink);
	if (came)
		proclist_push_tail(&cv->wakeup, me, cvWaitLink);
	SpinLockRelease(&cv->mutex);
	return came;
}

/*
 * true: the time has passed. The first call of a loop only joins the list and
 * returns, so that what is waited for is looked at once more. What an interrupt
 * leaves on the list is taken off at the end of the process or of the transaction.
 */
bool ConditionVariableTimedSleep(ConditionVariable *cv, long timeout, uint32 wait_event_info)
{
	int64 end = timeout >= 0 ? now_ms() + timeout : 0;
	long left = timeout;
	int reasons = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0);

	if (target != cv) {
		ConditionVariablePrepareToSleep(cv);
		return false;
	}
	for (;;) {
		bool came;

		WaitLatch(MyLatch, reasons, left, wait_event_info);
		ResetLatch(MyLatch);
		came = woken(cv);
		CHECK_FOR_INTERRUPTS();
		if (came || target != cv)
			return false;
		if (timeout >= 0 && (left = (long)(end - now_ms())) <= 0)
			return true;
	}
}

/* From 17 on it tells whether a wake-up came that was not yet seen. */
BOOL_17 ConditionVariableCancelSleep(void)
{
	ConditionVariable *cv = target;
	bool came = false;

	target = NULL;
	if (cv) {
		int me = NUMBER_OF(MyProc);

		SpinLockAcquire(&cv->mutex);
		came = !proclist_contains(&cv->wakeup, me, cvWaitLink);
		if (!came)
			proclist_delete(&cv->wakeup, me, cvWaitLink);
		SpinLockRelease(&cv->mutex);
	}
	RETURN_17(came);
}

/* pop takes the first off; NULL: nobody sleeps. */
static PGPROC *pop(ConditionVariable *cv)
{
	PGPROC *proc = NULL;

	SpinLockAcquire(&cv->mutex);
	if (cv->wakeup.head != NOBODY) {
		proc = GetPGProcByNumber(cv->wakeup.head);
		proclist_delete(&cv->wakeup, NUMBER_OF(proc), cvWaitLink);
	}
	SpinLockRelease(&cv->mutex);
	return proc;
}

/* BGW-157: one of them. */
void ConditionVariableSignal(ConditionVariable *cv)
{
	PGPROC *proc = pop(cv);

	if (proc)
		SetLatch(&proc->procLatch);
}

/*
 * BGW-157: all that sleep now. Who was woken may be back on the list at once, so it
 * stops after the one that is last now, or, when that one has gone by itself, after
 * as many as there can be.
 */
void ConditionVariableBroadcast(ConditionVariable *cv)
{
	uint32 most = ProcGlobal->allProcCount;
	PGPROC *proc;
	int last;

	if (target) /* a broadcaster is no sleeper */
		(void)ConditionVariableCancelSleep();
	SpinLockAcquire(&cv->mutex);
	last = cv->wakeup.tail;
	SpinLockRelease(&cv->mutex);
	while (last != NOBODY && most-- > 0 && (proc = pop(cv)) != NULL) {
		SetLatch(&proc->procLatch);
		if (NUMBER_OF(proc) == last)
			return;
	}
}
