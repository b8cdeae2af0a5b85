/* Queues: making, attaching, waiting, detaching: what both ends have in common. */
#include <stdlib.h>

#include "mq.h"

/* Where things are: only the length decides. */
struct layout {
	uint64_t header, written, read, ring;
};

static int lay_over(const void *memory, size_t size, struct layout *l)
{
	if (size < PGBGW_MIN_QUEUE_SIZE)
		return pgi_fail(EINVAL, "a queue of %zu bytes: %d are the least", size, PGBGW_MIN_QUEUE_SIZE);
	if ((uintptr_t)memory % 8)
		return pgi_fail(EINVAL, "a queue does not begin at a multiple of 8");
	size &= ~(size_t)7;
	*l = size < PGBGW_WIDE_QUEUE ? (struct layout){ .header = 56, .written = 40, .read = 48 }
				     : (struct layout){ .header = sizeof(struct pgbgw_wide_queue_header),
							.written = offsetof(struct pgbgw_wide_queue_header, written),
							.read = offsetof(struct pgbgw_wide_queue_header, read) };
	l->ring = size - l->header;
	return 0;
}

int pgbgw_mq_create(void *memory, size_t size)
{
	struct layout l = { 0 };
	int r = lay_over(memory, size, &l);

	if (r < 0)
		return r;
	for (uint64_t at = 0; at < l.header; at += 8)
		atomic_store(pgi_word64(memory, at), 0);
	POINT();
	atomic_store(pgi_word64(memory, 8), l.ring);
	POINT();
	atomic_store(pgi_word64(memory, 0), PGBGW_QUEUE_MAGIC);
	return 0;
}

static int check(unsigned char *memory, const struct layout *l)
{
	uint64_t magic = atomic_load(pgi_word64(memory, 0)), ring = atomic_load(pgi_word64(memory, 8));
	uint64_t written = atomic_load(pgi_word64(memory, l->written)), read = atomic_load(pgi_word64(memory, l->read));
	uint32_t features = atomic_load(pgi_word32(memory, 36));

	if (magic != PGBGW_QUEUE_MAGIC)
		return pgi_fail(EUCLEAN, "no queue is here: it begins with %#llx", (unsigned long long)magic);
	if (ring != l->ring)
		return pgi_fail(EUCLEAN, "the queue has a ring of %llu bytes, in this memory it would have %llu", (unsigned long long)ring,
				(unsigned long long)l->ring);
	if (features)
		return pgi_fail(EUCLEAN, "the queue has features %#x that are not known here", features);
	if (written % 8 || read % 8 || written - read > ring)
		return pgi_fail(EUCLEAN, "%llu bytes are written and %llu read of a ring of %llu", (unsigned long long)written,
				(unsigned long long)read, (unsigned long long)ring);
	return 0;
}

/* Detaches the queue and wakes both ends. */
static void mark_detached(pgbgw_mq *q)
{
	atomic_fetch_or(q->state, PGBGW_QUEUE_DETACHED);
	POINT();
	atomic_fetch_and(q->state, ~(uint32_t)(PGBGW_QUEUE_SENDER_WAITS | PGBGW_QUEUE_RECEIVER_WAITS));
	POINT();
	pgi_ring(q->hold.w, atomic_load(q->mine));
	pgi_ring(q->hold.w, atomic_load(q->theirs));
}

static void abandon(struct pgi_hold *h) { mark_detached((pgbgw_mq *)(void *)h); }

static pgbgw_mq *new_end(unsigned char *memory, const struct layout *l, enum pgbgw_mq_role role)
{
	pgbgw_mq *q = calloc(1, sizeof *q);
	bool sends = role == PGBGW_MQ_SENDER;

	if (!q)
		return NULL;
	q->hold.abandon = abandon;
	q->hold.memory = memory;
	q->ring = memory + l->header;
	q->size = l->ring;
	q->mine = pgi_word64(memory, sends ? 16 : 24);
	q->theirs = pgi_word64(memory, sends ? 24 : 16);
	q->state = pgi_word32(memory, 32);
	q->written = pgi_word64(memory, l->written);
	q->read = pgi_word64(memory, l->read);
	q->my_flag = sends ? PGBGW_QUEUE_SENDER_WAITS : PGBGW_QUEUE_RECEIVER_WAITS;
	q->their_flag = sends ? PGBGW_QUEUE_RECEIVER_WAITS : PGBGW_QUEUE_SENDER_WAITS;
	q->role = role;
	q->peer = -1;
	if (sends)
		pgi_mq_copying(&q->copying, q->size, pgi_mq_clock());
	return q;
}

