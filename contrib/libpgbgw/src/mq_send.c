/*
 * Sending. A frame is the message's length, a u64, and its bytes, padded to a
 * multiple of 8. The ring, its free space and what is published of a frame are
 * whole multiples of 8.
 */
#include "mq.h"

/* The bytes of a message, part after part. */
struct parts {
	const struct iovec *v;
	size_t count;
	uint64_t n; /* in all */
};

enum {
	SHORT = 128,       /* bytes of a message that is staged, at most */
	STAGE_RING = 8192, /* bytes of the smallest ring that is worth it */
};

/*
 * Writes to the ring what was staged. Each store to a cache line that the
 * receiver has read takes it from there, and many at once take a fraction of the
 * time of as many with something else in between.
 */
static void unstage(pgbgw_mq *q)
{
	if (q->staged)
		pgi_mq_copy(q, q->ring + q->at - q->staged, q->stage, q->staged, true);
	q->staged = 0;
	POINT();
}

/* Shows the receiver what was written, if it is awake. */
static void show(pgbgw_mq *q)
{
	if (q->seen == q->total)
		return;
	unstage(q);
	pgi_mq_fence(q);
	q->seen = q->total;
	POINT();
	atomic_store(q->written, q->total);
	q->untold = true;
	POINT();
}

void pgi_mq_publish(pgbgw_mq *q)
{
	show(q);
	pgi_mq_tell(q);
}

/* How many bytes are free, looking afresh only if fewer than want were. */
static uint64_t room(pgbgw_mq *q, uint64_t want)
{
	uint64_t free = q->size - (q->total - q->freed), freed;

	if (free >= want)
		return free;
	freed = atomic_load(q->read);
	if (freed - q->freed > q->total - q->freed || freed % 8) {
		(void)pgi_fail(EUCLEAN, "%llu bytes were read of %llu written", (unsigned long long)freed, (unsigned long long)q->total);
		(void)pgi_mq_broken(q);
		return 0;
	}
	q->freed = freed;
	return q->size - (q->total - freed);
}

