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
#if PG_VERSION_NUM >= 170000
ProcNumber MyProcNumber = INVALID_PROC_NUMBER;
#endif

/*
 * In pieces, each of which goes on where the one before it ends. The first is made
 * for all slots that there are then, and is what ProcGlobal->allProcs shows; only
 * a max_worker_processes that is raised by a reload needs another one. A process that was
 * there before finds it when it first meets a slot of it.
 */
enum {
	STEP = 128,
	SLOTS_MAX = 16384, /* of max_worker_processes */
	PIECES = SLOTS_MAX / STEP,
};

static struct {
	PGPROC *procs;
	uint32 first, end; /* slots */
} pieces[PIECES];
static int npieces;

uint32 procs_count(void)
{
	return npieces ? pieces[npieces - 1].end : 0;
}

/* next_piece opens the piece that follows, which is made for so many slots where it is not there; false: there is none. */
static bool next_piece(uint32 slots)
{
	char name[SHMEM_INDEX_KEYSIZE];
	Size size;
	void *procs;

	if (npieces == PIECES)
		return false;
	snprintf(name, sizeof name, "pg-bgw workers %d", npieces);
	procs = shared_piece(name, slots * sizeof(PGPROC), &size);
	if (!procs)
		return false;
	pieces[npieces].procs = procs;
	pieces[npieces].first = procs_count();
	pieces[npieces].end = procs_count() + (uint32)(size / sizeof(PGPROC));
	npieces++;
	return true;
}

void procs_create(void)
{
	while (procs_count() < (uint32)max_worker_processes)
		next_piece(TYPEALIGN(STEP, max_worker_processes - procs_count()));
	ProcGlobal = MemoryContextAllocZero(TopMemoryContext, sizeof *ProcGlobal);
	ProcGlobal->allProcs = pieces[0].procs;
	ProcGlobal->allProcCount = pieces[0].end;
}

PGPROC *proc_of(uint32 slot)
{
	while (slot >= procs_count())
		if (slot >= SLOTS_MAX || !next_piece(0))
			return NULL;
	for (int i = 0;; i++)
		if (slot < pieces[i].end)
			return &pieces[i].procs[slot - pieces[i].first];
}

int proc_slot(const PGPROC *proc)
{
	do {
		for (int i = 0; i < npieces; i++)
			if (proc >= pieces[i].procs && proc < pieces[i].procs + (pieces[i].end - pieces[i].first))
				return (int)(pieces[i].first + (uint32)(proc - pieces[i].procs));
	} while (next_piece(0));
	return -1;
}

static void leave(int code, Datum arg)
{
	(void)ConditionVariableCancelSleep();
	SwitchBackToLocalLatch();
	MyProc->databaseId = InvalidOid;
	MyProc->pid = 0;
	DisownLatch(&MyProc->procLatch);
	MyProc = NULL;
#if PG_VERSION_NUM >= 170000
	MyProcNumber = INVALID_PROC_NUMBER;
#endif
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
#if PG_VERSION_NUM >= 170000
	MyProcNumber = (ProcNumber)slot;
#else
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
	PGPROC *proc;

	for (uint32 slot = 0; pid != 0 && (proc = proc_of(slot)) != NULL; slot++)
		if (proc->pid == pid && OidIsValid(proc->databaseId))
			return proc;
	return NULL;
}
