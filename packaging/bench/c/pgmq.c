/*
 * PostgreSQL's own shm_mq, measured between two background workers of a server.
 * Each measurement has two workers and a dynamic shared memory segment of its
 * own; the one who asks waits until both are gone.
 */
#define _GNU_SOURCE
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_mq);
PG_FUNCTION_INFO_V1(bench_mq_ping);

PGDLLEXPORT void _PG_init(void);
PGDLLEXPORT void bench_mq_main(Datum arg);

static char *library_path;

enum { FORTH, BACK, QUEUES };

/* What is asked for, at the start of the segment; the answers are behind it. */
struct job
{
	uint64		ring;			/* bytes */
	uint64		size;			/* of a message */
	uint64		n;				/* messages, or round trips */
	uint64		gap_us;			/* sleep before each round trip */
	uint32		flush;			/* publish each message */
	uint32		ping;			/* round trips instead of one way */
	uint32		pin;			/* one processor each */
	uint32		failed;
	uint64		begun_ns;		/* answers */
	uint64		ended_ns;
	uint64		trip_ns;		/* median of the round trips */
};

#define JOB_ROOM 256
#define MQ_SIZE(ring) (shm_mq_minimum_size - MAXIMUM_ALIGNOF + (ring))

#if PG_VERSION_NUM >= 150000
#define SEND(h, n, data, flush) shm_mq_send(h, n, data, false, flush)
#else
#define SEND(h, n, data, flush) shm_mq_send(h, n, data, false)
#endif

