/*
 * Latches. The word's bits: set; the owner sleeps or is about to; the owner
 * looks at this word; and a tap is enough to wake it, which one in Go says and
 * one in C does not. Who sets it calls the owner if that sleeps, or does not
 * look here: it adds 1 to the slot's eventfd, a ring, or 0, a tap.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

static void add(int fd, uint64_t what)
{
	int saved = errno;

	while (write(fd, &what, sizeof what) < 0 && errno == EINTR)
		; /* EAGAIN: it is set beyond doubt */
	errno = saved;
}

void pgi_ring_fd(int fd) { add(fd, 1); }

/* Calls an owner whose word was old. */
static void call(uint32_t old, int fd)
{
	const uint32_t taps = PGBGW_LATCH_OWNED | PGBGW_LATCH_TAPPED;

	POINT();
	add(fd, (old & taps) == taps ? 0 : 1);
}

void pgi_set_word(word32 *word, int fd)
{
	uint32_t old = atomic_fetch_or(word, PGBGW_LATCH_SET);

	POINT();
	if (!(old & PGBGW_LATCH_OWNED) || (old & (PGBGW_LATCH_SET | PGBGW_LATCH_WAITING)) == PGBGW_LATCH_WAITING)
		call(old, fd);
}

void pgi_wake(pgbgw_worker *w, uint32_t slot, int fd)
{
	word32 *word = atomic_load(&w->inside) ? pgi_latch_word(&w->segment, slot) : NULL;

	if (word)
		call(atomic_fetch_or(word, PGBGW_LATCH_SET), fd);
	else
		pgi_ring_fd(fd);
}

/* Takes a ring, which marks the latch as set. */
bool pgi_drain_bell(pgbgw_worker *w)
{
	uint64_t count;

	if (read(w->env.fds[PGI_LATCH], &count, sizeof count) != (ssize_t)sizeof count)
		return false;
	atomic_fetch_or(atomic_load(&w->latch), PGBGW_LATCH_SET);
	return true;
}

void pgi_latch_move(pgbgw_worker *w, word32 *to)
{
	const uint32_t all = PGBGW_LATCH_SET | PGBGW_LATCH_WAITING | PGBGW_LATCH_OWNED | PGBGW_LATCH_TAPPED;
	word32 *from;

	atomic_fetch_and(to, ~(uint32_t)(PGBGW_LATCH_WAITING | PGBGW_LATCH_TAPPED));
	atomic_fetch_or(to, PGBGW_LATCH_OWNED);
	POINT();
	from = atomic_exchange(&w->latch, to);
	if (from == to)
		return;
	/* Who sets the old word from here on finds it not owned and rings. */
	if (atomic_fetch_and(from, ~all) & PGBGW_LATCH_SET)
		atomic_fetch_or(to, PGBGW_LATCH_SET);
	POINT();
	pgi_poke_others(w, NULL); /* a waiter looks at the new place */
}

void pgbgw_latch_set(pgbgw_worker *w)
{
	if (!atomic_load(&w->forked))
		pgi_set_word(atomic_load(&w->latch), w->env.fds[PGI_LATCH]);
}

void pgbgw_latch_reset(pgbgw_worker *w) { atomic_fetch_and(atomic_load(&w->latch), ~(uint32_t)PGBGW_LATCH_SET); }

bool pgbgw_latch_is_set(pgbgw_worker *w)
{
	if (atomic_load(atomic_load(&w->latch)) & PGBGW_LATCH_SET)
		return true;
	if (atomic_load(&w->forked) || !pgi_drain_bell(w))
		return false;
	pgi_poke_others(w, NULL); /* it may have been for somebody else */
	return true;
}

void pgbgw_interrupt(pgbgw_worker *w)
{
	if (atomic_load(&w->forked))
		return;
	atomic_store(&w->interrupted, true);
	pgi_set_word(atomic_load(&w->latch), w->env.fds[PGI_LATCH]);
	pgi_ring_fd(w->env.fds[PGI_LATCH]); /* who sleeps in a queue does not look at the latch */
}

bool pgbgw_interrupted(const pgbgw_worker *w) { return atomic_load(&w->interrupted); }
void pgbgw_resume(pgbgw_worker *w) { atomic_store(&w->interrupted, false); }

int pgbgw_latch_fd(const pgbgw_worker *w) { return w->env.fds[PGI_LATCH]; }

bool pgbgw_latch_arm(pgbgw_worker *w) { return atomic_fetch_or(atomic_load(&w->latch), PGBGW_LATCH_WAITING) & PGBGW_LATCH_SET; }

/* ---- Waiting ---- */

/* What of mask is there, besides the latch. */
static int there(pgbgw_worker *w, unsigned mask, short revents, int64_t deadline)
{
	int events = 0;

	if (mask & PGBGW_WL_SOCKET_READABLE && revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL))
		events |= PGBGW_WL_SOCKET_READABLE;
	if (mask & PGBGW_WL_SOCKET_WRITEABLE && revents & (POLLOUT | POLLHUP | POLLERR | POLLNVAL))
		events |= PGBGW_WL_SOCKET_WRITEABLE;
	if (atomic_load(&w->died)) {
		if (mask & PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH)
			exit(1);
		if (mask & PGBGW_WL_SUPERVISOR_DEATH)
			events |= PGBGW_WL_SUPERVISOR_DEATH;
	}
	if (events == 0 && mask & PGBGW_WL_TIMEOUT && pgi_now() >= deadline)
		events = PGBGW_WL_TIMEOUT;
	return events;
}

