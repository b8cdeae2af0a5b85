/*
 * Rows of the conformance table that need a second worker of another kind: names
 * (BGW-020), handles whose slot somebody else has (BGW-032, BGW-033), latches (BGW-154 to
 * BGW-156), a queue that is not flushed (BGW-152), a barrier that is left (BGW-159), and
 * a lock whose holder has ended (BGW-160).
 */
#include "bgw_spi.h"

#include <fcntl.h>
#include <unistd.h>

#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "child.h"

static const char *const statuses[] = { "started", "not yet started", "stopped", "postmaster died" };
static const char *const results[] = { "success", "would block", "detached" };

static BackgroundWorkerHandle *start(const char *name, const char *what, Datum arg)
{
	BackgroundWorkerHandle *h = NULL;
	BackgroundWorker w;

	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS;
	w.bgw_start_time = BgWorkerStart_ConsistentState;
	w.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(w.bgw_name, name, sizeof w.bgw_name);
	strcpy(w.bgw_library_name, "bgw_spi");
	strcpy(w.bgw_function_name, "bgw_spi_row_main");
	strlcpy(w.bgw_extra, what, sizeof w.bgw_extra);
	w.bgw_main_arg = arg;
	w.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&w, &h))
		elog(ERROR, "no worker slot is free");
	return h;
}

static const char *stopped(BackgroundWorkerHandle *h)
{
	return statuses[WaitForBackgroundWorkerShutdown(h)];
}

