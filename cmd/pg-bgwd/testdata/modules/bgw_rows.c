/*
 * Workers that do what bgw_extra tells them, word by word, and say in the log what
 * they see, as "NAME: TEXT". Nothing here knows of pg-bgw.
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

void _PG_init(void);
extern PGDLLEXPORT void bgw_rows_main(Datum arg);

static int inits;    /* how often _PG_init ran in this process or before its fork */
static int level, assigned;
static char *statics; /* what is registered: "NAME=EXTRA;…" */
static bool late;    /* the hook registers a worker too, which is too late */
static int *lives;   /* in shared memory: how often the hook found it */

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type next_request;
#endif
static shmem_startup_hook_type next_startup;

static void request(void)
{
#if PG_VERSION_NUM >= 150000
	if (next_request)
		next_request();
#endif
	RequestAddinShmemSpace(sizeof *lives);
}

static void enlist(const char *name, const char *extra)
{
	BackgroundWorker w;

	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS;
	w.bgw_start_time = BgWorkerStart_PostmasterStart;
	w.bgw_restart_time = strncmp(name, "never", 5) == 0 ? BGW_NEVER_RESTART : 3600;
	strlcpy(w.bgw_name, name, sizeof w.bgw_name);
	strlcpy(w.bgw_type, "rows type", sizeof w.bgw_type);
	if (strncmp(name, "chance", 6) == 0) /* what a module that leaves it out may have there */
		snprintf(w.bgw_type, sizeof w.bgw_type, "\001\360%d", (int)getpid());
	strlcpy(w.bgw_library_name, "bgw_rows", sizeof w.bgw_library_name);
	strlcpy(w.bgw_function_name, "bgw_rows_main", sizeof w.bgw_function_name);
	strlcpy(w.bgw_extra, extra, sizeof w.bgw_extra);
	RegisterBackgroundWorker(&w);
}

static void startup(void)
{
	bool found;

	if (next_startup)
		next_startup();
	lives = ShmemInitStruct("bgw_rows", sizeof *lives, &found);
	if (!found)
		*lives = 0;
	++*lives;
	elog(LOG, "bgw_rows: shared memory is %s, life %d", found ? "known" : "new", *lives);
	if (late)
		enlist("late hook", "wait");
}

static bool check_level(int *newval, void **extra, GucSource source)
{
	if (*newval != 13)
		return true;
	GUC_check_errdetail("13 brings bad luck.");
	return false;
}

static void assign_level(int newval, void *extra)
{
	assigned = newval;
}

