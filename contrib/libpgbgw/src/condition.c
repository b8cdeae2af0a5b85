/*
 * Condition variables. Who waits has a place with a party word and a ticket; it
 * is woken when its ticket is no longer there. There is no lock beneath: a
 * waiter that dies costs nobody a wake-up.
 */
#include <stdlib.h>

#include "condition.h"

#define HEADER ((uint64_t)sizeof(struct pgbgw_condition_header))
#define WHAT "condition variable"
#define CROWDED_NS INT64_C(1000000) /* how long one sleeps who found no place to be woken at */

int pgbgw_condition_create(void *memory, size_t size)
{
	uint32_t places = 0;
	int r = pgi_places_over(memory, size, WHAT, &places);

	if (r < 0)
		return r;
	pgi_places_clear(memory, places);
	atomic_store(pgi_word64(memory, 16), 1);
	POINT();
	atomic_store(pgi_word64(memory, 0), PGBGW_CONDITION_MAGIC);
	return 0;
}

static word64 *party_at(const pgbgw_condition *c, uint32_t i) { return pgi_word64(c->memory, HEADER + (uint64_t)i * 16); }
static word64 *ticket_at(const pgbgw_condition *c, uint32_t i) { return pgi_word64(c->memory, HEADER + (uint64_t)i * 16 + 8); }
static bool dead(const pgbgw_condition *c, uint64_t party) { return pgi_dead(&c->hold.w->slots, party); }
static bool gone(const pgbgw_condition *c) { return atomic_load(&c->hold.gone); }
static bool change(word64 *word, uint64_t from, uint64_t to) { return atomic_compare_exchange_strong(word, &from, to); }

/* ---- Waking ---- */

/* Wakes who waits with a ticket; false if nobody did so any more. */
static bool wake(pgbgw_condition *c, uint32_t i, uint64_t ticket)
{
	uint64_t party = atomic_load(party_at(c, i)); /* stays as long as the ticket does */

	if (!change(ticket_at(c, i), ticket, 0) || party == 0 || dead(c, party))
		return false;
	POINT();
	pgi_ring(c->hold.w, party);
	return true;
}

void pgi_condition_wake_all(pgbgw_condition *c)
{
	uint64_t limit = atomic_load(pgi_word64(c->memory, 16));

	for (uint32_t i = 0; i < c->places; i++) {
		uint64_t ticket = atomic_load(ticket_at(c, i));

		if (ticket != 0 && ticket < limit)
			(void)wake(c, i, ticket);
	}
}

static int usable(const pgbgw_condition *c)
{
	int r = pgi_usable(c->hold.w);

	return r == 0 && gone(c) ? pgi_fail(ENOTCONN, "not attached to a segment") : r;
}

int pgbgw_condition_signal(pgbgw_condition *c)
{
	int r = usable(c);

	for (uint32_t tries = 0; r == 0 && tries < c->places; tries++) {
		uint64_t lowest = 0;
		uint32_t at = 0;

		for (uint32_t i = 0; i < c->places; i++) {
			uint64_t ticket = atomic_load(ticket_at(c, i));

			if (ticket != 0 && (lowest == 0 || ticket < lowest)) {
				lowest = ticket;
				at = i;
			}
		}
		if (lowest == 0 || wake(c, at, lowest))
			return 0;
	}
	if (r == 0)
		pgi_condition_wake_all(c); /* others were faster each time; to wake too many is allowed */
	return r;
}

int pgbgw_condition_broadcast(pgbgw_condition *c)
{
	int r = usable(c);

	if (r == 0)
		pgi_condition_wake_all(c);
	return r;
}

/* ---- Waiting ---- */

/* Takes a place that is free, or that of one who has ended; -1 if there is none. */
static int take_place(pgbgw_condition *c)
{
	uint64_t me = c->hold.w->party;

	for (uint32_t i = 0; i < c->places; i++)
		if (atomic_load(party_at(c, i)) == 0 && change(party_at(c, i), 0, me))
			return (int)i;
	for (uint32_t i = 0; i < c->places; i++) {
		uint64_t party = atomic_load(party_at(c, i)), ticket;

		if (party == me || !dead(c, party))
			continue;
		ticket = atomic_load(ticket_at(c, i));
		if (atomic_load(party_at(c, i)) != party)
			continue; /* somebody was faster: the ticket is that of one who lives */
		/* First, so that no signal goes to the ticket of a dead one who seems to live. */
		if (ticket != 0)
			(void)change(ticket_at(c, i), ticket, 0);
		if (change(party_at(c, i), party, me))
			return (int)i;
	}
	return -1;
}

