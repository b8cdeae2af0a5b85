/*
 * Workers in a row, a queue between each two of them and this one at both ends:
 * what goes in comes out again, message by message, with every size of queue
 * that is worth a look, and with one message under way or as many as fit in.
 */
#include "bgw_spi.h"

#include <sys/resource.h>

#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "child.h"

struct run {
	int workers;
	Size queue, message;
	int times;
	bool many; /* under way at once */
};

struct row {
	const struct run *run;
	dsm_segment *seg;
	BackgroundWorkerHandle *child[MOST_IN_A_ROW];
	shm_mq_handle *in, *out;
	char *message;
	int sent, received, equal;
};

static shm_mq *new_queue(shm_toc *toc, uint64 key, Size size)
{
	shm_mq *mq = shm_mq_create(shm_toc_allocate(toc, size), size);

	shm_toc_insert(toc, key, mq);
	return mq;
}

static dsm_segment *new_segment(const struct run *run, shm_toc **toc)
{
	shm_toc_estimator e;
	dsm_segment *seg;

	shm_toc_initialize_estimator(&e);
	for (int i = 0; i <= run->workers; i++)
		shm_toc_estimate_chunk(&e, run->queue);
	shm_toc_estimate_keys(&e, run->workers + 1);
	seg = dsm_create(shm_toc_estimate(&e), 0);
	*toc = shm_toc_create(TOC_MAGIC, dsm_segment_address(seg), shm_toc_estimate(&e));
	return seg;
}

/* line_up starts the workers; queue i is before worker i. */
static void line_up(struct row *r)
{
	const struct run *run = r->run;
	shm_mq *first = NULL, *last = NULL;
	shm_toc *toc;

	r->seg = new_segment(run, &toc);
	for (int i = 0; i <= run->workers; i++) {
		last = new_queue(toc, KEY_ROW + i, run->queue);
		first = first ? first : last;
	}
	shm_mq_set_sender(first, MyProc);
	shm_mq_set_receiver(last, MyProc);
	NOTE(shared->places = shared->done = 0);
	for (int i = 0; i < run->workers; i++)
		r->child[i] = child("pass", UInt32GetDatum(dsm_segment_handle(r->seg)), BGW_NEVER_RESTART);
	UNTIL(s->done == run->workers);
	r->out = shm_mq_attach(first, r->seg, r->child[0]);
	r->in = shm_mq_attach(last, r->seg, r->child[run->workers - 1]);
}

static void send_one(struct row *r, bool nowait, bool *moved)
{
	switch (shm_mq_send(r->out, r->run->message, r->message, nowait, true)) {
	case SHM_MQ_SUCCESS:
		r->sent++;
		*moved = true;
		break;
	case SHM_MQ_DETACHED:
		elog(ERROR, "a worker has left");
	case SHM_MQ_WOULD_BLOCK:
		break;
	}
}

static void receive_one(struct row *r, bool nowait, bool *moved)
{
	Size n;
	void *data;

	switch (shm_mq_receive(r->in, &n, &data, nowait)) {
	case SHM_MQ_SUCCESS:
		r->received++;
		r->equal += n == r->run->message && memcmp(data, r->message, n) == 0;
		*moved = true;
		break;
	case SHM_MQ_DETACHED:
		elog(ERROR, "a worker has left");
	case SHM_MQ_WOULD_BLOCK:
		break;
	}
}

static void one_at_a_time(struct row *r)
{
	bool moved;

	while (r->received < r->run->times) {
		send_one(r, false, &moved);
		receive_one(r, false, &moved);
	}
}

static void many_at_once(struct row *r)
{
	while (r->received < r->run->times) {
		bool moved = false;

		if (r->sent < r->run->times)
			send_one(r, true, &moved);
		receive_one(r, true, &moved);
		if (moved)
			continue;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void fill(char *message, Size n)
{
	uint32 x = 2463534242u;

	for (Size i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		message[i] = (char)(' ' + x % 95);
	}
}

/* cpu is what this process has used of a CPU, in microseconds. */
static int64 cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (int64)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static void go(const struct run *run)
{
	struct row r = { .run = run };
	TimestampTz before;
	int64 used;

	r.message = palloc(run->message + 1);
	fill(r.message, run->message);
	line_up(&r);
	before = GetCurrentTimestamp();
	used = cpu();
	(run->many ? many_at_once : one_at_a_time)(&r);
	elog(LOG, "%d workers, %d messages of %zu bytes, queues of %zu, %s: " INT64_FORMAT " us, CPU " INT64_FORMAT " us", run->workers, run->times, run->message,
	     run->queue, run->many ? "many at once" : "one at a time", (int64)(GetCurrentTimestamp() - before), cpu() - used);
	saw("pipeline", "%d workers, queues of %zu, messages of %zu: %d sent, %d equal", run->workers, run->queue, run->message, r.sent, r.equal);
	dsm_detach(r.seg); /* the first worker is through, and leaves, and so they all do */
	for (int i = 0; i < run->workers; i++)
		saw("the child", "%d", WaitForBackgroundWorkerShutdown(r.child[i]));
	pfree(r.message);
}

void probe_pipeline(void)
{
	static const struct run runs[] = {
		{ 1, 1024, 0, 2000, false },       { 1, 1024, 1, 2001, false },        { 1, 32768, 700, 10000, false },
		{ 1, 100, 250, 10000, false },     { 3, 16384, 270000, 200, true },    { 1, 400000, 1024, 10000, false },
		{ 3, 400000, 16384, 10000, true }, { MOST_IN_A_ROW, 64, 300, 100, true },
	};

	for (int i = 0; i < (int)lengthof(runs); i++)
		go(&runs[i]);
}

void bgw_spi_pipeline_main(Datum arg)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(bgw_spi_database, bgw_spi_role, 0);
	probe_pipeline();
	saw("end", "-");
	write_down();
	proc_exit(0);
}
