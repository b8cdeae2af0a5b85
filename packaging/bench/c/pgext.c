/*
 * Background workers of PostgreSQL, measured from inside the server; and the same
 * file under pg-bgw, where a worker of it, the registrar, does what in the
 * server a session does.
 *
 * Loaded by shared_preload_libraries, so that the ledger is mapped once and every
 * worker inherits it. A worker whose library is loaded only when it starts maps
 * the ledger that its bgw_extra names. A worker's first instruction is the
 * first of its main function, as bgworker.c calls it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ledger.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_start);
PG_FUNCTION_INFO_V1(bench_stop);
PG_FUNCTION_INFO_V1(bench_terminate);

PGDLLEXPORT void _PG_init(void);
PGDLLEXPORT void bench_worker_main(Datum arg);
PGDLLEXPORT void bench_registrar_main(Datum arg);

static char *ledger_path;
static char *library_path;
static bool follow;
static struct ledger *ledger;
static BackgroundWorkerHandle *handles[LEDGER_RECORDS];
static volatile sig_atomic_t leave_with = -1;

static uint64
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64) t.tv_sec * 1000000000u + (uint64) t.tv_nsec;
}

static void
ledger_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void
register_follower(int32 index, BgWorkerStartTime when)
{
	BackgroundWorker w;

	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS;
	w.bgw_start_time = when;
	w.bgw_restart_time = 0;
	snprintf(w.bgw_name, BGW_MAXLEN, "bench %d", index);
	snprintf(w.bgw_type, BGW_MAXLEN, "bench");
	strlcpy(w.bgw_library_name, library_path, sizeof w.bgw_library_name);
	snprintf(w.bgw_function_name, BGW_MAXLEN, "bench_worker_main");
	w.bgw_main_arg = Int32GetDatum(index);
	RegisterBackgroundWorker(&w);
}

static void
map_ledger(const char *path)
{
	void	   *at;
	int			fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		ereport(FATAL, (errmsg("could not open ledger \"%s\": %m", path)));
	at = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		ereport(FATAL, (errmsg("could not map ledger \"%s\": %m", path)));
	close(fd);
	ledger = at;
	if (ledger->magic != LEDGER_MAGIC)
		ereport(FATAL, (errmsg("file \"%s\" is not a ledger", path)));
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomStringVariable("pgbgw_bench.ledger", "File of the ledger.", NULL,
							   &ledger_path, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pgbgw_bench.library", "File of this library.", NULL,
							   &library_path, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pgbgw_bench.follow", "Whether two workers follow the server's phases.", NULL,
							 &follow, false, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	map_ledger(ledger_path);
	if (follow)
	{
		register_follower(0, BgWorkerStart_ConsistentState);
		register_follower(1, BgWorkerStart_RecoveryFinished);
	}
}

static void
on_term(SIGNAL_ARGS)
{
	leave_with = 0;
	SetLatch(MyLatch);
}

static void
on_usr2(SIGNAL_ARGS)
{
	leave_with = 1;
	SetLatch(MyLatch);
}

void
bench_worker_main(Datum arg)
{
	uint64		start_ns = clock_ns();
	int32		index = DatumGetInt32(arg);

	pqsignal(SIGTERM, on_term);
	pqsignal(SIGUSR2, on_usr2);
	BackgroundWorkerUnblockSignals();
	if (ledger == NULL)
		map_ledger(MyBgworkerEntry->bgw_extra);
	ledger_started(ledger, (uint32) index, start_ns, (uint32) MyProcPid);
	while (leave_with < 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	ledger->record[index].exit_ns = clock_ns();
	proc_exit(leave_with);
}

static void
check_range(int32 first, int32 n)
{
	if (ledger == NULL)
		ereport(ERROR, (errmsg("the ledger is not mapped"),
						errhint("Load this library by shared_preload_libraries.")));
	if (first < 0 || n < 0 || first > LEDGER_RECORDS - n)
		ereport(ERROR, (errmsg("workers %d to %d are outside of the ledger",
							   first, first + n)));
}

/* start registers n workers of a library, owned by this process. */
static void
start(int32 first, int32 n, const char *library)
{
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorker w;

	check_range(first, n);
	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS;
	w.bgw_start_time = BgWorkerStart_PostmasterStart;
	w.bgw_restart_time = 0;
	w.bgw_notify_pid = MyProcPid;
	snprintf(w.bgw_type, BGW_MAXLEN, "bench");
	strlcpy(w.bgw_library_name, library, sizeof w.bgw_library_name);
	snprintf(w.bgw_function_name, BGW_MAXLEN, "bench_worker_main");
	strlcpy(w.bgw_extra, ledger_path, sizeof w.bgw_extra);
	for (int32 i = first; i < first + n; i++)
	{
		snprintf(w.bgw_name, BGW_MAXLEN, "bench %d", i);
		w.bgw_main_arg = Int32GetDatum(i);
		ledger->record[i].request_ns = clock_ns();
		if (!RegisterDynamicBackgroundWorker(&w, &handles[i]))
			ereport(ERROR, (errmsg("could not register worker %d: no free slot", i)));
	}
	MemoryContextSwitchTo(before);
}

