/*
 * Locks that survive their holder. Who holds the lock alone, or has claimed it,
 * is in one word; each share and each process that waits has a place of its own.
 * A share is there before the look at the holder, as a claim is before the look
 * at the shares: so one of two sees the other.
 */
#include <stdlib.h>

#include "internal.h"

#define HEADER ((uint64_t)sizeof(struct pgbgw_lock_header))
#define CROWDED_NS INT64_C(1000000) /* how long one sleeps who found no place to be woken at */

struct pgbgw_lwlock {
	struct pgi_hold hold;
	word64 *holder;
	word32 *tranche;
	word64 *waiters; /* places words, as the next */
	word64 *sharers;
	uint32_t places;
	pthread_mutex_t mu; /* while this process takes or drops a share */
};

int pgbgw_lwlock_create(void *memory, size_t size)
{
	uint32_t places = 0;
	int r = pgi_places_over(memory, size, "lock", &places);

	if (r < 0)
		return r;
	pgi_places_clear(memory, places);
	atomic_store(pgi_word64(memory, 0), PGBGW_LOCK_MAGIC);
	return 0;
}

/* ---- Without waiting ---- */

static bool dead(const pgbgw_lwlock *l, uint64_t party) { return pgi_dead(&l->hold.w->slots, party); }
static bool change(word64 *word, uint64_t from, uint64_t to) { return atomic_compare_exchange_strong(word, &from, to); }

/* Wakes all processes that wait: who gets the lock is not decided here. */
static void wake_waiters(pgbgw_lwlock *l)
{
	for (uint32_t i = 0; i < l->places; i++) {
		uint64_t party = atomic_load(&l->waiters[i]);

		if (party != 0 && change(&l->waiters[i], party, 0)) {
			POINT();
			pgi_ring(l->hold.w, party);
		}
	}
}

/* Puts 0 in the place of the holder's word, or that of one who died and of whom nobody was told. */
static bool leave(pgbgw_lwlock *l, uint64_t word)
{
	if (!change(l->holder, l->hold.w->party, word))
		return false;
	POINT();
	wake_waiters(l);
	return true;
}

static bool drop_share(pgbgw_lwlock *l)
{
	uint64_t me = l->hold.w->party;
	bool found = false;

	pthread_mutex_lock(&l->mu);
	for (uint32_t i = 0; i < l->places && !found; i++)
		found = atomic_load(&l->sharers[i]) == me && change(&l->sharers[i], me, 0);
	pthread_mutex_unlock(&l->mu);
	return found;
}

static bool release_share(pgbgw_lwlock *l)
{
	if (!drop_share(l))
		return false;
	POINT();
	pgi_ring(l->hold.w, atomic_load(l->holder)); /* who has claimed the lock waits for this */
	wake_waiters(l);
	return true;
}

/* Puts this party's word into a place that is free, or that of one who has ended. */
static bool take_place(pgbgw_lwlock *l, word64 *places)
{
	uint64_t me = l->hold.w->party;

	for (uint32_t i = 0; i < l->places; i++)
		if (atomic_load(&places[i]) == 0 && change(&places[i], 0, me))
			return true;
	for (uint32_t i = 0; i < l->places; i++) {
		uint64_t party = atomic_load(&places[i]);

		if (party != me && dead(l, party) && change(&places[i], party, me))
			return true;
	}
	return false;
}

/* Whether somebody alive has a share. */
static bool shared(pgbgw_lwlock *l)
{
	for (uint32_t i = 0; i < l->places; i++) {
		uint64_t party = atomic_load(&l->sharers[i]);

		if (party != 0 && (!dead(l, party) || !change(&l->sharers[i], party, 0)))
			return true;
	}
	return false;
}

static bool is_free(const pgbgw_lwlock *l)
{
	uint64_t party = atomic_load(l->holder);

	return party == 0 || dead(l, party);
}

static bool gone(const pgbgw_lwlock *l) { return atomic_load(&l->hold.gone); }

/* Makes this process the holder, while others may have a share still. *died is who held it and has ended, or 0. */
static bool claim(pgbgw_lwlock *l, uint64_t *died)
{
	*died = atomic_load(l->holder);
	if ((*died != 0 && !dead(l, *died)) || !change(l->holder, *died, l->hold.w->party))
		return false;
	POINT();
	if (gone(l)) { /* an abandon may have been too early to see this */
		(void)leave(l, *died);
		return false;
	}
	return true;
}

/* Takes a share unless somebody holds or claims the lock. */
static bool share(pgbgw_lwlock *l, uint64_t *died)
{
	bool taken;

	if (!is_free(l))
		return false;
	pthread_mutex_lock(&l->mu);
	taken = take_place(l, l->sharers);
	pthread_mutex_unlock(&l->mu);
	if (!taken)
		return false;
	POINT();
	*died = atomic_load(l->holder);
	if (!gone(l) && (*died == 0 || (dead(l, *died) && change(l->holder, *died, 0))))
		return true;
	(void)release_share(l);
	return false;
}

static bool try(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode, uint64_t *died)
{
	return mode == PGBGW_LW_SHARED ? share(l, died) : claim(l, died);
}

/* ---- Waiting ---- */

struct lock_wait {
	pgbgw_lwlock *lock;
	enum pgbgw_lwlock_mode mode;
	bool crowded; /* has no place, and a deadline instead */
};

static bool stands_by(const pgbgw_lwlock *l)
{
	for (uint32_t i = 0; i < l->places; i++)
		if (atomic_load(&l->waiters[i]) == l->hold.w->party)
			return true;
	return false;
}

