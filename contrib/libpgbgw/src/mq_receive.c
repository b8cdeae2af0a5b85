/* Receiving: a message is a part of the ring where it is in one piece, a copy where not. */
#include <stdlib.h>

#include "mq.h"

/* See rest. */
enum {
	FIRST_REST = 16, /* pauses, 0.4 us and more: then a look */
	LAST_REST = 64,  /* twice as many each time that there is more than at the look before */
	FIRST_SKIP = 16, /* waits after a rest in vain, then twice as many */
	LAST_SKIP = 1024,
};

/* Gives back what was taken to a sender that is awake. */
static void show(pgbgw_mq *q)
{
	if (q->freed == q->total)
		return;
	q->freed = q->total;
	POINT();
	atomic_store(q->read, q->total);
	q->untold = true;
	POINT();
}

static void give_back(pgbgw_mq *q)
{
	show(q);
	pgi_mq_tell(q);
}

/* Moves on by n bytes, and gives them back once they are more than a quarter of the ring. */
static void take(pgbgw_mq *q, uint64_t n)
{
	pgi_mq_move(q, n);
	if (q->total - q->freed > q->size / 4)
		give_back(q);
}

bool pgi_mq_may_receive(void *end)
{
	pgbgw_mq *q = end;

	return pgi_mq_arm_end(q) || (!q->greeting && atomic_load(q->written) - q->total >= q->want);
}

/*
 * A receiver that is faster than its sender would look for each message, and so
 * take the cache line that says how much is written from the sender each time it
 * wants to write there: both go at a third of the speed of one that lets some
 * messages gather. Who waits for an answer has nothing to gather, and loses by a
 * rest. The difference is whether a rest brought several messages: so one is
 * tried, and if it did not, another one after ever more waits.
 */
static void rest(pgbgw_mq *q)
{
	uint64_t there, last = 0;

	q->rested = q->skip == 0;
	if (!q->rested) {
		q->skip--;
		return;
	}
	for (int n = FIRST_REST; n <= LAST_REST; n *= 2) {
		for (int i = 0; i < n; i++)
			pgi_pause();
		there = atomic_load_explicit(q->written, memory_order_acquire) - q->total;
		if (there == last || there > q->size / 4)
			return;
		last = there;
	}
}

/* Told of each message that was waited for: whether others were behind it. */
static void rest_brought(pgbgw_mq *q, bool several)
{
	if (q->rested && several)
		q->idle = 0;
	else if (q->rested)
		q->skip = q->idle = q->idle == 0 ? FIRST_SKIP : q->idle < LAST_SKIP ? 2 * q->idle : LAST_SKIP;
	q->rested = false;
}