static int wait(pgbgw_worker *w, struct pgi_waiter *me, unsigned mask, int fd, int64_t deadline)
{
	struct pollfd more = { .fd = -1 };
	int events, r;

	if (mask & PGBGW_WL_SOCKET_READABLE)
		more.events |= POLLIN;
	if (mask & PGBGW_WL_SOCKET_WRITEABLE)
		more.events |= POLLOUT;
	if (more.events)
		more.fd = fd;
	for (;;) {
		word32 *word = atomic_load(&w->latch);
		bool set = mask & PGBGW_WL_LATCH_SET && atomic_fetch_or(word, PGBGW_LATCH_WAITING) & PGBGW_LATCH_SET;

		POINT();
		/* A death that is known is not reported by a descriptor any more. */
		bool died = atomic_load(&w->died) && mask & (PGBGW_WL_SUPERVISOR_DEATH | PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH);
		r = set ? 0 : pgi_sleep(w, me, &more, died ? 0 : deadline);
		if (mask & PGBGW_WL_LATCH_SET)
			atomic_fetch_and(word, ~(uint32_t)PGBGW_LATCH_WAITING);
		if (r < 0)
			return r;
		set = mask & PGBGW_WL_LATCH_SET && atomic_load(atomic_load(&w->latch)) & PGBGW_LATCH_SET;
		events = there(w, mask & ~(set ? (unsigned)PGBGW_WL_TIMEOUT : 0u), more.revents, deadline);
		if (set)
			events |= PGBGW_WL_LATCH_SET;
		if (events)
			return events;
		if ((r = pgi_usable(w)) < 0)
			return r;
	}
}

int pgbgw_latch_wait(pgbgw_worker *w, unsigned mask, int fd, int timeout_ms)
{
	const unsigned all = (PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH << 1) - 1;
	struct pgi_waiter *me;
	int r = pgi_usable(w);

	if (r < 0)
		return r;
	if (mask == 0 || mask & ~all)
		return pgi_fail(EINVAL, "cannot wait for latch: the mask is %#x", mask);
	if (mask & PGBGW_WL_TIMEOUT && timeout_ms < 0)
		return pgi_fail(EINVAL, "cannot wait for latch: the timeout is %d ms", timeout_ms);
	if (mask & (PGBGW_WL_SOCKET_READABLE | PGBGW_WL_SOCKET_WRITEABLE) && fd < 0)
		return pgi_fail(EINVAL, "cannot wait for latch: there is no descriptor to wait for");
	if (atomic_flag_test_and_set(&w->in_latch_wait))
		return pgi_fail(EBUSY, "cannot wait for latch: another thread already does");
	me = pgi_waiter_take(w);
	r = me ? wait(w, me, mask, fd, mask & PGBGW_WL_TIMEOUT ? pgi_deadline(timeout_ms) : PGI_NEVER) : -ENOMEM;
	if (me)
		pgi_waiter_give_back(w, me);
	atomic_flag_clear(&w->in_latch_wait);
	return r;
}

/* ---- Latches of others ---- */

struct pgbgw_peer_latch {
	pgbgw_worker *w;
	word32 *word; /* NULL: it was asked for while not attached */
	int fd;
};

int pgbgw_peer_latch_open(pgbgw_worker *w, uint32_t slot, pgbgw_peer_latch **to)
{
	struct pgi_record request = { .type = PGI_LATCH_OF, .slot = slot };
	struct pgi_answer answer;
	pgbgw_peer_latch *p;
	int r = pgi_call(w, &request, &answer, pgi_now() + PGI_CALL_NS, 0);

	*to = NULL;
	if (r < 0)
		return r;
	if (answer.fd < 0)
		return pgi_fail(EPROTO, "cannot get the latch of slot %u: the supervisor's answer has no descriptor", slot);
	p = calloc(1, sizeof *p);
	if (!p) {
		(void)close(answer.fd);
		return pgi_fail(ENOMEM, "cannot get the latch of slot %u: no memory is left", slot);
	}
	p->w = w;
	p->fd = answer.fd;
	if (pgbgw_is_attached(w))
		p->word = pgi_latch_word(&w->segment, slot);
	*to = p;
	return 0;
}

void pgbgw_peer_latch_set(pgbgw_peer_latch *p)
{
	if (p->word && atomic_load(&p->w->inside))
		pgi_set_word(p->word, p->fd);
	else if (!atomic_load(&p->w->forked))
		pgi_ring_fd(p->fd);
}

void pgbgw_peer_latch_close(pgbgw_peer_latch *p)
{
	if (!p)
		return;
	(void)close(p->fd);
	free(p);
}