static uint64
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64) t.tv_sec * 1000000000u + (uint64) t.tv_nsec;
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomStringVariable("pgbgw_bench.library", "File of this library.", NULL,
							   &library_path, "", PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static shm_mq *
queue(struct job *j, int i)
{
	return (shm_mq *) ((char *) j + JOB_ROOM + (Size) i * MAXALIGN(MQ_SIZE(j->ring)));
}

static void
one_way(struct job *j, dsm_segment *seg, int role)
{
	char	   *message = palloc0(j->size + 1);
	shm_mq_handle *h;

	if (role == 0)
	{
		shm_mq_set_sender(queue(j, FORTH), MyProc);
		h = shm_mq_attach(queue(j, FORTH), seg, NULL);
		if (shm_mq_wait_for_attach(h) != SHM_MQ_SUCCESS)
			j->failed = 1;
		j->begun_ns = now();
		for (uint64 i = 0; i < j->n && !j->failed; i++)
			if (SEND(h, j->size, message, j->flush) != SHM_MQ_SUCCESS)
				j->failed = 1;
	}
	else
	{
		shm_mq_set_receiver(queue(j, FORTH), MyProc);
		h = shm_mq_attach(queue(j, FORTH), seg, NULL);
		for (uint64 i = 0; i < j->n; i++)
		{
			Size		n;
			void	   *data;

			if (shm_mq_receive(h, &n, &data, false) != SHM_MQ_SUCCESS || n != j->size)
			{
				j->failed = 1;
				break;
			}
			memcpy(message, data, n);
		}
		j->ended_ns = now();
	}
	shm_mq_detach(h);
}

static int
smaller(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a,
				y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

static bool
pass(struct job *j, shm_mq_handle *in, shm_mq_handle *out, char *message, bool first)
{
	Size		n = j->size;
	void	   *data;

	if (first && SEND(out, n, message, true) != SHM_MQ_SUCCESS)
		return false;
	if (shm_mq_receive(in, &n, &data, false) != SHM_MQ_SUCCESS)
		return false;
	memcpy(message, data, n);
	return first || SEND(out, n, message, true) == SHM_MQ_SUCCESS;
}

static void
round_trips(struct job *j, dsm_segment *seg, int role)
{
	char	   *message = palloc0(j->size + 1);
	uint64	   *ns = palloc0(sizeof(uint64) * j->n);
	shm_mq	   *to = queue(j, role == 0 ? FORTH : BACK);
	shm_mq	   *from = queue(j, role == 0 ? BACK : FORTH);
	shm_mq_handle *out,
			   *in;

	shm_mq_set_sender(to, MyProc);
	shm_mq_set_receiver(from, MyProc);
	out = shm_mq_attach(to, seg, NULL);
	in = shm_mq_attach(from, seg, NULL);
	if (shm_mq_wait_for_attach(out) != SHM_MQ_SUCCESS)
		j->failed = 1;
	for (uint64 i = 0; i < j->n && !j->failed; i++)
	{
		uint64		t;

		if (role == 0 && j->gap_us > 0)
			pg_usleep(j->gap_us);
		t = now();
		if (!pass(j, in, out, message, role == 0))
			j->failed = 1;
		ns[i] = now() - t;
	}
	if (role == 0)
	{
		qsort(ns, j->n, sizeof *ns, smaller);
		j->trip_ns = ns[j->n / 2];
	}
	shm_mq_detach(out);
	shm_mq_detach(in);
}

void
bench_mq_main(Datum arg)
{
	dsm_segment *seg;
	struct job *j;
	int			role;

	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof role);
	BackgroundWorkerUnblockSignals();
	seg = dsm_attach(DatumGetUInt32(arg));
	if (seg == NULL)
		proc_exit(0);
	j = dsm_segment_address(seg);
	if (j->pin)
	{
		cpu_set_t	set;

		CPU_ZERO(&set);
		CPU_SET(role, &set);
		(void) sched_setaffinity(0, sizeof set, &set);
	}
	if (j->ping)
		round_trips(j, seg, role);
	else
		one_way(j, seg, role);
	dsm_detach(seg);
	proc_exit(0);
}

/* Has two workers do the job, and puts the answers into it. */
static void
carry_out(struct job *j)
{
	Size		room = JOB_ROOM + QUEUES * MAXALIGN(MQ_SIZE(j->ring));
	dsm_segment *seg = dsm_create(room, 0);
	struct job *shared = dsm_segment_address(seg);
	BackgroundWorkerHandle *handle[2];
	BackgroundWorker w;

	*shared = *j;
	for (int i = 0; i < QUEUES; i++)
		shm_mq_create(queue(shared, i), MQ_SIZE(j->ring));
	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS;
	w.bgw_start_time = BgWorkerStart_ConsistentState;
	w.bgw_restart_time = BGW_NEVER_RESTART;
	w.bgw_notify_pid = MyProcPid;
	w.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(seg));
	snprintf(w.bgw_type, BGW_MAXLEN, "bench mq");
	snprintf(w.bgw_name, BGW_MAXLEN, "bench mq");
	strlcpy(w.bgw_library_name, library_path, sizeof w.bgw_library_name);
	snprintf(w.bgw_function_name, BGW_MAXLEN, "bench_mq_main");
	for (int i = 0; i < 2; i++)
	{
		memcpy(w.bgw_extra, &i, sizeof i);
		if (!RegisterDynamicBackgroundWorker(&w, &handle[i]))
			ereport(ERROR, (errmsg("could not register worker %d: no free slot", i)));
	}
	for (int i = 0; i < 2; i++)
		(void) WaitForBackgroundWorkerShutdown(handle[i]);
	*j = *shared;
	dsm_detach(seg);
	if (j->failed)
		ereport(ERROR, (errmsg("a worker failed")));
}

/* bench_mq(ring, size, n, flush): nanoseconds for n messages. */
Datum
bench_mq(PG_FUNCTION_ARGS)
{
	struct job	j = {0};

	j.ring = (uint64) PG_GETARG_INT32(0);
	j.size = (uint64) PG_GETARG_INT32(1);
	j.n = (uint64) PG_GETARG_INT64(2);
	j.flush = PG_GETARG_BOOL(3);
	carry_out(&j);
	PG_RETURN_INT64((int64) (j.ended_ns - j.begun_ns));
}

/* bench_mq_ping(size, n, gap_us, pin): median nanoseconds of a round trip. */
Datum
bench_mq_ping(PG_FUNCTION_ARGS)
{
	struct job	j = {0};

	j.ring = 65536;
	j.size = (uint64) PG_GETARG_INT32(0);
	j.n = (uint64) PG_GETARG_INT64(1);
	j.gap_us = (uint64) PG_GETARG_INT32(2);
	j.pin = PG_GETARG_BOOL(3);
	j.ping = 1;
	carry_out(&j);
	PG_RETURN_INT64((int64) j.trip_ns);
}
