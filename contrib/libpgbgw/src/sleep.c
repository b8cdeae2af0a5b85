/*
 * How threads sleep. All of a process are woken by the one eventfd of its slot,
 * and by its control socket. Whoever finds one of them readable takes what is
 * there, and pokes the others that sleep: each looks whether what it waits for
 * has come. A thread is in the list before it looks, so that either it sees
 * what came, or it is poked.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

struct pgi_waiter {
	struct pgi_waiter *next;
	int fd; /* an eventfd by which others poke it */
	bool used;
};

int64_t pgi_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t pgi_deadline(int timeout_ms) { return timeout_ms < 0 ? PGI_NEVER : pgi_now() + (int64_t)timeout_ms * 1000000; }

static struct pgi_waiter *new_waiter(void)
{
	struct pgi_waiter *me = calloc(1, sizeof *me);

	if (!me)
		return NULL;
	me->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (me->fd < 0) {
		free(me);
		return NULL;
	}
	return me;
}

struct pgi_waiter *pgi_waiter_take(pgbgw_worker *w)
{
	struct pgi_waiter *me;

	pthread_mutex_lock(&w->waiters_mu);
	for (me = w->waiters; me && me->used; me = me->next)
		;
	if (!me && (me = new_waiter())) {
		me->next = w->waiters;
		w->waiters = me;
	}
	if (me)
		me->used = true;
	pthread_mutex_unlock(&w->waiters_mu);
	if (!me)
		(void)pgi_fail(ENOMEM, "cannot wait: no memory or no descriptor is left");
	return me;
}

void pgi_waiter_give_back(pgbgw_worker *w, struct pgi_waiter *me)
{
	pthread_mutex_lock(&w->waiters_mu);
	me->used = false;
	pthread_mutex_unlock(&w->waiters_mu);
}

void pgi_poke_others(pgbgw_worker *w, struct pgi_waiter *me)
{
	pthread_mutex_lock(&w->waiters_mu);
	for (struct pgi_waiter *o = w->waiters; o; o = o->next)
		if (o != me && o->used)
			pgi_ring_fd(o->fd);
	pthread_mutex_unlock(&w->waiters_mu);
}

void pgi_waiters_free(pgbgw_worker *w)
{
	for (struct pgi_waiter *next, *o = w->waiters; o; o = next) {
		next = o->next;
		(void)close(o->fd);
		free(o);
	}
	w->waiters = NULL;
}

static void drain(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof count);
}

int pgi_sleep(pgbgw_worker *w, struct pgi_waiter *me, struct pollfd *more, int64_t deadline)
{
	bool died = atomic_load(&w->died);
	struct pollfd p[5] = {
		{ .fd = w->env.fds[PGI_LATCH], .events = POLLIN },
		{ .fd = me->fd, .events = POLLIN },
		{ .fd = died ? -1 : w->env.fds[PGI_DEATH] }, /* a hang-up is always reported */
		{ .fd = died ? -1 : w->env.fds[PGI_CONTROL], .events = POLLIN },
		{ .fd = -1 },
	};
	int64_t left = deadline == PGI_NEVER ? -1 : deadline - pgi_now();
	struct timespec t = { .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
	const struct timespec none = { 0 };

	if (more)
		p[4] = *more;
	int n = ppoll(p, 5, deadline == PGI_NEVER ? NULL : left > 0 ? &t : &none, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : pgi_fail(errno, "cannot wait: %s", strerror(errno));
	if (more)
		more->revents = p[4].revents;
	if (p[1].revents)
		drain(me->fd);
	if (p[2].revents)
		atomic_store(&w->died, true);
	if (p[3].revents && pgi_client_read(w))
		pgi_poke_others(w, me);
	if (p[0].revents && pgi_drain_bell(w))
		pgi_poke_others(w, me);
	return 0;
}

int pgi_cause(const pgbgw_worker *w, int64_t deadline, int how)
{
	if (atomic_load(&w->forked))
		return pgi_usable(w);
	if (!(how & PGI_DEAF) && atomic_load(&w->interrupted))
		return pgi_fail(EINTR, "interrupted");
	if (atomic_load(&w->died))
		return pgi_fail(ECONNRESET, "the supervisor died");
	if (deadline != PGI_NEVER && pgi_now() >= deadline)
		return pgi_fail(ETIMEDOUT, "the time has passed");
	return 0;
}

int pgi_wait(pgbgw_worker *w, bool (*arm)(void *), void *arg, int64_t deadline, int how)
{
	struct pgi_waiter *me = pgi_waiter_take(w);
	int r = 0;

	if (!me)
		return -ENOMEM;
	while (!arm(arg) && (r = pgi_cause(w, deadline, how)) == 0) {
		int64_t until = deadline, patrol;

		if (how & PGI_PATROL && (patrol = pgi_now() + PGI_PATROL_NS) < until)
			until = patrol;
		POINT();
		if ((r = pgi_sleep(w, me, NULL, until)) < 0)
			break;
	}
	pgi_waiter_give_back(w, me);
	return r;
}
