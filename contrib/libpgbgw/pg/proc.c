/*
 * PGPROC of the workers of one launcher, in shared memory: what `&proc->procLatch`
 * and BackendPidGetProc need. The server's own processes are not among them.
 */
#include "internal.h"

#include <unistd.h>

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"

#include "shared.h"

PGPROC *MyProc;
PROC_HDR *ProcGlobal;

/*
 * In pieces of one size, so that launchers that differ in max_worker_processes, as
 * after a reload, find the same workers in the same memory.
 */
enum {
	PIECE = 128,
	PIECES = 128, /* 16,384, the most that max_worker_processes can be */
};
static PGPROC *pieces[PIECES];

static PGPROC *proc_of(uint32 slot)
{
	return &pieces[slot / PIECE][slot % PIECE];
}

void procs_create(void)
{
	bool found;

	for (int i = 0; i < PIECES && i * PIECE < max_worker_processes; i++)
		pieces[i] = ShmemInitStruct(psprintf("pg-bgw workers %d", i), PIECE * sizeof(PGPROC), &found);
	ProcGlobal = ShmemInitStruct("pg-bgw worker list", sizeof *ProcGlobal, &found);
	ProcGlobal->allProcs = pieces[0];
	ProcGlobal->allProcCount = PIECE;
}

static void leave(int code, Datum arg)
{
	(void)ConditionVariableCancelSleep();
	SwitchBackToLocalLatch();
	MyProc->databaseId = InvalidOid;
	MyProc->pid = 0;
	DisownLatch(&MyProc->procLatch);
	MyProc = NULL;
}

void proc_start(uint32 slot)
{
	if (slot >= (uint32)max_worker_processes)
		elog(FATAL, "slot %u is not below max_worker_processes (%d)", slot, max_worker_processes);
	MyProc = proc_of(slot);
	memset(MyProc, 0, sizeof *MyProc);
	InitSharedLatch(&MyProc->procLatch);
	OwnLatch(&MyProc->procLatch);
#if PG_VERSION_NUM >= 180000
	MyProc->backendType = B_BG_WORKER;
#else
	MyProc->isBackgroundWorker = true;
#endif
#if PG_VERSION_NUM < 170000
	MyProc->pgprocno = (int)slot;
#endif
	pg_write_barrier();
	MyProc->pid = MyProcPid;
	SwitchToSharedLatch();
	on_shmem_exit(leave, 0);
}

static Latch *local;

void SwitchToSharedLatch(void)
{
	local = MyLatch;
	MyLatch = &MyProc->procLatch;
	SetLatch(MyLatch); /* what was set on the other one is not lost */
}

void SwitchBackToLocalLatch(void)
{
	MyLatch = local;
	SetLatch(MyLatch);
}

/* As in PostgreSQL, a worker that has no connection is nobody's backend. */
PGPROC *BackendPidGetProc(int pid)
{
	for (uint32 slot = 0; pid != 0 && slot < (uint32)max_worker_processes; slot++)
		if (proc_of(slot)->pid == pid && OidIsValid(proc_of(slot)->databaseId))
			return proc_of(slot);
	return NULL;
}