static bool has_place(const pgbgw_lwlock *l)
{
	for (uint32_t i = 0; i < l->places; i++) {
		uint64_t party = atomic_load(&l->sharers[i]);

		if (party == 0 || dead(l, party))
			return true;
	}
	return false;
}

/* Takes the place before it looks: either it sees a release, or the release sees the place. */
static bool may_try(void *arg)
{
	struct lock_wait *w = arg;
	pgbgw_lwlock *l = w->lock;

	if (!w->crowded && !stands_by(l) && !take_place(l, l->waiters))
		return true;
	POINT();
	return gone(l) || (is_free(l) && (w->mode == PGBGW_LW_EXCLUSIVE || has_place(l)));
}

/* Takes a share, or claims the lock, as soon as that is possible. */
static int await(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode, uint64_t *died)
{
	struct lock_wait w = { l, mode, false };

	while (!try(l, mode, died)) {
		int r;

		if (gone(l))
			return pgi_fail(ENOTCONN, "not attached to a segment");
		w.crowded = !stands_by(l) && !take_place(l, l->waiters);
		r = pgi_wait(l->hold.w, may_try, &w, w.crowded ? pgi_now() + CROWDED_NS : PGI_NEVER, PGI_PATROL);
		if (r < 0 && !(w.crowded && r == -ETIMEDOUT))
			return r;
	}
	return 0;
}

static bool drained(void *l) { return !shared(l) || gone(l); }

/* Waits until no one has a share in the lock that this process has claimed. */
static int drain(pgbgw_lwlock *l)
{
	int r = shared(l) ? pgi_wait(l->hold.w, drained, l, PGI_NEVER, PGI_PATROL) : 0;

	return r == 0 && gone(l) ? pgi_fail(ENOTCONN, "not attached to a segment") : r;
}

/* ---- For users ---- */

static void abandon(struct pgi_hold *h)
{
	pgbgw_lwlock *l = (pgbgw_lwlock *)(void *)h;

	while (release_share(l))
		;
	(void)leave(l, 0);
}

int pgbgw_lwlock_open(pgbgw_worker *w, void *memory, size_t size, pgbgw_lwlock **to)
{
	uint32_t places = 0;
	pgbgw_lwlock *l;
	int r;

	*to = NULL;
	if ((r = pgi_party_ready(w)) < 0 || (r = pgi_places_over(memory, size, "lock", &places)) < 0 ||
	    (r = pgi_places_check(memory, PGBGW_LOCK_MAGIC, places, "lock")) < 0)
		return r;
	if (!(l = calloc(1, sizeof *l)))
		return pgi_fail(ENOMEM, "cannot open the lock: no memory is left");
	pthread_mutex_init(&l->mu, NULL);
	l->hold.abandon = abandon;
	l->hold.memory = memory;
	l->tranche = pgi_word32(memory, offsetof(struct pgbgw_lock_header, tranche));
	l->holder = pgi_word64(memory, 16);
	l->waiters = pgi_word64(memory, HEADER);
	l->sharers = pgi_word64(memory, HEADER + 8 * (uint64_t)places);
	l->places = places;
	if ((r = pgi_hold_add(w, &l->hold)) < 0) {
		free(l);
		return r;
	}
	*to = l;
	return 0;
}

static int usable(const pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode)
{
	int r = pgi_usable(l->hold.w);

	if (r < 0)
		return r;
	if (gone(l))
		return pgi_fail(ENOTCONN, "not attached to a segment");
	return mode == PGBGW_LW_EXCLUSIVE || mode == PGBGW_LW_SHARED ? 0 : pgi_fail(EINVAL, "lock mode %d", (int)mode);
}

int pgbgw_lwlock_acquire(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode)
{
	uint64_t died = 0;
	int r = usable(l, mode);

	if (r == 0)
		r = await(l, mode, &died);
	if (r == 0 && mode == PGBGW_LW_EXCLUSIVE && (r = drain(l)) < 0)
		(void)leave(l, died);
	return r < 0 ? r : died != 0;
}

int pgbgw_lwlock_conditional_acquire(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode)
{
	uint64_t died = 0;
	int r = usable(l, mode);

	if (r < 0)
		return r;
	if (!try(l, mode, &died))
		return pgi_fail(EAGAIN, "the lock is held");
	if (mode == PGBGW_LW_EXCLUSIVE && shared(l)) {
		(void)leave(l, died);
		return pgi_fail(EAGAIN, "the lock is shared");
	}
	return died != 0;
}

int pgbgw_lwlock_release(pgbgw_lwlock *l, enum pgbgw_lwlock_mode mode)
{
	int r = usable(l, mode);

	if (r < 0)
		return r;
	if (mode == PGBGW_LW_SHARED ? release_share(l) : leave(l, 0))
		return 0;
	return pgi_fail(EPERM, "this process does not hold the lock");
}

int pgbgw_lwlock_set_tranche(pgbgw_lwlock *l, uint32_t tranche)
{
	int r = usable(l, PGBGW_LW_EXCLUSIVE);

	if (r == 0)
		atomic_store(l->tranche, tranche);
	return r;
}

void pgbgw_lwlock_close(pgbgw_lwlock *l)
{
	if (!l)
		return;
	if (l->hold.w && !atomic_load(&l->hold.w->forked) && !gone(l))
		abandon(&l->hold);
	pgi_hold_remove(&l->hold);
	free(l);
}
