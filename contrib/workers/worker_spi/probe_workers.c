/*
 * Workers that a worker registers: their handles, their ends, and what is
 * refused (BGW-001 to BGW-019, BGW-024, BGW-028 to BGW-036).
 */
#include "bgw_spi.h"

#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"

#include "child.h"

static const char *const statuses[] = { "started", "not yet started", "stopped", "postmaster died" };

static void fill(BackgroundWorker *w, const char *what)
{
	memset(w, 0, sizeof *w);
	w->bgw_flags = BGWORKER_SHMEM_ACCESS;
	w->bgw_start_time = BgWorkerStart_ConsistentState;
	w->bgw_restart_time = BGW_NEVER_RESTART;
	strcpy(w->bgw_name, "bgw_spi child");
	strcpy(w->bgw_type, "bgw_spi child type");
	strcpy(w->bgw_library_name, "bgw_spi");
	strcpy(w->bgw_function_name, "bgw_spi_child_main");
	strlcpy(w->bgw_extra, what, sizeof w->bgw_extra);
	w->bgw_notify_pid = MyProcPid;
}

BackgroundWorkerHandle *child(const char *what, Datum arg, int restart_time)
{
	BackgroundWorker w;
	BackgroundWorkerHandle *h = NULL;

	fill(&w, what);
	w.bgw_main_arg = arg;
	w.bgw_restart_time = restart_time;
	if (!RegisterDynamicBackgroundWorker(&w, &h))
		elog(ERROR, "no worker slot is free");
	return h;
}

void probe_error(const char *subject, void (*try)(void))
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		try();
		saw(subject, "no error");
	}
	PG_CATCH();
	{
		ErrorData *e;

		MemoryContextSwitchTo(context);
		e = CopyErrorData();
		FlushErrorState();
		LWLockReleaseAll(); /* as the end of a transaction would: some errors come while one is held */
		saw(subject, "%d %s %s|%s", e->elevel, unpack_sql_state(e->sqlerrcode), e->message, e->hint ? e->hint : "-");
	}
	PG_END_TRY();
}

static const char *stopped(BackgroundWorkerHandle *h)
{
	return statuses[WaitForBackgroundWorkerShutdown(h)];
}

static void stop(BackgroundWorkerHandle *h)
{
	TerminateBackgroundWorker(h);
	(void)WaitForBackgroundWorkerShutdown(h);
}

/* BGW-017 to BGW-019: what the child was given. */
static void probe_given(void)
{
	BackgroundWorker w;
	BackgroundWorkerHandle *h;
	bool same = true;

	fill(&w, "whole");
	memset(w.bgw_name, 'n', BGW_MAXLEN - 1);
	w.bgw_type[0] = '\0';
	for (int i = 6; i < BGW_EXTRALEN; i++)
		w.bgw_extra[i] = (char)(i * 37);
	w.bgw_main_arg = UInt64GetDatum(UINT64CONST(0xfedcba9876543210));
	saw("registered", "%d", RegisterDynamicBackgroundWorker(&w, &h));
	saw("done", "%s", stopped(h));
	for (int i = 6; i < BGW_EXTRALEN; i++)
		same = same && shared->extra[i] == (char)(i * 37);
	saw("extra", "%d", same);
	saw("argument", INT64_FORMAT, shared->arg);
	saw("name", "%zu %d", strlen(shared->name), strcmp(shared->name, w.bgw_name) == 0);
	saw("type", "%zu", strlen(shared->type));
	saw("notify pid", "%d", shared->notify_pid == MyProcPid);
}

static void probe_life(void)
{
	pid_t pid = 0, again = 0;
	int starts = shared->starts;
	BackgroundWorkerHandle *h = child("wait", 0, BGW_NEVER_RESTART);
	const char *type;

	saw("startup", "%s", statuses[WaitForBackgroundWorkerStartup(h, &pid)]);
	saw("its pid", "%d", pid > 0);
	UNTIL(s->starts > starts);
	saw("BGW-028", "%s", statuses[GetBackgroundWorkerPid(h, &again)]);
	saw("the same pid", "%d", again == pid);
	saw("startup again", "%s", statuses[WaitForBackgroundWorkerStartup(h, &again)]);
	type = GetBackgroundWorkerTypeByPid(pid);
	saw("type by pid", "%s", type ? type : "-");
	saw("without a connection", "%d", BackendPidGetProc(pid) == NULL);
	TerminateBackgroundWorker(h);
	saw("terminated", "%s", stopped(h));
	saw("BGW-029", "%s", statuses[GetBackgroundWorkerPid(h, &again)]);
	saw("no type", "%d", GetBackgroundWorkerTypeByPid(pid) == NULL);
	TerminateBackgroundWorker(h); /* BGW-034 */
	saw("still", "%s", stopped(h));
}