static bool spin(pgbgw_mq *q)
{
	int looks = pgi_mq_looks(q);

	if (looks > LAST_REST && q->want == LENGTH_WORD && !q->collecting)
		rest(q);
	for (int i = looks; i > 0; i--) {
		if (atomic_load_explicit(q->written, memory_order_acquire) - q->total >= q->want ||
		    atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
			return pgi_mq_found(q, true);
		pgi_pause();
	}
	return pgi_mq_found(q, false);
}

/* Looks how much was written: 1 if it is enough. */
static int refresh(pgbgw_mq *q, uint64_t want)
{
	uint64_t seen = atomic_load(q->written);

	if (seen - q->total > q->size || seen % 8) {
		(void)pgi_fail(EUCLEAN, "%llu bytes were written after %llu", (unsigned long long)seen, (unsigned long long)q->total);
		return pgi_mq_broken(q);
	}
	q->seen = seen;
	return seen - q->total >= want;
}

/* Returns when at least want bytes are there. */
static int await(pgbgw_mq *q, uint64_t want, unsigned flags)
{
	while (q->seen - q->total < want) {
		/* What was written before a detach is there: so in this order. */
		bool detached = atomic_load(q->state) & PGBGW_QUEUE_DETACHED;
		int r = refresh(q, want);

		if (r != 0)
			return r < 0 ? r : 0;
		if (detached)
			return pgi_fail(EPIPE, "the queue is detached");
		give_back(q);
		q->want = want;
		if (!pgi_mq_spins(flags) || !spin(q))
			r = flags & PGBGW_MQ_NOWAIT ? pgi_mq_tried(q, pgi_mq_may_receive(q)) : pgi_mq_sleep(q, pgi_mq_may_receive, PGI_NEVER);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Makes room for n more bytes in the buffer, which grows as bytes come: a length alone takes no memory. */
static int grow(pgbgw_mq *q, uint64_t n)
{
	uint64_t room = q->room ? q->room : 256;
	unsigned char *more;

	if (q->room - q->have >= n)
		return 0;
	while (room - q->have < n)
		room *= 2;
	if (!(more = realloc(q->buffer, (size_t)room)))
		return pgi_fail(ENOMEM, "no memory is left for a message of %llu bytes", (unsigned long long)q->length);
	q->buffer = more;
	q->room = room;
	return 0;
}

/* Copies a message together. */
static int collect(pgbgw_mq *q, void **data, size_t *n, unsigned flags)
{
	const uint64_t piece = pgi_mq_piece(q);
	int r;

	while (q->have < q->length) {
		uint64_t left = q->length - q->have, part;

		if ((r = await(q, LENGTH_WORD, flags)) < 0)
			return r;
		part = pgi_mq_pad(left);
		part = part < q->seen - q->total ? part : q->seen - q->total;
		part = part < q->size - q->at ? part : q->size - q->at;
		left = left < part ? left : part;
		if ((r = grow(q, left)) < 0)
			return r;
		while (part > piece) {
			memcpy(q->buffer + q->have, q->ring + q->at, (size_t)piece);
			q->have += piece;
			left -= piece;
			part -= piece;
			pgi_mq_move(q, piece);
			show(q); /* so that the sender copies while this end does */
		}
		memcpy(q->buffer + q->have, q->ring + q->at, (size_t)left);
		q->have += left;
		take(q, part);
		pgi_mq_tell(q);
	}
	q->collecting = false;
	*data = q->buffer;
	*n = (size_t)q->length;
	return 0;
}

/* Whether a frame of n message bytes is in one piece of the ring. */
static bool in_one(const pgbgw_mq *q, uint64_t n, uint64_t *start)
{
	*start = q->at + LENGTH_WORD;
	if (*start == q->size)
		*start = 0;
	return LENGTH_WORD + pgi_mq_pad(n) <= q->size && *start + pgi_mq_pad(n) <= q->size;
}

/*
 * Returns a message that is there up to the limit. It does what the general way
 * does, at a small part of its cost; false if there is none, or the end is not in
 * order. The length is read once: the sender can write another one at any time.
 */
static bool receive_whole(pgbgw_mq *q, void **data, size_t *n, unsigned flags)
{
	uint64_t start = q->at + LENGTH_WORD, length;

	if (q->role != PGBGW_MQ_RECEIVER || flags & ~(unsigned)(PGBGW_MQ_NOWAIT | MQ_SPIN) || start > q->limit || !pgi_mq_ready(q))
		return false;
	length = atomic_load_explicit(pgi_word64(q->ring, q->at), memory_order_relaxed);
	if (length > q->limit - start)
		return false;
	*data = q->ring + start;
	*n = (size_t)length;
	q->at = start + pgi_mq_pad(length);
	q->total += LENGTH_WORD + pgi_mq_pad(length);
	return true;
}

/* Returns the next message, whatever it is; what was returned before it is the sender's from here on. */
static int receive(pgbgw_mq *q, void **data, size_t *n, unsigned flags)
{
	uint64_t length, start, frame;
	int r;

	q->limit = 0; /* until there is a whole message */
	take(q, 0);
	if (q->collecting)
		return collect(q, data, n, flags);
	if ((r = await(q, LENGTH_WORD, flags)) < 0)
		return r;
	length = atomic_load_explicit(pgi_word64(q->ring, q->at), memory_order_relaxed);
	if (length > PGBGW_MAX_MESSAGE) {
		(void)pgi_fail(EUCLEAN, "a message of %llu bytes", (unsigned long long)length);
		return pgi_mq_broken(q);
	}
	if (!in_one(q, length, &start)) {
		take(q, LENGTH_WORD);
		q->length = length;
		q->have = 0;
		q->collecting = true;
		return collect(q, data, n, flags);
	}
	frame = LENGTH_WORD + pgi_mq_pad(length);
	if ((r = await(q, frame, flags)) < 0)
		return r;
	rest_brought(q, q->seen - q->total > frame && q->seen - q->total < q->size / 2);
	pgi_mq_move(q, frame);
	pgi_mq_extend(q, q->seen - q->total, q->total - q->freed);
	*data = q->ring + start;
	*n = (size_t)length;
	return 0;
}

int pgbgw_mq_receive(pgbgw_mq *q, void **data, size_t *n, unsigned flags)
{
	int r;

	if (receive_whole(q, data, n, flags))
		return 0;
	if ((r = pgi_mq_usable(q)) < 0)
		return r;
	if (q->role != PGBGW_MQ_RECEIVER || flags & ~(unsigned)(PGBGW_MQ_NOWAIT | MQ_SPIN))
		return pgi_fail(EINVAL, "cannot receive: %s", q->role != PGBGW_MQ_RECEIVER ? "this is the sender's end" : "unknown flags");
	return receive(q, data, n, flags);
}
