/*
 * The children of the probe: each does what bgw_extra says. And the fixed shared
 * memory of the module.
 */
#include "bgw_spi.h"

#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "storage/shmem.h"

#include "child.h"

struct shared *shared;
static shmem_startup_hook_type next_startup;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type next_request;
#endif

static void request(void)
{
#if PG_VERSION_NUM >= 150000
	if (next_request)
		next_request();
#endif
	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof *shared), shared_table_size()));
	RequestNamedLWLockTranche("bgw_spi", 2);
}

static void startup(void)
{
	bool found;

	if (next_startup)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("bgw_spi", sizeof *shared, &found);
	if (!found) {
		memset(shared, 0, sizeof *shared);
		shared->lock = &GetNamedLWLockTranche("bgw_spi")[1].lock;
		SpinLockInit(&shared->spin);
		ConditionVariableInit(&shared->changed);
	}
	shared_table_create();
	LWLockRelease(AddinShmemInitLock);
}

void request_shared(void)
{
#if PG_VERSION_NUM >= 150000
	next_request = shmem_request_hook;
	shmem_request_hook = request;
#else
	request();
#endif
	next_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

void open_queues(dsm_segment *seg, shm_mq_handle **there, shm_mq_handle **back, bool child)
{
	shm_toc *toc = shm_toc_attach(TOC_MAGIC, dsm_segment_address(seg));
	shm_mq *to = shm_toc_lookup(toc, KEY_THERE, false), *from = shm_toc_lookup(toc, KEY_BACK, false);

	if (child) {
		shm_mq_set_receiver(to, MyProc);
		shm_mq_set_sender(from, MyProc);
	} else {
		shm_mq_set_sender(to, MyProc);
		shm_mq_set_receiver(from, MyProc);
	}
	*there = shm_mq_attach(to, seg, NULL);
	*back = shm_mq_attach(from, seg, NULL);
}

dsm_segment *make_queues(Size size, shm_mq_handle **there, shm_mq_handle **back)
{
	shm_toc_estimator e;
	dsm_segment *seg;
	shm_toc *toc;

	shm_toc_initialize_estimator(&e);
	shm_toc_estimate_chunk(&e, size);
	shm_toc_estimate_chunk(&e, size);
	shm_toc_estimate_keys(&e, 2);
	seg = dsm_create(shm_toc_estimate(&e), 0);
	toc = shm_toc_create(TOC_MAGIC, dsm_segment_address(seg), shm_toc_estimate(&e));
	shm_toc_insert(toc, KEY_THERE, shm_mq_create(shm_toc_allocate(toc, size), size));
	shm_toc_insert(toc, KEY_BACK, shm_mq_create(shm_toc_allocate(toc, size), size));
	open_queues(seg, there, back, false);
	return seg;
}

/* echo sends back what comes, at most so many messages; -1 all. */
static void echo(Datum arg, int most)
{
	dsm_segment *seg = dsm_attach(DatumGetUInt32(arg));
	shm_mq_handle *there, *back;
	Size n;
	void *data;

	if (!seg)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("the segment is gone")));
	open_queues(seg, &there, &back, true);
	while (most-- != 0 && shm_mq_receive(there, &n, &data, false) == SHM_MQ_SUCCESS)
		if (shm_mq_send(back, n, data, false, true) != SHM_MQ_SUCCESS)
			break;
	dsm_detach(seg);
}

/* pass hands on what comes, from the queue before this process's place to the one behind it. */
static void pass(Datum arg)
{
	dsm_segment *seg = dsm_attach(DatumGetUInt32(arg));
	shm_toc *toc;
	shm_mq *from, *to;
	shm_mq_handle *in, *out;
	int place;
	Size n;
	void *data;

	if (!seg)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("the segment is gone")));
	toc = shm_toc_attach(TOC_MAGIC, dsm_segment_address(seg));
	NOTE(place = shared->places++);
	from = shm_toc_lookup(toc, KEY_ROW + place, false);
	to = shm_toc_lookup(toc, KEY_ROW + place + 1, false);
	shm_mq_set_receiver(from, MyProc);
	shm_mq_set_sender(to, MyProc);
	in = shm_mq_attach(from, seg, NULL);
	out = shm_mq_attach(to, seg, NULL);
	NOTE(shared->done++);
	while (shm_mq_receive(in, &n, &data, false) == SHM_MQ_SUCCESS)
		if (shm_mq_send(out, n, data, false, true) != SHM_MQ_SUCCESS)
			break;
	dsm_detach(seg);
}

static void count(int times)
{
	int i;
	bool elected;

	for (i = 0; i < times; i++) {
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		shared->locked++;
		LWLockRelease(shared->lock);
		SpinLockAcquire(&shared->spin);
		shared->spun++;
		SpinLockRelease(&shared->spin);
	}
	shared_table_note();
	elected = BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	NOTE(shared->elected += elected; shared->done++);
}

static void use_partition(uint32 partition)
{
	BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	shared->places = partition_rounds(partition);
}

static void wait_for_ever(void)
{
	for (;;) {
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void tell(Datum arg)
{
	BackgroundWorker *me = MyBgworkerEntry;

	shared->arg = DatumGetInt64(arg);
	shared->notify_pid = me->bgw_notify_pid;
	strlcpy(shared->name, me->bgw_name, sizeof shared->name);
	strlcpy(shared->type, me->bgw_type, sizeof shared->type);
	memcpy(shared->extra, me->bgw_extra, sizeof shared->extra);
	NOTE(shared->starts++);
}

void bgw_spi_child_main(Datum arg)
{
	const char *what = MyBgworkerEntry->bgw_extra;

	BackgroundWorkerUnblockSignals();
	if (strcmp(what, "echo") == 0)
		echo(arg, -1);
	else if (strcmp(what, "echo three") == 0)
		echo(arg, 3);
	else if (strcmp(what, "pass") == 0)
		pass(arg);
	else if (strcmp(what, "named") == 0)
		add_to_named();
	else if (strcmp(what, "table") == 0)
		count_in_table(arg);
	else if (strcmp(what, "free") == 0)
		free_piece(arg);
	else if (strcmp(what, "count") == 0)
		count(DatumGetInt32(arg));
	else if (strcmp(what, "partition") == 0)
		use_partition(DatumGetUInt32(arg));
	else
		tell(arg);
	if (strcmp(what, "exit 1") == 0)
		proc_exit(1);
	if (strcmp(what, "error") == 0)
		elog(ERROR, "as was wanted");
	if (strcmp(what, "wait") == 0 || (strcmp(what, "fail once") == 0 && shared->starts > 1))
		wait_for_ever();
	if (strcmp(what, "fail once") == 0)
		proc_exit(1);
	proc_exit(0);
}
