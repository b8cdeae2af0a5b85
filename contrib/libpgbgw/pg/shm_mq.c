/*
 * shm_mq: message queues, in libpgbgw's layout, so that the other end may be a
 * worker in C, Go or Python. Nothing here waits but in WaitLatch, where an
 * interrupt is heard.
 *
 * A queue of 4,096 bytes and more has a ring that is 328 bytes smaller than
 * PostgreSQL's (its counters have cache lines of their own); who sends without
 * waiting sees that it is full so much earlier.
 */
#include "internal.h"

#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"

#include "segment.h"
#include "shared.h"
#include "supervisor.h"
#include "../src/mq.h"

/* Below, PostgreSQL's waits look at the state at least so often: the death of a process rings no bell. */
#define PATROL_MS 1000

enum {
	FEW = 8, /* parts of a message for which no memory is allocated */
	NARROW_HEADER = 56,
	AMBIGUOUS_MIN = PGBGW_WIDE_QUEUE - sizeof(struct pgbgw_wide_queue_header) + NARROW_HEADER, /* see pgi_mq_size */
};

const Size shm_mq_minimum_size = PGBGW_MIN_QUEUE_SIZE;

/* The ends that this process has of a queue. They outlive the handle, which belongs to a memory context. */
struct ends {
	struct ends *next;
	shm_mq *mq;
	pgbgw_mq *at[2]; /* by role; NULL: not this process's */
};

struct shm_mq_handle {
	shm_mq *mq;
	dsm_segment *segment;
	struct ends *ends;
};

static struct ends *all;

/* party_of is the party word of a worker of this launcher's. */
static uint64 party_of(PGPROC *proc)
{
	pgbgw_self self = { 0 };
	int slot = proc_slot(proc);
	pgbgw_slot s;

	if (proc == MyProc)
		return pgi_party(pgbgw_get_self(the_pgbgw));
	if (slot < 0 || pgbgw_slot_get(the_pgbgw, (uint32)slot, &s) < 0)
		elog(ERROR, "no such worker");
	self.handle = (pgbgw_handle){ (uint32)slot, s.generation };
	self.start = s.start;
	return pgi_party(&self);
}

static void give(shm_mq *mq, enum pgbgw_mq_role role, PGPROC *proc)
{
	if (!the_pgbgw)
		elog(ERROR, "queues exist in workers only");
	if (pgi_mq_give(the_pgbgw, mq, role, party_of(proc)) < 0)
		elog(ERROR, "%s", pgbgw_last_error());
}

void shm_mq_set_receiver(shm_mq *mq, PGPROC *proc)
{
	give(mq, PGBGW_MQ_RECEIVER, proc);
}

void shm_mq_set_sender(shm_mq *mq, PGPROC *proc)
{
	give(mq, PGBGW_MQ_SENDER, proc);
}

static PGPROC *proc_at(shm_mq *mq, enum pgbgw_mq_role role)
{
	uint64 party = pgi_mq_party(mq, role);

	return party ? proc_of(pgi_party_slot(party)) : NULL;
}

PGPROC *shm_mq_get_receiver(shm_mq *mq)
{
	return proc_at(mq, PGBGW_MQ_RECEIVER);
}

PGPROC *shm_mq_get_sender(shm_mq *mq)
{
	return proc_at(mq, PGBGW_MQ_SENDER);
}

/* ---- Attaching and detaching ---- */

static struct ends *ends_of(shm_mq *mq)
{
	struct ends *e = all;

	while (e && e->mq != mq)
		e = e->next;
	return e;
}

/* forget detaches; what was not flushed is shown to the receiver, or lost (BGW-152). */
static void forget(struct ends *e, bool show)
{
	struct ends **at = &all;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	for (int role = 0; role < (int)lengthof(e->at); role++) {
		if (e->at[role] && !show)
			pgi_mq_abandon(e->at[role]);
		pgbgw_mq_detach(e->at[role]);
	}
	pfree(e);
}

shm_mq *shm_mq_create(void *address, Size size)
{
	struct ends *stale = ends_of(address);

	if (stale) /* of a queue that was here before */
		forget(stale, false);
	size = MAXALIGN_DOWN(size);
	if (size >= AMBIGUOUS_MIN && size < PGBGW_WIDE_QUEUE)
		size = AMBIGUOUS_MIN - MAXIMUM_ALIGNOF;
	if (pgbgw_mq_create(address, size) < 0)
		elog(ERROR, "cannot make a queue: %s", pgbgw_last_error());
	return address;
}

static void segment_detached(dsm_segment *seg, Datum mq)
{
	struct ends *e = ends_of((shm_mq *)DatumGetPointer(mq));

	if (e)
		forget(e, false);
}

static void take(struct ends *e, enum pgbgw_mq_role role)
{
	if (!e->at[role] && pgi_mq_party(e->mq, role) == pgi_party(pgbgw_get_self(the_pgbgw)) && pgi_mq_take(the_pgbgw, e->mq, role, &e->at[role]) < 0)
		elog(ERROR, "cannot attach to the queue: %s", pgbgw_last_error());
}

static struct ends *new_ends(shm_mq *mq)
{
	struct ends *e = MemoryContextAllocZero(TopMemoryContext, sizeof *e);