/* Copies message bytes from skip on, as many as there are, n at most. */
static void copy(pgbgw_mq *q, unsigned char *to, const struct parts *p, uint64_t skip, uint64_t n)
{
	for (size_t i = 0; i < p->count && n; i++) {
		uint64_t len = p->v[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = len - skip < n ? len - skip : n;
		pgi_mq_copy(q, to, (const char *)p->v[i].iov_base + skip, len, false);
		to += len;
		n -= len;
		skip = 0;
	}
}

/* Writes the next n bytes of the frame, which do not wrap. */
static void put(pgbgw_mq *q, const struct parts *p, uint64_t n)
{
	unsigned char *to = q->ring + q->at;
	uint64_t left = n, skip = q->done - LENGTH_WORD;

	if (q->done == 0) {
		memcpy(to, &q->pending, LENGTH_WORD);
		to += LENGTH_WORD;
		left -= LENGTH_WORD;
		skip = 0;
	}
	copy(q, to, p, skip, left);
	POINT();
	q->done += n;
	pgi_mq_move(q, n);
}

bool pgi_mq_may_send(void *end)
{
	pgbgw_mq *q = end;

	return pgi_mq_arm_end(q) || (!q->greeting && atomic_load(q->read) != q->freed);
}

static bool spin(pgbgw_mq *q)
{
	for (int i = pgi_mq_looks(q); i > 0; i--) {
		if (atomic_load_explicit(q->read, memory_order_acquire) != q->freed || atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
			return pgi_mq_found(q, true);
		pgi_pause();
	}
	return pgi_mq_found(q, false);
}

/* Returns when there may be room. */
static int full(pgbgw_mq *q, unsigned flags)
{
	uint64_t begun;
	int r = 0;

	pgi_mq_publish(q);
	begun = pgi_mq_begin(&q->copying);
	if (!pgi_mq_spins(flags) || !spin(q))
		r = flags & PGBGW_MQ_NOWAIT ? pgi_mq_tried(q, pgi_mq_may_send(q)) : pgi_mq_sleep(q, pgi_mq_may_send, PGI_NEVER);
	pgi_mq_end(&q->copying, begun);
	if (r == 0 && atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
		r = pgi_fail(EPIPE, "the queue is detached");
	return r;
}

static int begin(pgbgw_mq *q, struct parts *p, unsigned flags)
{
	int r = pgi_mq_usable(q);

	if (r < 0)
		return r;
	if (q->role != PGBGW_MQ_SENDER || flags & ~(unsigned)(PGBGW_MQ_NOWAIT | PGBGW_MQ_FLUSH | MQ_SPIN))
		return pgi_fail(EINVAL, "cannot send: %s", q->role != PGBGW_MQ_SENDER ? "this is the receiver's end" : "unknown flags");
	for (size_t i = 0; i < p->count; i++) {
		if (p->v[i].iov_len > PGBGW_MAX_MESSAGE || (p->n += p->v[i].iov_len) > PGBGW_MAX_MESSAGE)
			return pgi_fail(EMSGSIZE, "the message has more than %d bytes", PGBGW_MAX_MESSAGE);
	}
	if (atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
		return pgi_fail(EPIPE, "the queue is detached");
	if (q->done != 0 && p->n != q->pending)
		return pgi_fail(EINPROGRESS, "a message of %llu bytes is sent in part, this one has %llu", (unsigned long long)q->pending,
				(unsigned long long)p->n);
	q->pending = p->n;
	return 0;
}

/*
 * Sends a message that needs nothing but a copy: up to the limit, and to a
 * receiver that is there. It does what the general way does, at a small part of
 * its cost; false if it is not such a message. Short ones that need not be seen
 * yet are staged.
 */
static bool send_whole(pgbgw_mq *q, const void *data, uint64_t n, unsigned flags)
{
	uint64_t frame = LENGTH_WORD + pgi_mq_pad(n);
	unsigned char *to;

	if (q->role != PGBGW_MQ_SENDER || flags & ~(unsigned)(PGBGW_MQ_NOWAIT | PGBGW_MQ_FLUSH | MQ_SPIN) || n > PGBGW_MAX_MESSAGE ||
	    q->at + frame > q->limit || !pgi_mq_ready(q) || atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
		return false;
	if (n <= SHORT && q->size >= STAGE_RING && (q->staged || !(flags & PGBGW_MQ_FLUSH))) {
		if (q->staged + frame > MQ_STAGE)
			unstage(q);
		to = q->stage + q->staged;
		q->staged += frame;
	} else {
		unstage(q);
		to = q->ring + q->at;
	}
	memcpy(to, &n, LENGTH_WORD);
	if (n == 8) /* worth more than the call */
		memcpy(to + LENGTH_WORD, data, 8);
	else
		pgi_mq_copy(q, to + LENGTH_WORD, data, n, !(flags & PGBGW_MQ_FLUSH));
	POINT();
	q->at += frame;
	q->total += frame;
	if (flags & PGBGW_MQ_FLUSH)
		pgi_mq_publish(q);
	return true;
}

/* Sends whatever it is. */
static int send_parts(pgbgw_mq *q, const struct iovec *v, size_t count, unsigned flags)
{
	struct parts p = { v, count, 0 };
	uint64_t frame;
	int r = begin(q, &p, flags);

	if (r < 0)
		return r;
	unstage(q);
	q->limit = 0; /* until the message is whole */
	frame = LENGTH_WORD + pgi_mq_pad(p.n);
	while (q->done < frame) {
		uint64_t left = frame - q->done, n;

		pgi_mq_move(q, 0);
		n = room(q, left);
		if (q->broken)
			return -EUCLEAN;
		n = n < left ? n : left;
		n = n < q->size - q->at ? n : q->size - q->at;
		n = n < pgi_mq_piece(q) ? n : pgi_mq_piece(q);
		if (n == 0) {
			if ((r = full(q, flags)) < 0)
				return r;
			continue;
		}
		put(q, &p, n);
		if (q->total - q->seen > q->size / 4)
			show(q); /* so that the receiver copies while this end does */
	}
	q->done = 0;
	if (flags & PGBGW_MQ_FLUSH || q->untold || q->total - q->seen > q->size / 4)
		pgi_mq_publish(q);
	pgi_mq_extend(q, q->size - (q->total - q->freed), q->total - q->seen);
	return 0;
}

int pgbgw_mq_sendv(pgbgw_mq *q, const struct iovec *v, size_t count, unsigned flags)
{
	if (count == 1 && send_whole(q, v->iov_base, v->iov_len, flags))
		return 0;
	return send_parts(q, v, count, flags);
}

int pgbgw_mq_send(pgbgw_mq *q, const void *data, size_t n, unsigned flags)
{
	struct iovec one = { (void *)(uintptr_t)data, n };

	return send_whole(q, data, n, flags) ? 0 : send_parts(q, &one, 1, flags);
}

int pgbgw_mq_flush(pgbgw_mq *q)
{
	int r = pgi_mq_usable(q);

	if (r < 0)
		return r;
	if (q->role != PGBGW_MQ_SENDER)
		return pgi_fail(EINVAL, "cannot flush: this is the receiver's end");
	if (atomic_load(q->state) & PGBGW_QUEUE_DETACHED)
		return pgi_fail(EPIPE, "the queue is detached");
	pgi_mq_publish(q);
	return 0;
}