/* mine: what the end's party word has to be, 0 or, where it was given to this process, its own party. */
static int attach(pgbgw_worker *w, void *memory, size_t size, enum pgbgw_mq_role role, uint64_t mine, pgbgw_mq **to)
{
	struct layout l = { 0 };
	uint64_t none = mine;
	pgbgw_mq *q;
	int r;

	*to = NULL;
	if ((r = pgi_party_ready(w)) < 0 || (r = lay_over(memory, size, &l)) < 0 || (r = check(memory, &l)) < 0)
		return r;
	if (!(q = new_end(memory, &l, role)))
		return pgi_fail(ENOMEM, "cannot attach to the queue: no memory is left");
	q->hold.w = w;
	if (!atomic_compare_exchange_strong(q->mine, &none, w->party)) {
		free(q);
		return pgi_fail(EBUSY, "the queue has a %s: slot %u", role == PGBGW_MQ_SENDER ? "sender" : "receiver", pgi_party_slot(none));
	}
	POINT();
	if ((r = pgi_hold_add(w, &q->hold)) < 0) {
		mark_detached(q);
		free(q);
		return r;
	}
	q->total = atomic_load(role == PGBGW_MQ_SENDER ? q->written : q->read) & ~UINT64_C(7);
	q->seen = q->freed = q->total;
	q->at = q->total % q->size;
	q->untold = true; /* it may wait for this */
	pgi_mq_tell(q);
	*to = q;
	return 0;
}

int pgbgw_mq_attach(pgbgw_worker *w, void *memory, size_t size, enum pgbgw_mq_role role, pgbgw_mq **to)
{
	return attach(w, memory, size, role, 0, to);
}

size_t pgi_mq_size(void *memory)
{
	uint64_t ring = atomic_load(pgi_word64(memory, 8));

	return (size_t)(ring + (ring < PGBGW_WIDE_QUEUE - sizeof(struct pgbgw_wide_queue_header) ? 56 : sizeof(struct pgbgw_wide_queue_header)));
}

int pgi_mq_give(pgbgw_worker *w, void *memory, enum pgbgw_mq_role role, uint64_t party)
{
	bool sends = role == PGBGW_MQ_SENDER;
	uint32_t waits = sends ? PGBGW_QUEUE_RECEIVER_WAITS : PGBGW_QUEUE_SENDER_WAITS;
	uint64_t none = 0;
	int r = pgi_party_ready(w);

	if (r < 0)
		return r;
	if (!atomic_compare_exchange_strong(pgi_word64(memory, sends ? 16 : 24), &none, party))
		return pgi_fail(EBUSY, "the queue has a %s: slot %u", sends ? "sender" : "receiver", pgi_party_slot(none));
	if (atomic_fetch_and(pgi_word32(memory, 32), ~waits) & waits)
		pgi_ring(w, atomic_load(pgi_word64(memory, sends ? 24 : 16)));
	return 0;
}

uint64_t pgi_mq_party(void *memory, enum pgbgw_mq_role role) { return atomic_load(pgi_word64(memory, role == PGBGW_MQ_SENDER ? 16 : 24)); }

int pgi_mq_take(pgbgw_worker *w, void *memory, enum pgbgw_mq_role role, pgbgw_mq **to)
{
	int r = pgi_party_ready(w);

	*to = NULL;
	return r < 0 ? r : attach(w, memory, pgi_mq_size(memory), role, w->party, to);
}

void pgi_mq_abandon(pgbgw_mq *q)
{
	if (!atomic_exchange(&q->hold.gone, true))
		mark_detached(q);
}

void pgbgw_mq_set_handle(pgbgw_mq *q, pgbgw_handle h)
{
	q->expected = h;
	q->expects = true;
}

int pgbgw_mq_get_slot(const pgbgw_mq *q, enum pgbgw_mq_role role, uint32_t *slot)
{
	uint64_t party = atomic_load(role == q->role ? q->mine : q->theirs);

	*slot = pgi_party_slot(party);
	return party != 0;
}

int pgi_mq_broken(pgbgw_mq *q)
{
	q->broken = true;
	q->limit = 0;
	return -EUCLEAN;
}

int pgi_mq_usable(const pgbgw_mq *q)
{
	int r = pgi_usable(q->hold.w);

	if (r < 0)
		return r;
	if (atomic_load(&q->hold.gone)) /* its memory may be, too */
		return pgi_fail(EPIPE, "the queue is detached");
	return q->broken ? pgi_fail(EUCLEAN, "the queue is damaged") : 0;
}