void _PG_init(void)
{
	char *name, *at = NULL, *all;

	inits++;
	DefineCustomIntVariable("bgw_rows.level", "A level.", NULL, &level, 1, 0, 100, PGC_SIGHUP, 0, check_level, assign_level, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomBoolVariable("bgw_rows.late", "Register one in the hook.", NULL, &late, false, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("bgw_rows.statics", "What to register.", NULL, &statics, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
#if PG_VERSION_NUM >= 150000
	next_request = shmem_request_hook;
	shmem_request_hook = request;
#else
	request();
#endif
	next_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
	all = pstrdup(statics);
	for (name = strtok_r(all, ";", &at); name; name = strtok_r(NULL, ";", &at)) {
		char *extra = strchr(name, '=');

		*extra++ = '\0';
		enlist(name, extra);
	}
}

static void says(const char *text)
{
	elog(LOG, "%s: %s", MyBgworkerEntry->bgw_name, text);
}

static void signals(void)
{
	static const int number[] = { SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGPIPE, SIGTERM, SIGQUIT, SIGALRM, SIGCHLD };
	char text[2 * lengthof(number) + 1] = "";
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int i = 0; i < (int)lengthof(number); i++) {
		struct sigaction now;

		sigaction(number[i], NULL, &now);
		text[2 * i] = sigismember(&blocked, number[i]) ? 'b' : 'o';
		text[2 * i + 1] = now.sa_handler == SIG_IGN ? 'i' : now.sa_handler == SIG_DFL ? 'd' : 'h';
	}
	says(text);
}

static void query(const char *sql)
{
	char *value = "nothing";

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute(sql, false, 0);
	if (SPI_processed > 0 && SPI_tuptable)
		value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	says(value ? value : "null");
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void notify(void)
{
	StartTransactionCommand();
	Async_Notify("rows", "from a worker");
	CommitTransactionCommand();
}

static void wait_for_ever(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	for (;;) {
		says(psprintf("waits, level %d, assigned %d, inits %d, life %d", level, assigned, inits, lives ? *lives : 0));
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending) {
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

/* What a worker does all day, over and over. */
static void work(void)
{
	for (;;) {
		MemoryContext context = AllocSetContextCreate(TopMemoryContext, "work", ALLOCSET_DEFAULT_SIZES), old = MemoryContextSwitchTo(context);
		char *text = palloc(10);

		for (Size size = 16; size < 100000; size += size / 2)
			text = repalloc(text, size);
		query("SELECT repeat('long ', 1000) FROM generate_series(1, 100)");
		for (int i = 0; i < 1000; i++)
			free(malloc((Size)i * 7));
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
}

static void from_channel(const char *channel, const char *payload, int32 pid)
{
	says(psprintf("%s brought \"%s\"", channel, payload));
}

/* What comes on a channel is said, for ever; nothing but the latch and the notifications wakes it. */
static void listen_to(const char *channel)
{
	*find_rendezvous_variable("pg_bgw_notify") = (void *)from_channel;
	StartTransactionCommand();
	Async_Listen(channel);
	CommitTransactionCommand();
	says("listens");
	for (;;) {
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (notifyInterruptPending)
			ProcessNotifyInterrupt(false);
	}
}

/* As long as nobody writes. */
static void read_pipe(void)
{
	int ends[2];
	char byte;

	if (pipe(ends) < 0)
		elog(FATAL, "pipe: %m");
	says("reads");
	while (read(ends[0], &byte, 1) < 0)
		;
}

/* A query that is interrupted is an error as any other, and the session goes on. */
static void canceled(const char *sql)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		query(sql);
	}
	PG_CATCH();
	{
		ErrorData *e;

		MemoryContextSwitchTo(context);
		e = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
		says(psprintf("%s %s", unpack_sql_state(e->sqlerrcode), e->message));
	}
	PG_END_TRY();
}

/* BGW-035: a worker that cannot start yet, on a standby. */
static void unstarted(void)
{
	static const char *const statuses[] = { "started", "not yet started", "stopped" };
	BackgroundWorkerHandle *h;
	BackgroundWorker w = *MyBgworkerEntry;
	pid_t pid;

	pqsignal(SIGUSR1, procsignal_sigusr1_handler); /* else a server's worker sleeps through what it waits for */
	strcpy(w.bgw_name, "unstarted");
	strcpy(w.bgw_extra, "say:has started");
	w.bgw_start_time = BgWorkerStart_RecoveryFinished;
	w.bgw_restart_time = BGW_NEVER_RESTART;
	w.bgw_notify_pid = MyProcPid;
	for (int i = 0; i < 2; i++) { /* the second one has the slot of the first, where there is only one */
		/* A server says that a worker has stopped a moment before its slot is free. */
		for (int tries = 0; !RegisterDynamicBackgroundWorker(&w, &h); tries++) {
			if (tries == 1000)
				elog(FATAL, "no slot");
			pg_usleep(1000);
		}
		says(statuses[GetBackgroundWorkerPid(h, &pid)]);
		TerminateBackgroundWorker(h);
		says(statuses[WaitForBackgroundWorkerStartup(h, &pid)]);
		says(statuses[WaitForBackgroundWorkerShutdown(h)]);
	}
	says("through");
}

/* wordy says that it does more than there is room for, in characters of two bytes. */
static void wordy(void)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < 1000; i++)
		appendStringInfoString(&text, "\303\244");
	pgstat_report_activity(STATE_RUNNING, text.data);
}

static void connect_to(char *where)
{
	char *role = strchr(where, '/');

	if (role)
		*role++ = '\0';
	BackgroundWorkerInitializeConnection(*where ? where : NULL, role && *role ? role : NULL, 0);
	says("connected");
}

static void obey(char *word)
{
	char *rest = strchr(word, ':');

	if (rest)
		*rest++ = '\0';
	if (strcmp(word, "unblock") == 0)
		BackgroundWorkerUnblockSignals();
	else if (strcmp(word, "say") == 0)
		says(rest);
	else if (strcmp(word, "doing") == 0)
		pgstat_report_activity(STATE_RUNNING, rest);
	else if (strcmp(word, "wordy") == 0)
		wordy();
	else if (strcmp(word, "idle") == 0)
		pgstat_report_activity(STATE_IDLE, NULL);
	else if (strcmp(word, "signals") == 0)
		signals();
	else if (strcmp(word, "term") == 0)
		kill(MyProcPid, SIGTERM);
	else if (strcmp(word, "error") == 0)
		ereport(ERROR, (errcode(ERRCODE_DIVISION_BY_ZERO), errmsg("uncaught")));
	else if (strcmp(word, "segv") == 0)
		*(volatile int *)NULL = 1;
	else if (strcmp(word, "connect") == 0)
		connect_to(rest);
	else if (strcmp(word, "query") == 0)
		query(rest);
	else if (strcmp(word, "canceled") == 0)
		canceled(rest);
	else if (strcmp(word, "unstarted") == 0)
		unstarted();
	else if (strcmp(word, "lock") == 0)
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	else if (strcmp(word, "work") == 0)
		work();
	else if (strcmp(word, "listen") == 0)
		listen_to(rest);
	else if (strcmp(word, "die") == 0)
		pqsignal(SIGTERM, die);
	else if (strcmp(word, "spin") == 0)
		for (says("spins");;)
			;
	else if (strcmp(word, "sleep") == 0)
		for (says("sleeps");;)
			sleep(1000);
	else if (strcmp(word, "read") == 0)
		read_pipe();
	else if (strcmp(word, "notify") == 0)
		notify();
	else if (strcmp(word, "again") == 0)
		load_file("bgw_rows", false);
	else if (strcmp(word, "inits") == 0)
		says(psprintf("inits %d", inits));
	else if (strcmp(word, "enlist") == 0)
		enlist("late worker", "wait");
	else if (strcmp(word, "wait") == 0)
		wait_for_ever();
	else if (strcmp(word, "vanish") == 0)
		_exit(atoi(rest));
	else if (strcmp(word, "exit") == 0)
		proc_exit(atoi(rest));
	else
		elog(FATAL, "unknown word \"%s\"", word);
}

/* Words end at a comma, so that a query may have blanks. */
void bgw_rows_main(Datum arg)
{
	char *at = NULL;

	for (char *word = strtok_r(pstrdup(MyBgworkerEntry->bgw_extra), ",", &at); word; word = strtok_r(NULL, ",", &at))
		obey(word);
}