static void probe_ends(void)
{
	static const char *const ends[] = { "exit 0", "exit 1", "error", "fail once" };
	BackgroundWorker w;
	BackgroundWorkerHandle *h;

	for (int i = 0; i < (int)lengthof(ends); i++) {
		shared->starts = 0;
		h = child(ends[i], 0, BGW_NEVER_RESTART);
		saw(ends[i], "%s", stopped(h));
		saw("starts", "%d", shared->starts);
	}
	fill(&w, "-");
	strcpy(w.bgw_function_name, "no_such_function");
	saw("no function", "%d", RegisterDynamicBackgroundWorker(&w, &h));
	saw("no function", "%s", stopped(h));
	fill(&w, "-");
	strcpy(w.bgw_library_name, "no_such_library");
	saw("no library", "%d", RegisterDynamicBackgroundWorker(&w, &h));
	saw("no library", "%s", stopped(h));
}

/* runs waits until the worker is known to run: its first instruction may come before whoever forked it has said so. */
static const char *runs(BackgroundWorkerHandle *h)
{
	pid_t pid;

	while (GetBackgroundWorkerPid(h, &pid) != BGWH_STARTED) {
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return statuses[BGWH_STARTED];
}

/* BGW-030, BGW-031, BGW-036. */
static void probe_restart(void)
{
	BackgroundWorkerHandle *h;
	pid_t pid;

	shared->starts = 0;
	h = child("fail once", 0, 1);
	saw("first end", "%s", stopped(h));
	saw("waits for its restart", "%s", statuses[WaitForBackgroundWorkerStartup(h, &pid)]);
	UNTIL(s->starts == 2);
	saw("BGW-031", "%s", runs(h));
	stop(h);
	saw("not again", "%s", statuses[GetBackgroundWorkerPid(h, &pid)]);
	shared->starts = 0;
	h = child("exit 1", 0, 86400);
	saw("first end", "%s", stopped(h));
	stop(h);
	saw("BGW-036", "%s %d", statuses[GetBackgroundWorkerPid(h, &pid)], shared->starts);
}

static BackgroundWorker wrong;

static void register_wrong(void)
{
	BackgroundWorkerHandle *h;

	(void)RegisterDynamicBackgroundWorker(&wrong, &h);
}

static void probe_refused(void)
{
	fill(&wrong, "-");
	wrong.bgw_flags = 0;
	probe_error("no shared memory", register_wrong);
	fill(&wrong, "-");
	wrong.bgw_flags |= BGWORKER_BACKEND_DATABASE_CONNECTION;
	wrong.bgw_start_time = BgWorkerStart_PostmasterStart;
	probe_error("too early", register_wrong);
	fill(&wrong, "-");
	wrong.bgw_restart_time = -2;
	probe_error("restart -2", register_wrong);
	wrong.bgw_restart_time = 86400001;
	probe_error("restart 86400001", register_wrong);
	wrong.bgw_restart_time = 10;
	wrong.bgw_flags |= BGWORKER_CLASS_PARALLEL;
	probe_error("parallel with restart", register_wrong);
}

/* BGW-024: false, and the handle stays what it was; and all slots can be had again. */
static void probe_full(void)
{
	BackgroundWorkerHandle *handles[32], *none = (BackgroundWorkerHandle *)&wrong;
	BackgroundWorker w;
	int n = 0;

	fill(&w, "wait");
	while (n < (int)lengthof(handles) && RegisterDynamicBackgroundWorker(&w, &handles[n]))
		n++;
	saw("full", "%d %d", n > 2, n < (int)lengthof(handles));
	saw("one more", "%d", RegisterDynamicBackgroundWorker(&w, &none));
	saw("its handle", "%d", none == (BackgroundWorkerHandle *)&wrong);
	for (int i = 0; i < n; i++)
		TerminateBackgroundWorker(handles[i]);
	for (int i = 0; i < n; i++)
		(void)WaitForBackgroundWorkerShutdown(handles[i]);
	saw("room again", "%s", stopped(child("exit 0", 0, BGW_NEVER_RESTART)));
}

void probe_workers(void)
{
	saw("type of nobody", "%d", GetBackgroundWorkerTypeByPid(1) == NULL);
	probe_given();
	probe_life();
	probe_ends();
	probe_restart();
	probe_refused();
	probe_full();
}