/* title leaves what ps(1) shows of this process, without what stands before its name, in the shared memory. */
static void title(void)
{
	char text[BGW_MAXLEN * 2] = "", *at;
	int fd = open("/proc/self/cmdline", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
		elog(FATAL, "/proc/self/cmdline: %m");
	close(fd);
	at = strstr(text, ": ");
	strlcpy(shared->name, at ? at + 2 : text, sizeof shared->name);
	for (at = shared->name + strlen(shared->name); at > shared->name && at[-1] == ' ';)
		*--at = '\0';
	strlcpy(shared->type, MyBgworkerEntry->bgw_name, sizeof shared->type);
}

static void whisper(Datum arg)
{
	dsm_segment *seg = dsm_attach(DatumGetUInt32(arg));
	shm_mq_handle *there, *back;

	open_queues(seg, &there, &back, true);
	for (int i = 0; i < 3; i++)
		(void)shm_mq_send(back, 5, "quiet", false, false);
	NOTE(shared->starts++);
	UNTIL(s->done == 1);
	shm_mq_detach(back);
	NOTE(shared->done++);
	dsm_detach(seg);
}

static void meet(void)
{
	bool elected;

	BarrierAttach(&shared->barrier);
	NOTE(shared->starts++);
	elected = BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	NOTE(shared->elected += elected; shared->done++);
}

void bgw_spi_row_main(Datum arg)
{
	const char *what = MyBgworkerEntry->bgw_extra;

	BackgroundWorkerUnblockSignals();
	if (strcmp(what, "title") == 0)
		title();
	else if (strcmp(what, "whisper") == 0)
		whisper(arg);
	else if (strcmp(what, "meet") == 0)
		meet();
	else if (strcmp(what, "wait") == 0)
		for (;;) {
			WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	if (strncmp(what, "lock", 4) == 0)
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (strcmp(what, "lock, error") == 0)
		elog(ERROR, "as was wanted");
	proc_exit(strcmp(what, "lock, exit 1") == 0);
}

/* Each byte that is not ASCII. */
static void probe_name(void)
{
	saw("BGW-020", "%s", stopped(start("Schl\303\244fer", "title", 0)));
	saw("BGW-020, its title", "%s", shared->name);
	saw("BGW-020, its entry", "%s", shared->type);
}

static void probe_stale(void)
{
	BackgroundWorkerHandle *old = start("first", "-", 0), *now;
	pid_t pid = 0, same = 0;

	saw("first", "%s", stopped(old));
	now = start("second", "wait", 0); /* in the lowest slot, which is that of the first */
	saw("second", "%s", statuses[WaitForBackgroundWorkerStartup(now, &pid)]);
	saw("BGW-032", "%s", statuses[GetBackgroundWorkerPid(old, &same)]);
	TerminateBackgroundWorker(old);
	saw("third", "%s", stopped(start("third", "-", 0))); /* by now that has come to pass */
	saw("BGW-033", "%s %d", statuses[GetBackgroundWorkerPid(now, &same)], same == pid);
	TerminateBackgroundWorker(now);
	saw("second", "%s", stopped(now));
}

static int wait_for(Latch *latch, long ms)
{
	return WaitLatch(latch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
}

/* A latch of its own: news of the workers may set this process's at any time. */
static void probe_latch(void)
{
	static Latch own;
	TimestampTz before;

	InitLatch(&own);
	SetLatch(&own);
	saw("BGW-154", "%d", wait_for(&own, 60000) == WL_LATCH_SET);
	SetLatch(&own);
	ResetLatch(&own);
	before = GetCurrentTimestamp();
	saw("BGW-155, BGW-156", "%d", wait_for(&own, 100) == WL_TIMEOUT);
	saw("BGW-156", "%d", TimestampDifferenceExceeds(before, GetCurrentTimestamp(), 99));
}

static void probe_quiet(void)
{
	shm_mq_handle *there, *back;
	dsm_segment *seg = make_queues(1024, &there, &back);
	BackgroundWorkerHandle *h;
	Size n;
	void *data;

	shared->starts = shared->done = 0;
	h = start("whisperer", "whisper", UInt32GetDatum(dsm_segment_handle(seg)));
	UNTIL(s->starts == 1);
	saw("BGW-152", "%s", results[shm_mq_receive(back, &n, &data, true)]);
	NOTE(shared->done = 1);
	UNTIL(s->done == 2);
	for (int i = 0; i < 4; i++)
		saw("BGW-152, detached", "%s", results[shm_mq_receive(back, &n, &data, true)]);
	saw("whisperer", "%s", stopped(h));
	dsm_detach(seg);
}

static void probe_least(void)
{
	void *memory = palloc0(shm_mq_minimum_size);

	saw("BGW-142", "%zu %d", shm_mq_minimum_size, shm_mq_create(memory, shm_mq_minimum_size) != NULL);
	pfree(memory);
}

static void probe_left(void)
{
	volatile Barrier *b = &shared->barrier;
	BackgroundWorkerHandle *h[2];

	BarrierInit(&shared->barrier, 0);
	BarrierAttach(&shared->barrier);
	shared->starts = shared->done = shared->elected = 0;
	for (int i = 0; i < 2; i++)
		h[i] = start("waiter", "meet", 0);
	UNTIL(s->starts == 2);
	while (b->arrived < 2)
		pg_usleep(1000);
	saw("BGW-159, not the last", "%d", BarrierDetach(&shared->barrier));
	UNTIL(s->done == 2);
	saw("BGW-159", "%d elected, phase %d, %d left", shared->elected, BarrierPhase(&shared->barrier), BarrierParticipants(&shared->barrier));
	for (int i = 0; i < 2; i++)
		saw("waiter", "%s", stopped(h[i]));
}

static void probe_holder(void)
{
	static const char *const ends[] = { "lock, exit 0", "lock, exit 1", "lock, error" };

	for (int i = 0; i < (int)lengthof(ends); i++) {
		saw(ends[i], "%s", stopped(start("holder", ends[i], 0)));
		saw("BGW-160", "%d", LWLockConditionalAcquire(shared->lock, LW_EXCLUSIVE));
		LWLockRelease(shared->lock);
	}
}

void probe_rows(void)
{
	probe_name();
	probe_stale();
	probe_latch();
	probe_least();
	probe_quiet();
	probe_left();
	probe_holder();
}
