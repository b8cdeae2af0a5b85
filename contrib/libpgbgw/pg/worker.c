/*
 * The two entries of host.h: what the launcher does once, and a worker's life.
 */
#include "internal.h"

#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include "fmgr.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "libpq/pqsignal.h"

#include "libpq.h"
#include "segment.h"
#include "shared.h"
#include "supervisor.h"

const struct pgbgw_host *the_host;
const struct pgbgw_host_worker *the_worker;

BackgroundWorker *MyBgworkerEntry;

/* guarded runs step; false when it ended in an error, which is then reported. */
static bool guarded(void (*step)(void))
{
	sigjmp_buf here;
	bool ok = true;

	if (sigsetjmp(here, 1) == 0) {
		PG_exception_stack = &here;
		step();
	} else {
		error_context_stack = NULL;
		EmitErrorReport();
		FlushErrorState();
		ok = false;
	}
	PG_exception_stack = NULL;
	return ok;
}

static void preload(void)
{
	guc_start();
	process_shared_preload_libraries_in_progress = true;
	for (size_t i = 0; i < the_host->npreload; i++)
		load_file(the_host->preload[i], false);
	process_shared_preload_libraries_in_progress = false;
	process_shared_preload_libraries_done = true;
#if PG_VERSION_NUM >= 150000
	process_shmem_requests_in_progress = true;
	if (shmem_request_hook)
		shmem_request_hook();
	process_shmem_requests_in_progress = false;
#endif
	shared_start();
	if (shmem_startup_hook)
		shmem_startup_hook();
}

static void know_process(void)
{
	MyProcPid = (int)getpid();
	PostmasterPid = getppid();
	MyStartTimestamp = GetCurrentTimestamp();
	MyStartTime = timestamptz_to_time_t(MyStartTimestamp);
}

int pgbgw_host_preload(const struct pgbgw_host *host)
{
	if (host->version != PGBGW_HOST_VERSION)
		return -1;
	the_host = host;
	max_worker_processes = host->max_worker_processes;
	MaxBackends = host->max_worker_processes;
	know_process();
	memory_start();
	pqinitmask();
	exit_start();
	pgi_watch_forks();
	return guarded(preload) ? 0 : -1;
}

void pgbgw_host_expect(struct pgbgw_host_worker *worker)
{
	worker->main_function = worker->library ? loaded_function(worker->library, worker->function) : NULL;
	if (worker->flags & BGWORKER_BACKEND_DATABASE_CONNECTION)
		libpq_share();
}

/* touch has a page read, and with to_write made ready to be written to. */
static void touch(const volatile void *p, bool to_write)
{
	volatile char *at = (volatile char *)(uintptr_t)p;
	char was;

	if (!at)
		return;
	was = *at;
	if (to_write)
		*at = was;
}

void pgbgw_host_warm(const struct pgbgw_host_worker *like)
{
	void *entry = MemoryContextAllocZero(TopMemoryContext, sizeof(BackgroundWorker));
	void *own = malloc(sizeof(pgbgw_worker));

	touch(own, true);
	free(own);
	pfree(entry);
	know_process();
	touch(&the_worker, true);
	touch(&MyProc, true);
	touch((void *)(uintptr_t)abort, false);
	touch(loaded_function(like->library, like->function), false);
}

static void become_worker(const struct pgbgw_host_worker *worker)
{
	BackgroundWorker *w = MemoryContextAllocZero(TopMemoryContext, sizeof *w);

	the_worker = worker;
	MyBgworkerEntry = w;
	know_process();
	IsUnderPostmaster = true;
#if PG_VERSION_NUM < 170000
	IsBackgroundWorker = true;
#endif
	strlcpy(w->bgw_library_name, worker->library, sizeof w->bgw_library_name);
	strlcpy(w->bgw_function_name, worker->function, sizeof w->bgw_function_name);
	w->bgw_flags = worker->flags;
	w->bgw_start_time = (BgWorkerStartTime)worker->start_time;
	w->bgw_restart_time = worker->restart_time;
	supervisor_start(w);
	latch_start();
	signals_start((w->bgw_flags & BGWORKER_BACKEND_DATABASE_CONNECTION) != 0);
}

/*
 * What the outermost PG_exception_stack catches: an ERROR that the worker let go
 * ends it with code 1 (BGW rows of section 4).
 */
static void failed(void)
{
	error_context_stack = NULL;
	HOLD_INTERRUPTS();
	unfinished++; /* SIGTERM that waited does not come before the report */
	BackgroundWorkerUnblockSignals();
	EmitErrorReport();
	proc_exit(1);
}

void pgbgw_host_run(const struct pgbgw_host_worker *worker)
{
	static sigjmp_buf here;
	bgworker_main_type main_function;

	memory_start();
	become_worker(worker);
	if (sigsetjmp(here, 1) != 0)
		failed();
	PG_exception_stack = &here;
	supervisor_attach();
	proc_start(pgbgw_get_self(the_pgbgw)->handle.slot);
	SetProcessingMode(NormalProcessing);
	main_function = (bgworker_main_type)worker->main_function;
	if (!main_function)
		main_function = (bgworker_main_type)module_function(worker->library, worker->function);
	main_function(MyBgworkerEntry->bgw_main_arg);
	proc_exit(0);
}
