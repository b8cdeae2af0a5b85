/*
 * Condition variables in PostgreSQL's own structure: a list of the workers that
 * sleep, under a spinlock, linked through their PGPROC. Who wakes one takes it off
 * the list and sets its latch; that it is off tells the sleeper that it was meant.
 * The workers are those of one segment. The links are slots, and not places of
 * ProcGlobal->allProcs: so proclist.h is of no use.
 */
#include "internal.h"

#include <time.h>

#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/proclist_types.h"

#include "shared.h"

#if PG_VERSION_NUM >= 170000
#define BOOL_17 bool
#define RETURN_17(value) return value
#define NOBODY INVALID_PROC_NUMBER
#else
#define BOOL_17 void
#define RETURN_17(value) ((void)(value))
#define NOBODY INVALID_PGPROCNO
#endif

static ConditionVariable *target; /* where this process sleeps, or is about to */

/* ---- The list: every function of it is called with the spinlock held. A link of (0, 0) is none. ---- */

static proclist_node *link_of(int slot)
{
	PGPROC *proc = proc_of((uint32)slot);

	if (!proc)
		elog(PANIC, "a condition variable is waited for by slot %d, which does not exist", slot);
	return &proc->cvWaitLink;
}

static bool listed(int slot)
{
	const proclist_node *at = link_of(slot);

	return at->prev != 0 || at->next != 0;
}

static void push(proclist_head *list, int slot)
{
	proclist_node *at = link_of(slot);

	at->prev = list->tail;
	at->next = NOBODY;
	if (list->tail == NOBODY)
		list->head = slot;
	else
		link_of(list->tail)->next = slot;
	list->tail = slot;
}

static void drop(proclist_head *list, int slot)
{
	proclist_node *at = link_of(slot);

	if (at->prev == NOBODY)
		list->head = at->next;
	else
		link_of(at->prev)->next = at->next;
	if (at->next == NOBODY)
		list->tail = at->prev;
	else
		link_of(at->next)->prev = at->prev;
	at->prev = at->next = 0;
}

void ConditionVariableInit(ConditionVariable *cv)
{
	SpinLockInit(&cv->mutex);
	cv->wakeup.head = cv->wakeup.tail = NOBODY;
}

/* Only one at a time: who prepares for another one no longer waits for the first. */
void ConditionVariablePrepareToSleep(ConditionVariable *cv)
{
	int me = proc_slot(MyProc);

	if (target)
		ConditionVariableCancelSleep();
	target = cv;
	SpinLockAcquire(&cv->mutex);
	push(&cv->wakeup, me);
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
	int me = proc_slot(MyProc);
	bool came;

	SpinLockAcquire(&cv->mutex);
	came = !listed(me);
	if (came)
		push(&cv->wakeup, me);
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
		int me = proc_slot(MyProc);

		SpinLockAcquire(&cv->mutex);
		came = !listed(me);
		if (!came)
			drop(&cv->wakeup, me);
		SpinLockRelease(&cv->mutex);
	}
	RETURN_17(came);
}

/* pop takes the first off; its slot, or NOBODY. */
static int pop(ConditionVariable *cv)
{
	int slot;

	SpinLockAcquire(&cv->mutex);
	slot = cv->wakeup.head;
	if (slot != NOBODY)
		drop(&cv->wakeup, slot);
	SpinLockRelease(&cv->mutex);
	return slot;
}

/* BGW-157: one of them. */
void ConditionVariableSignal(ConditionVariable *cv)
{
	int slot = pop(cv);

	if (slot != NOBODY)
		SetLatch(&proc_of((uint32)slot)->procLatch);
}

/*
 * BGW-157: all that sleep now. Who was woken may be back on the list at once, so it
 * stops after the one that is last now, or, when that one has gone by itself, after
 * as many as there can be.
 */
void ConditionVariableBroadcast(ConditionVariable *cv)
{
	uint32 most;
	int last, slot;

	if (target) /* a broadcaster is no sleeper */
		(void)ConditionVariableCancelSleep();
	SpinLockAcquire(&cv->mutex);
	last = cv->wakeup.tail;
	SpinLockRelease(&cv->mutex);
	if (last == NOBODY)
		return;
	(void)proc_of((uint32)last); /* so that its slot is counted */
	for (most = procs_count(); most > 0 && (slot = pop(cv)) != NOBODY; most--) {
		SetLatch(&proc_of((uint32)slot)->procLatch);
		if (slot == last)
			return;
	}
}