static void wake(pgbgw_mq *q)
{
	uint64_t party;

	if (!(atomic_load(q->state) & q->their_flag) || !(atomic_fetch_and(q->state, ~q->their_flag) & q->their_flag))
		return;
	POINT();
	party = atomic_load(q->theirs);
	if (party == 0)
		return;
	if (q->peer < 0)
		q->peer = pgi_bell(q->hold.w, pgi_party_slot(party)); /* if not, it finds out on its next patrol */
	if (q->peer >= 0)
		pgi_wake(q->hold.w, pgi_party_slot(party), q->peer);
	POINT();
}

/*
 * While both run, who copies a long message shows each piece and tells only of
 * all: a sleeper on the same CPU would be woken for each.
 */
void pgi_mq_tell(pgbgw_mq *q)
{
	if (q->untold) {
		q->untold = false;
		wake(q);
	}
}

/*
 * While the other end runs on another CPU, a look finds something soon, and even
 * one that was asleep is back before a long spin is over: then nobody sleeps any
 * more, which is worth far more than the spin. If it cannot run, as it waits for
 * this very CPU, each look only keeps it from it. Nobody can tell beforehand: so
 * who found nothing looks less and less, and looks long now and then, ever more
 * seldom.
 */
int pgi_mq_looks(const pgbgw_mq *q)
{
	int most = 4 * pgi_spins(q->hold.w); /* about twice the cost of a wake-up */

	if (q->vain % 256 == 0 || (q->vain >= 8 && (q->vain & (q->vain - 1)) == 0))
		return most;
	return most >> (2 * (q->vain < 3 ? q->vain : 3));
}

bool pgi_mq_found(pgbgw_mq *q, bool found)
{
	q->vain = found ? 0 : q->vain + 1;
	return found;
}

bool pgi_mq_arm_end(pgbgw_mq *q)
{
	const struct pgi_slots *slots = &q->hold.w->slots;
	bool gone = false;
	uint64_t party;

	if (atomic_load(&q->hold.gone) || atomic_fetch_or(q->state, q->my_flag) & PGBGW_QUEUE_DETACHED)
		return true;
	POINT();
	party = atomic_load(q->theirs);
	if (party != 0 && q->greeting)
		return true;
	if (party != 0)
		gone = pgi_dead(slots, party);
	else if (q->expects)
		gone = pgi_stopped(slots, q->expected) && atomic_load(q->theirs) == 0;
	if (gone)
		atomic_fetch_or(q->state, PGBGW_QUEUE_DETACHED);
	POINT();
	return gone;
}

/* Saves the other end a ring that nobody needs. */
static void disarm(pgbgw_mq *q)
{
	if (atomic_load(q->state) & q->my_flag)
		atomic_fetch_and(q->state, ~q->my_flag);
	POINT();
}

/* If nothing has come by now, the flag stays, and the other end sets this process's latch. */
int pgi_mq_tried(pgbgw_mq *q, bool done)
{
	if (!done)
		return pgi_fail(EAGAIN, "the queue would block");
	disarm(q);
	return 0;
}

int pgi_mq_sleep(pgbgw_mq *q, bool (*arm)(void *), int64_t deadline)
{
	int r;

	if (deadline == PGI_NEVER && !q->expects && atomic_load(q->theirs) == 0)
		return pgi_fail(EDESTADDRREQ, "nobody is at the other side of the queue, and nobody is expected");
	r = pgi_wait(q->hold.w, arm, q, deadline, PGI_PATROL);
	disarm(q);
	return r == 0 && atomic_load(&q->hold.gone) ? pgi_fail(EPIPE, "the queue is detached") : r;
}

int pgbgw_mq_wait_for_attach(pgbgw_mq *q, int timeout_ms)
{
	int64_t deadline = pgi_deadline(timeout_ms);
	int r = pgi_mq_usable(q);

	q->greeting = true;
	while (r == 0 && atomic_load(q->theirs) == 0) {
		if (atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
			r = pgi_fail(EPIPE, "the queue is detached");
		else
			r = pgi_mq_sleep(q, q->role == PGBGW_MQ_SENDER ? pgi_mq_may_send : pgi_mq_may_receive, deadline);
	}
	q->greeting = false;
	return r;
}

void pgbgw_mq_detach(pgbgw_mq *q)
{
	if (!q)
		return;
	if (q->hold.w && !atomic_load(&q->hold.w->forked) && !atomic_load(&q->hold.gone)) {
		if (q->role == PGBGW_MQ_SENDER && !(atomic_load(q->state) & PGBGW_QUEUE_DETACHED))
			pgi_mq_publish(q);
		mark_detached(q);
	}
	pgi_hold_remove(&q->hold);
	free(q->buffer);
	free(q);
}
