/*
 * Barriers in PostgreSQL's own structure: who arrives last begins the next phase
 * and wakes the others, or, when the one who is missing leaves, its leaving does.
 */
#include "internal.h"

#include "storage/barrier.h"

void BarrierInit(Barrier *barrier, int participants)
{
	SpinLockInit(&barrier->mutex);
	barrier->participants = participants;
	barrier->arrived = 0;
	barrier->phase = 0;
	barrier->elected = 0;
	barrier->static_party = participants > 0;
	ConditionVariableInit(&barrier->condition_variable);
}

/* begin_phase is called with the spinlock held, by who completes a phase. */
static void begin_phase(Barrier *b)
{
	b->arrived = 0;
	b->phase++;
}

/* elect returns true for the first who asks in a phase; with the spinlock held. */
static bool elect(Barrier *b)
{
	if (b->elected == b->phase)
		return false;
	b->elected = b->phase;
	return true;
}

static bool phase_is_over(Barrier *b, int phase, bool *elected)
{
	bool over;

	SpinLockAcquire(&b->mutex);
	over = b->phase != phase;
	if (over)
		*elected = elect(b);
	SpinLockRelease(&b->mutex);
	return over;
}

/* BGW-158: true for one of all. BGW-159: also when a detach completed the phase. */
bool BarrierArriveAndWait(Barrier *barrier, uint32 wait_event_info)
{
	bool last, elected = false;
	int phase;

	SpinLockAcquire(&barrier->mutex);
	phase = barrier->phase;
	last = ++barrier->arrived == barrier->participants;
	if (last) {
		begin_phase(barrier);
		barrier->elected = barrier->phase;
	}
	SpinLockRelease(&barrier->mutex);
	if (last) {
		ConditionVariableBroadcast(&barrier->condition_variable);
		return true;
	}
	ConditionVariablePrepareToSleep(&barrier->condition_variable);
	while (!phase_is_over(barrier, phase, &elected))
		ConditionVariableSleep(&barrier->condition_variable, wait_event_info);
	(void)ConditionVariableCancelSleep();
	return elected;
}

/*
 * leave ends a participation; true: nobody is left. arrived: the leaver counts as
 * one who came, so that it may complete a phase for which nobody waits.
 */
static bool leave(Barrier *b, bool arrived)
{
	bool complete, last;

	SpinLockAcquire(&b->mutex);
	last = --b->participants == 0;
	complete = (arrived || b->arrived > 0) && b->arrived == b->participants;
	if (complete)
		begin_phase(b);
	SpinLockRelease(&b->mutex);
	if (complete)
		ConditionVariableBroadcast(&b->condition_variable);
	return last;
}

bool BarrierArriveAndDetach(Barrier *barrier)
{
	return leave(barrier, true);
}

bool BarrierDetach(Barrier *barrier)
{
	return leave(barrier, false);
}

/* true for the last, who stays, in the next phase. */
bool BarrierArriveAndDetachExceptLast(Barrier *barrier)
{
	bool last;

	SpinLockAcquire(&barrier->mutex);
	last = barrier->participants == 1;
	if (last)
		barrier->phase++;
	else
		barrier->participants--;
	SpinLockRelease(&barrier->mutex);
	return last;
}

int BarrierAttach(Barrier *barrier)
{
	int phase;

	SpinLockAcquire(&barrier->mutex);
	barrier->participants++;
	phase = barrier->phase;
	SpinLockRelease(&barrier->mutex);
	return phase;
}

/* A participant's own phase cannot change while it looks. */
int BarrierPhase(Barrier *barrier)
{
	return barrier->phase;
}

int BarrierParticipants(Barrier *barrier)
{
	int n;

	SpinLockAcquire(&barrier->mutex);
	n = barrier->participants;
	SpinLockRelease(&barrier->mutex);
	return n;
}