static void give_back(pgbgw_condition *c, int place)
{
	atomic_store(ticket_at(c, (uint32_t)place), 0);
	(void)change(party_at(c, (uint32_t)place), c->hold.w->party, 0);
}

static void renew(pgbgw_condition_sleep *s)
{
	word64 *next = pgi_word64(s->condition->memory, 16);

	do
		s->ticket = atomic_fetch_add(next, 1);
	while (s->ticket == 0);
	POINT();
	atomic_store(ticket_at(s->condition, (uint32_t)s->place), s->ticket);
	POINT();
}

/* Takes a place, if there is one, and waits there. */
static void enlist(pgbgw_condition_sleep *s)
{
	s->place = take_place(s->condition);
	POINT();
	if (s->place < 0)
		return;
	renew(s);
	if (gone(s->condition)) { /* an abandon may have been too early to see this */
		give_back(s->condition, s->place);
		s->place = -1;
	}
}

int pgbgw_condition_prepare(pgbgw_condition *c, pgbgw_condition_sleep *s)
{
	int r = usable(c);

	*s = (pgbgw_condition_sleep){ .condition = r == 0 ? c : NULL, .place = -1 };
	if (r == 0)
		enlist(s);
	return r;
}

static bool woken(void *arg)
{
	pgbgw_condition_sleep *s = arg;

	return gone(s->condition) || (s->place >= 0 && atomic_load(ticket_at(s->condition, (uint32_t)s->place)) != s->ticket);
}

int pgi_condition_sleep(pgbgw_condition_sleep *s, int64_t deadline)
{
	pgbgw_condition *c = s->condition;
	int64_t until = deadline, soon;
	int r = c ? usable(c) : pgi_fail(EINVAL, "this wait was not prepared");

	if (r < 0)
		return r;
	if (s->place < 0 && (soon = pgi_now() + CROWDED_NS) < until)
		until = soon;
	r = pgi_wait(c->hold.w, woken, s, until, PGI_PATROL);
	if (r == -ETIMEDOUT && until != deadline)
		r = 0; /* it counts as woken */
	if (r < 0)
		return r;
	if (gone(c))
		return pgi_fail(ENOTCONN, "not attached to a segment");
	if (s->place < 0 || atomic_load(party_at(c, (uint32_t)s->place)) != c->hold.w->party)
		enlist(s); /* it had none, or the memory is damaged */
	else
		renew(s);
	return 0;
}

int pgbgw_condition_sleep_for(pgbgw_condition_sleep *s, int timeout_ms) { return pgi_condition_sleep(s, pgi_deadline(timeout_ms)); }

bool pgbgw_condition_cancel(pgbgw_condition_sleep *s)
{
	pgbgw_condition *c = s->condition;
	int place = s->place;
	bool signaled;

	s->place = -1;
	if (!c || place < 0 || usable(c) < 0)
		return false; /* its places were given back */
	signaled = !change(ticket_at(c, (uint32_t)place), s->ticket, 0);
	POINT();
	(void)change(party_at(c, (uint32_t)place), c->hold.w->party, 0);
	return signaled;
}

/* ---- For users ---- */

void pgi_condition_abandon(struct pgi_hold *h)
{
	pgbgw_condition *c = (pgbgw_condition *)(void *)h;

	for (uint32_t i = 0; i < c->places; i++)
		if (atomic_load(party_at(c, i)) == h->w->party)
			give_back(c, (int)i);
}

int pgi_condition_lay(pgbgw_worker *w, void *memory, size_t size, pgbgw_condition *c)
{
	uint32_t places = 0;
	int r;

	if ((r = pgi_party_ready(w)) < 0 || (r = pgi_places_over(memory, size, WHAT, &places)) < 0 ||
	    (r = pgi_places_check(memory, PGBGW_CONDITION_MAGIC, places, WHAT)) < 0)
		return r;
	c->memory = memory;
	c->places = places;
	c->hold.memory = memory;
	c->hold.abandon = pgi_condition_abandon;
	c->hold.w = w;
	return 0;
}

int pgbgw_condition_open(pgbgw_worker *w, void *memory, size_t size, pgbgw_condition **to)
{
	pgbgw_condition *c = calloc(1, sizeof *c);
	int r;

	*to = NULL;
	if (!c)
		return pgi_fail(ENOMEM, "cannot open the condition variable: no memory is left");
	if ((r = pgi_condition_lay(w, memory, size, c)) < 0 || (r = pgi_hold_add(w, &c->hold)) < 0) {
		free(c);
		return r;
	}
	*to = c;
	return 0;
}

void pgbgw_condition_close(pgbgw_condition *c)
{
	if (!c)
		return;
	pgi_hold_remove(&c->hold);
	free(c);
}