static void
forget(int32 i)
{
	pfree(handles[i]);
	handles[i] = NULL;
}

/* stop terminates those this process owns, and waits for all. */
static void
stop(int32 first, int32 n)
{
	check_range(first, n);
	for (int32 i = first; i < first + n; i++)
		if (handles[i] != NULL)
			TerminateBackgroundWorker(handles[i]);
	for (int32 i = first; i < first + n; i++)
		if (handles[i] != NULL)
		{
			(void) WaitForBackgroundWorkerShutdown(handles[i]);
			forget(i);
		}
}

/* bench_start(first, n, library) */
Datum
bench_start(PG_FUNCTION_ARGS)
{
	start(PG_GETARG_INT32(0), PG_GETARG_INT32(1), text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_VOID();
}

/* bench_stop(first, n) */
Datum
bench_stop(PG_FUNCTION_ARGS)
{
	stop(PG_GETARG_INT32(0), PG_GETARG_INT32(1));
	PG_RETURN_VOID();
}

/* bench_terminate(i): nanoseconds from terminate to WaitForShutdown's return. */
Datum
bench_terminate(PG_FUNCTION_ARGS)
{
	int32		i = PG_GETARG_INT32(0);
	uint64		before;
	uint64		after;

	check_range(i, 1);
	if (handles[i] == NULL)
		ereport(ERROR, (errmsg("worker %d is not this session's", i)));
	before = clock_ns();
	TerminateBackgroundWorker(handles[i]);
	(void) WaitForBackgroundWorkerShutdown(handles[i]);
	after = clock_ns();
	forget(i);
	PG_RETURN_INT64((int64) (after - before));
}

static int
call(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strlcpy(to.sun_path, path, sizeof to.sun_path);
	if (fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof to) != 0)
		ereport(FATAL, (errmsg("could not connect to \"%s\": %m", path)));
	return fd;
}

/*
 * The registrar: a worker that takes orders over the socket that its bgw_extra
 * names, lines of a word, two numbers and a library, and answers each with
 * "ok". It ends with the connection.
 */
void
bench_registrar_main(Datum arg)
{
	char		line[2048];
	char		word[8];
	char		library[1024];
	int			first;
	int			n;
	FILE	   *orders;
	int			fd;

	BackgroundWorkerUnblockSignals();
	fd = call(MyBgworkerEntry->bgw_extra);
	orders = fdopen(fd, "r");
	while (orders != NULL && fgets(line, sizeof line, orders) != NULL)
	{
		if (sscanf(line, "%7s %d %d %1023s", word, &first, &n, library) != 4)
			ereport(FATAL, (errmsg("an order is \"%s\"", line)));
		if (strcmp(word, "start") == 0)
			start(first, n, library);
		else
			stop(first, n);
		if (write(fd, "ok\n", 3) != 3)
			break;
	}
	proc_exit(0);
}
