/*
 * Latches: PostgreSQL's structure, in the process or in shared memory. A latch wakes
 * its owner by SIGURG, so that it can be set from a signal handler and from another
 * process of the same user.
 */
#include "internal.h"

#include <signal.h>

#include "port/atomics.h"
#include "storage/latch.h"

static Latch local;
struct Latch *MyLatch = &local;

void latch_start(void)
{
	waits_start();
	InitLatch(&local);
}

void InitializeLatchSupport(void)
{
}

void InitializeLatchWaitSet(void)
{
}

void ShutdownLatchSupport(void)
{
}

void InitLatch(Latch *latch)
{
	memset(latch, 0, sizeof *latch);
	latch->owner_pid = MyProcPid;
}

void InitSharedLatch(Latch *latch)
{
	memset(latch, 0, sizeof *latch);
	latch->is_shared = true;
}

void OwnLatch(Latch *latch)
{
	if (latch->owner_pid != 0)
		elog(PANIC, "latch already owned by PID %d", latch->owner_pid);
	latch->owner_pid = MyProcPid;
}

void DisownLatch(Latch *latch)
{
	Assert(latch->owner_pid == MyProcPid);
	latch->owner_pid = 0;
}

void SetLatch(Latch *latch)
{
	pid_t owner;

	pg_memory_barrier();
	if (latch->is_set)
		return;
	latch->is_set = true;
	pg_memory_barrier();
	if (!latch->maybe_sleeping)
		return;
	owner = latch->owner_pid;
	if (owner != 0)
		kill(owner, SIGURG);
}

void ResetLatch(Latch *latch)
{
	Assert(latch->owner_pid == MyProcPid);
	latch->is_set = false;
	pg_memory_barrier();
}
