/*
 * Locks, condition variables and a barrier, in the module's fixed memory and
 * between three workers (BGW-157 to BGW-159), and that memory itself (BGW-133).
 */
#include "bgw_spi.h"

#include "pgstat.h"
#include "storage/latch.h"
#include "storage/shmem.h"

#include "child.h"

enum { CHILDREN = 2, TIMES = 2000 };

static void with_another_size(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	PG_TRY();
	{
		(void)ShmemInitStruct("bgw_spi", sizeof *shared + 8, &found);
	}
	PG_FINALLY();
	{
		LWLockRelease(AddinShmemInitLock);
	}
	PG_END_TRY();
}

static void probe_area(void)
{
	bool found = false;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	saw("BGW-133", "%d", ShmemInitStruct("bgw_spi", sizeof *shared, &found) == shared);
	LWLockRelease(AddinShmemInitLock);
	saw("BGW-133", "%d", found);
	saw("valid", "%d %d", ShmemAddrIsValid(shared), ShmemAddrIsValid(&found));
}

static void release_what_is_free(void)
{
	LWLockRelease(&GetNamedLWLockTranche("bgw_spi")[0].lock);
}

static void probe_locks(void)
{
	LWLock *one = &GetNamedLWLockTranche("bgw_spi")[0].lock;

	saw("held", "%d", LWLockHeldByMe(one));
	saw("at once", "%d", LWLockAcquire(one, LW_SHARED));
	saw("held", "%d %d %d", LWLockHeldByMe(one), LWLockHeldByMeInMode(one, LW_SHARED), LWLockHeldByMeInMode(one, LW_EXCLUSIVE));
	saw("not exclusive", "%d", LWLockConditionalAcquire(one, LW_EXCLUSIVE));
	LWLockRelease(one);
	saw("exclusive", "%d", LWLockConditionalAcquire(one, LW_EXCLUSIVE));
	LWLockReleaseAll();
	saw("held", "%d", LWLockHeldByMe(one));
	saw("interrupts", "%d", InterruptHoldoffCount == 0);
	saw("tranche", "%s", GetLWLockIdentifier(PG_WAIT_LWLOCK, one->tranche));
	saw("new tranches", "%d", LWLockNewTrancheId() != LWLockNewTrancheId());
}

/* BGW-158: two children and this worker arrive; one is elected. All counted under a lock, and none is lost. */
static void probe_counts(void)
{
	BackgroundWorkerHandle *h[CHILDREN];
	bool elected;

	BarrierInit(&shared->barrier, CHILDREN + 1);
	shared->done = shared->elected = shared->locked = shared->spun = 0;
	for (int i = 0; i < CHILDREN; i++)
		h[i] = child("count", Int32GetDatum(TIMES), BGW_NEVER_RESTART);
	elected = BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	NOTE(shared->elected += elected);
	UNTIL(s->done == CHILDREN);
	saw("counted", "%d %d", shared->locked, shared->spun);
	saw("BGW-158", "%d elected, phase %d of %d", shared->elected, BarrierPhase(&shared->barrier), BarrierParticipants(&shared->barrier));
	for (int i = 0; i < CHILDREN; i++)
		saw("the child", "%d", WaitForBackgroundWorkerShutdown(h[i]));
}

static void probe_barrier(void)
{
	Barrier *b = &shared->barrier;

	BarrierInit(b, 0);
	saw("attach", "%d", BarrierAttach(b));
	saw("attach", "%d", BarrierAttach(b));
	saw("except last", "%d", BarrierArriveAndDetachExceptLast(b));
	saw("alone", "%d", BarrierArriveAndWait(b, PG_WAIT_EXTENSION));
	saw("except last", "%d", BarrierArriveAndDetachExceptLast(b));
	saw("phase", "%d of %d", BarrierPhase(b), BarrierParticipants(b));
	saw("attach", "%d", BarrierAttach(b));
	saw("leave", "%d", BarrierDetach(b));
	saw("phase", "%d", BarrierPhase(b));
	saw("last", "%d", BarrierArriveAndDetach(b));
	saw("phase", "%d", BarrierPhase(b));
}

static void probe_condition(void)
{
	ConditionVariable *c = &shared->changed;

	ConditionVariablePrepareToSleep(c);
	saw("time passes", "%d", ConditionVariableTimedSleep(c, 5, PG_WAIT_EXTENSION));
	ConditionVariableCancelSleep();
	saw("joins first", "%d", ConditionVariableTimedSleep(c, 60000, PG_WAIT_EXTENSION));
	ConditionVariableSignal(c); /* takes this process off the list, and sets its latch */
	saw("signalled", "%d", ConditionVariableTimedSleep(c, 60000, PG_WAIT_EXTENSION));
	ConditionVariableCancelSleep();
	ConditionVariableCancelSleep();
	ConditionVariableBroadcast(c); /* to nobody */
	ResetLatch(MyLatch);
}

void probe_together(void)
{
	probe_area();
	probe_error("another size", with_another_size);
	probe_locks();
	probe_error("not held", release_what_is_free);
	probe_counts();
	probe_barrier();
	probe_condition();
	probe_shared_table();
	probe_partitions();
}
