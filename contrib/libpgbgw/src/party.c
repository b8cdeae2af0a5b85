/*
 * This process as one of those that wait for each other in shared memory: its
 * party word, the eventfds that wake others, and what it holds there.
 */
#include <unistd.h>

#include "internal.h"

uint64_t pgi_party(const struct pgbgw_self *self)
{
	return (uint64_t)(self->handle.slot + 1) | (self->handle.generation & 0xffffff) << 16 | (self->start & 0xffffff) << 40;
}

/* Asks the supervisor for the eventfd of a slot. */
static int ask(pgbgw_worker *w, uint32_t slot)
{
	struct pgi_record request = { .type = PGI_LATCH_OF, .slot = slot };
	struct pgi_answer answer;
	int r = pgi_call(w, &request, &answer, pgi_now() + PGI_ASK_NS, PGI_DEAF);

	if (r < 0)
		return r;
	return answer.fd < 0 ? pgi_fail(EPROTO, "the supervisor's answer has no descriptor") : answer.fd;
}

int pgi_bell(pgbgw_worker *w, uint32_t slot)
{
	int fd, none = 0;
	uint32_t end;

	if (slot == w->env.self.handle.slot)
		return w->env.fds[PGI_LATCH];
	if (slot >= PGBGW_MAX_SLOTS)
		return pgi_fail(EUCLEAN, "slot %u", slot);
	if ((fd = atomic_load(&w->bells[slot])) != 0)
		return fd - 1;
	fd = ask(w, slot);
	if (fd < 0)
		return fd;
	for (end = atomic_load(&w->bells_end); end <= slot && !atomic_compare_exchange_weak(&w->bells_end, &end, slot + 1);)
		;
	if (!atomic_compare_exchange_strong(&w->bells[slot], &none, fd + 1)) {
		(void)close(fd);
		return none - 1;
	}
	return fd;
}

/* One that cannot be reached finds out by itself, on its next patrol. */
void pgi_ring(pgbgw_worker *w, uint64_t party)
{
	int fd;

	if (party == 0 || !w || atomic_load(&w->forked))
		return;
	fd = pgi_bell(w, pgi_party_slot(party));
	if (fd >= 0)
		pgi_wake(w, pgi_party_slot(party), fd);
}

void pgi_bells_close(pgbgw_worker *w)
{
	int fd;

	for (uint32_t i = 0; i < atomic_load(&w->bells_end); i++)
		if ((fd = atomic_exchange(&w->bells[i], 0)) != 0)
			(void)close(fd - 1);
	atomic_store(&w->bells_end, 0);
}

int pgi_hold_add(pgbgw_worker *w, struct pgi_hold *h)
{
	pthread_mutex_lock(&w->party_mu);
	bool inside = atomic_load(&w->inside);
	if (inside) {
		h->w = w;
		h->next = w->holds;
		h->at = &w->holds;
		if (h->next)
			h->next->at = &h->next;
		w->holds = h;
	}
	pthread_mutex_unlock(&w->party_mu);
	return inside ? 0 : pgi_fail(ENOTCONN, "not attached to a segment");
}

static void unlink_hold(struct pgi_hold *h)
{
	if (!h->at)
		return;
	*h->at = h->next;
	if (h->next)
		h->next->at = h->at;
	h->at = NULL;
}

void pgi_hold_remove(struct pgi_hold *h)
{
	pgbgw_worker *w = h->w;

	if (!w || atomic_load(&w->forked))
		return;
	pthread_mutex_lock(&w->party_mu);
	unlink_hold(h);
	pthread_mutex_unlock(&w->party_mu);
}

/*
 * Holds stay in the list, so that a close finds them after a detach. What they
 * are given up for may be waited for by this process, too: it is rung last.
 */
void pgi_abandon_all(pgbgw_worker *w, bool closing)
{
	pthread_mutex_lock(&w->party_mu);
	for (struct pgi_hold *h = w->holds; h; h = h->next)
		atomic_store(&h->gone, true);
	for (struct pgi_hold *h = w->holds; h; h = h->next)
		h->abandon(h);
	while (closing && w->holds) {
		struct pgi_hold *h = w->holds;

		unlink_hold(h);
		h->w = NULL;
	}
	pthread_mutex_unlock(&w->party_mu);
	pgi_poke_others(w, NULL);
}

void pgi_abandon_within(pgbgw_worker *w, const unsigned char *memory, size_t n)
{
	pthread_mutex_lock(&w->party_mu);
	for (struct pgi_hold *h = w->holds; h; h = h->next) {
		if (atomic_load(&h->gone) || (uintptr_t)h->memory < (uintptr_t)memory || (uintptr_t)h->memory >= (uintptr_t)memory + n)
			continue;
		atomic_store(&h->gone, true);
		h->abandon(h);
	}
	pthread_mutex_unlock(&w->party_mu);
	pgi_poke_others(w, NULL);
}