	e->mq = mq;
	e->next = all;
	all = e;
	return e;
}

shm_mq_handle *shm_mq_attach(shm_mq *mq, dsm_segment *seg, BackgroundWorkerHandle *handle)
{
	shm_mq_handle *h = palloc0(sizeof *h);

	if (!the_pgbgw)
		elog(ERROR, "queues exist in workers only");
	h->mq = mq;
	h->segment = seg;
	h->ends = ends_of(mq) ? ends_of(mq) : new_ends(mq);
	take(h->ends, PGBGW_MQ_SENDER);
	take(h->ends, PGBGW_MQ_RECEIVER);
	if (!h->ends->at[PGBGW_MQ_SENDER] && !h->ends->at[PGBGW_MQ_RECEIVER])
		elog(ERROR, "this process is neither the sender nor the receiver of the queue");
	if (seg)
		on_dsm_detach(seg, segment_detached, PointerGetDatum(mq));
	if (handle)
		shm_mq_set_handle(h, handle);
	return h;
}

void shm_mq_set_handle(shm_mq_handle *mqh, BackgroundWorkerHandle *handle)
{
	for (int role = 0; role < (int)lengthof(mqh->ends->at); role++)
		if (mqh->ends->at[role])
			pgbgw_mq_set_handle(mqh->ends->at[role], supervisor_handle(handle));
}

void shm_mq_detach(shm_mq_handle *mqh)
{
	if (mqh->segment)
		cancel_on_dsm_detach(mqh->segment, segment_detached, PointerGetDatum(mqh->mq));
	if (ends_of(mqh->mq))
		forget(mqh->ends, true);
	pfree(mqh);
}

shm_mq *shm_mq_get_queue(shm_mq_handle *mqh)
{
	return mqh->mq;
}

/* ---- Messages ---- */

static pgbgw_mq *end_of(shm_mq_handle *mqh, enum pgbgw_mq_role role)
{
	pgbgw_mq *q = mqh->ends->at[role];

	if (!q)
		elog(ERROR, "this process is not the %s of the queue", role == PGBGW_MQ_SENDER ? "sender" : "receiver");
	return q;
}

static void wait(void)
{
	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, PATROL_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static shm_mq_result result(int error)
{
	switch (error) {
	case 0:
		return SHM_MQ_SUCCESS;
	case -EAGAIN:
		return SHM_MQ_WOULD_BLOCK;
	case -EPIPE:
		return SHM_MQ_DETACHED;
	}
	elog(ERROR, "the queue cannot be used: %s", pgbgw_last_error());
}

shm_mq_result shm_mq_sendv(shm_mq_handle *mqh, shm_mq_iovec *iov, int iovcnt, bool nowait, bool force_flush)
{
	pgbgw_mq *q = end_of(mqh, PGBGW_MQ_SENDER);
	unsigned flags = PGBGW_MQ_NOWAIT | (nowait ? 0 : MQ_SPIN) | (force_flush ? PGBGW_MQ_FLUSH : 0);
	struct iovec few[FEW], *parts = iovcnt <= FEW ? few : palloc((Size)iovcnt * sizeof *parts);
	Size n = 0;
	int error;

	for (int i = 0; i < iovcnt; i++) {
		parts[i] = (struct iovec){ (void *)(uintptr_t)iov[i].data, iov[i].len };
		n += iov[i].len;
	}
	if (n > MaxAllocSize) /* BGW-153 */
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("cannot send a message of size %zu via shared memory queue", n)));
	while ((error = pgbgw_mq_sendv(q, parts, (size_t)iovcnt, flags)) == -EAGAIN && !nowait)
		wait();
	if (parts != few)
		pfree(parts);
	return result(error);
}

shm_mq_result shm_mq_send(shm_mq_handle *mqh, Size nbytes, const void *data, bool nowait, bool force_flush)
{
	shm_mq_iovec one = { data, nbytes };

	return shm_mq_sendv(mqh, &one, 1, nowait, force_flush);
}

shm_mq_result shm_mq_receive(shm_mq_handle *mqh, Size *nbytesp, void **datap, bool nowait)
{
	pgbgw_mq *q = end_of(mqh, PGBGW_MQ_RECEIVER);
	int error;

	while ((error = pgbgw_mq_receive(q, datap, nbytesp, PGBGW_MQ_NOWAIT | (nowait ? 0 : MQ_SPIN))) == -EAGAIN && !nowait)
		wait();
	return result(error);
}

/* DETACHED too when the worker that the handle names has stopped before (BGW-150). */
shm_mq_result shm_mq_wait_for_attach(shm_mq_handle *mqh)
{
	pgbgw_mq *q = mqh->ends->at[PGBGW_MQ_RECEIVER] ? mqh->ends->at[PGBGW_MQ_RECEIVER] : mqh->ends->at[PGBGW_MQ_SENDER];

	for (;;) {
		bool something;

		if (atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
			return SHM_MQ_DETACHED;
		if (atomic_load(q->theirs) != 0)
			return SHM_MQ_SUCCESS;
		q->greeting = true;
		something = pgi_mq_arm_end(q);
		q->greeting = false; /* before the wait, which an interrupt may end */
		if (!something)
			wait();
	}
}
