/*
 * Barriers. All of the state is one word, and each step one compare and swap of
 * it; who waits does so at a condition variable behind it.
 */
#include <stdlib.h>

#include "condition.h"

#define HEADER ((size_t)sizeof(struct pgbgw_barrier_header))

struct pgbgw_barrier {
	struct pgi_hold hold;
	pgbgw_condition condition;
	word64 *state;
	pthread_mutex_t mu; /* while this process changes the state */
	uint32_t attached;  /* participants of this process, of a dynamic barrier */
	uint32_t phase;     /* the newest in which arrivals of this process wait */
	uint32_t waits;     /* how many */
};

struct state {
	uint32_t phase;
	uint32_t participants, arrived;
	bool elected, is_static;
};

static struct state parse(uint64_t w)
{
	return (struct state){ (uint32_t)w, (uint32_t)(w >> PGBGW_BARRIER_PARTICIPANTS & PGBGW_BARRIER_MASK),
			       (uint32_t)(w >> PGBGW_BARRIER_ARRIVED & PGBGW_BARRIER_MASK), w & PGBGW_BARRIER_ELECTED, w & PGBGW_BARRIER_STATIC };
}

static uint64_t word_of(struct state s)
{
	return s.phase | (uint64_t)s.participants << PGBGW_BARRIER_PARTICIPANTS | (uint64_t)s.arrived << PGBGW_BARRIER_ARRIVED |
	       (s.elected ? PGBGW_BARRIER_ELECTED : 0) | (s.is_static ? PGBGW_BARRIER_STATIC : 0);
}

static void advance(struct state *s, bool elected)
{
	s->phase++;
	s->arrived = 0;
	s->elected = elected;
}

/*
 * Changes the state by f, which may refuse with a negative errno; b->mu is held.
 * before and after are filled also then.
 */
static int change(pgbgw_barrier *b, int (*f)(pgbgw_barrier *, struct state *, uint32_t), uint32_t arg, struct state *before, struct state *after)
{
	uint64_t word = atomic_load(b->state);
	int r;

	do {
		*before = *after = parse(word);
		if ((r = f(b, after, arg)) < 0)
			return r;
	} while (!atomic_compare_exchange_weak(b->state, &word, word_of(*after)));
	POINT();
	return 0;
}

static int usable(const pgbgw_barrier *b)
{
	int r = pgi_usable(b->hold.w);

	return r == 0 && atomic_load(&b->hold.gone) ? pgi_fail(ENOTCONN, "not attached to a segment") : r;
}

/* ---- Making ---- */

static int lay_over(const void *memory, size_t *size)
{
	if (*size < PGBGW_BARRIER_SIZE(1))
		return pgi_fail(EINVAL, "a barrier of %zu bytes: %zu are the least", *size, PGBGW_BARRIER_SIZE(1));
	if ((uintptr_t)memory % 8)
		return pgi_fail(EINVAL, "a barrier does not begin at a multiple of 8");
	*size &= ~(size_t)7;
	if (*size > PGBGW_BARRIER_SIZE(PGBGW_MAX_PLACES))
		*size = PGBGW_BARRIER_SIZE(PGBGW_MAX_PLACES);
	return 0;
}

int pgbgw_barrier_create(void *memory, size_t size, unsigned participants)
{
	int r = lay_over(memory, &size);

	if (r < 0)
		return r;
	if (participants > PGBGW_BARRIER_MASK)
		return pgi_fail(EINVAL, "a barrier cannot have %u participants, 0 to %d are possible", participants, PGBGW_BARRIER_MASK);
	atomic_store(pgi_word64(memory, 0), 0);
	atomic_store(pgi_word64(memory, 8), size);
	atomic_store(pgi_word64(memory, 16), word_of((struct state){ .participants = participants, .is_static = participants > 0 }));
	atomic_store(pgi_word64(memory, 24), 0);
	if ((r = pgbgw_condition_create((unsigned char *)memory + HEADER, size - HEADER)) < 0)
		return r;
	POINT();
	atomic_store(pgi_word64(memory, 0), PGBGW_BARRIER_MAGIC);
	return 0;
}

static int take_away(pgbgw_barrier *b, struct state *s, uint32_t arg)
{
	uint32_t waits = b->waits && b->phase == s->phase ? b->waits : 0;

	(void)arg;
	s->arrived -= waits < s->arrived ? waits : s->arrived;
	if (s->is_static)
		return 0;
	s->participants -= b->attached < s->participants ? b->attached : s->participants;
	if (s->participants > 0 && s->arrived >= s->participants)
		advance(s, false);
	return 0;
}

/* Takes back the arrivals of this process and detaches its participants. */
static void abandon(struct pgi_hold *h)
{
	pgbgw_barrier *b = (pgbgw_barrier *)(void *)h;
	struct state before, after;

	pthread_mutex_lock(&b->mu);
	if (change(b, take_away, 0, &before, &after) == 0 && before.phase != after.phase)
		pgi_condition_wake_all(&b->condition);
	b->attached = b->waits = 0;
	pthread_mutex_unlock(&b->mu);
	atomic_store(&b->condition.hold.gone, true);
	pgi_condition_abandon(&b->condition.hold);
}

int pgbgw_barrier_open(pgbgw_worker *w, void *memory, size_t size, pgbgw_barrier **to)
{
	pgbgw_barrier *b;
	int r;

	*to = NULL;
	if ((r = pgi_party_ready(w)) < 0 || (r = lay_over(memory, &size)) < 0)
		return r;
	uint64_t magic = atomic_load(pgi_word64(memory, 0));
	uint32_t have = atomic_load(pgi_word32(memory, 8)), features = atomic_load(pgi_word32(memory, 12));
	if (magic != PGBGW_BARRIER_MAGIC)
		return pgi_fail(EUCLEAN, "no barrier is here: it begins with %#llx", (unsigned long long)magic);
	if (have != size || features)
		return pgi_fail(EUCLEAN, "the barrier has %u bytes and features %#x, this memory has %zu", have, features, size);
	if (!(b = calloc(1, sizeof *b)))
		return pgi_fail(ENOMEM, "cannot open the barrier: no memory is left");
	pthread_mutex_init(&b->mu, NULL);
	b->state = pgi_word64(memory, 16);
	b->hold.memory = memory;
	b->hold.abandon = abandon;
	r = pgi_condition_lay(w, (unsigned char *)memory + HEADER, size - HEADER, &b->condition);
	if (r == 0)
		r = pgi_hold_add(w, &b->hold);
	if (r < 0) {
		free(b);
		return r;
	}
	*to = b;
	return 0;
}

void pgbgw_barrier_close(pgbgw_barrier *b)
{
	if (!b)
		return;
	if (usable(b) == 0) {
		atomic_store(&b->hold.gone, true);
		abandon(&b->hold);
	}
	pgi_hold_remove(&b->hold);
	free(b);
}

/* ---- Taking part ---- */

static int join(pgbgw_barrier *b, struct state *s, uint32_t arg)
{
	(void)b;
	(void)arg;
	if (s->is_static)
		return pgi_fail(EINVAL, "the barrier was made for a number of participants");
	if (s->participants == PGBGW_BARRIER_MASK)
		return pgi_fail(ENOSPC, "%u take part in the barrier already", s->participants);
	s->participants++;
	return 0;
}

int pgbgw_barrier_attach(pgbgw_barrier *b, uint32_t *phase)
{
	struct state before, after;
	int r = usable(b);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->mu);
	r = change(b, join, 0, &before, &after);
	if (r == 0) {
		b->attached++;
		if (phase)
			*phase = before.phase;
	}
	pthread_mutex_unlock(&b->mu);
	return r;
}

uint32_t pgbgw_barrier_phase(const pgbgw_barrier *b) { return atomic_load(&b->hold.gone) ? 0 : parse(atomic_load(b->state)).phase; }

int pgbgw_barrier_participants(const pgbgw_barrier *b)
{
	int r = usable(b);

	return r < 0 ? r : (int)parse(atomic_load(b->state)).participants;
}

static int arrive(pgbgw_barrier *b, struct state *s, uint32_t arg)
{
	(void)arg;
	if (!s->is_static && b->attached == 0)
		return pgi_fail(EPERM, "this process is not attached to the barrier");
	if (s->arrived >= s->participants)
		return pgi_fail(EUCLEAN, "%u of %u participants have arrived already", s->arrived, s->participants);
	if (++s->arrived == s->participants)
		advance(s, true);
	return 0;
}

static int elect(pgbgw_barrier *b, struct state *s, uint32_t phase)
{
	(void)b;
	if (s->elected || s->phase != phase + 1)
		return -EAGAIN;
	s->elected = true;
	return 0;
}

static int give_up(pgbgw_barrier *b, struct state *s, uint32_t phase)
{
	(void)b;
	if (s->phase != phase)
		return -EAGAIN;
	if (s->arrived > 0)
		s->arrived--;
	return 0;
}

/* Ends the wait for the end of a phase by f; whether f could. */
static bool settle(pgbgw_barrier *b, int (*f)(pgbgw_barrier *, struct state *, uint32_t), uint32_t phase)
{
	struct state before, after;
	bool could;

	pthread_mutex_lock(&b->mu);
	could = !atomic_load(&b->hold.gone) && change(b, f, phase, &before, &after) == 0;
	if ((could || f == elect) && b->phase == phase && b->waits > 0)
		b->waits--;
	pthread_mutex_unlock(&b->mu);
	return could;
}

static bool passed(const pgbgw_barrier *b, uint32_t phase) { return atomic_load(&b->hold.gone) || parse(atomic_load(b->state)).phase != phase; }

/* Sleeps until the phase has ended. */
static int await(pgbgw_barrier *b, uint32_t phase)
{
	pgbgw_condition_sleep s;
	int r;

	for (int i = pgi_spins(b->hold.w); i > 0; i--) {
		if (passed(b, phase))
			return 0;
		pgi_pause();
	}
	if ((r = pgbgw_condition_prepare(&b->condition, &s)) < 0)
		return r;
	while (r == 0 && !passed(b, phase))
		r = pgi_condition_sleep(&s, PGI_NEVER);
	if (pgbgw_condition_cancel(&s) && r < 0)
		(void)pgbgw_condition_signal(&b->condition); /* it came too late for this one */
	if (r == 0 && atomic_load(&b->hold.gone))
		return pgi_fail(ENOTCONN, "not attached to a segment");
	return r;
}

int pgbgw_barrier_arrive_and_wait(pgbgw_barrier *b)
{
	struct state before, after;
	int r = usable(b);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->mu);
	r = change(b, arrive, 0, &before, &after);
	if (r == 0 && before.phase == after.phase) {
		b->waits = b->phase == before.phase ? b->waits + 1 : 1;
		b->phase = before.phase;
	}
	pthread_mutex_unlock(&b->mu);
	if (r < 0)
		return r;
	if (before.phase != after.phase) {
		pgi_condition_wake_all(&b->condition);
		return 1;
	}
	r = await(b, before.phase);
	if (r < 0 && (atomic_load(&b->hold.gone) || settle(b, give_up, before.phase)))
		return r;
	return settle(b, elect, before.phase);
}

/* ---- Going ---- */

enum { JUST_DETACH, ARRIVE_TOO, UNLESS_LAST };

static int leave(pgbgw_barrier *b, struct state *s, uint32_t how)
{
	if (s->is_static)
		return pgi_fail(EINVAL, "the barrier was made for a number of participants");
	if (b->attached == 0)
		return pgi_fail(EPERM, "this process is not attached to the barrier");
	if (s->participants == 0)
		return pgi_fail(EUCLEAN, "nobody takes part in the barrier");
	if (how == UNLESS_LAST && s->participants == 1) {
		advance(s, false);
		return 0;
	}
	s->participants--;
	if ((how != JUST_DETACH || s->participants > 0) && s->arrived >= s->participants)
		advance(s, false);
	return 0;
}

static int go(pgbgw_barrier *b, uint32_t how)
{
	struct state before, after;
	bool stays;
	int r = usable(b);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->mu);
	r = change(b, leave, how, &before, &after);
	stays = r == 0 && before.participants == after.participants;
	if (r == 0 && !stays)
		b->attached--;
	pthread_mutex_unlock(&b->mu);
	if (r < 0)
		return r;
	if (before.phase != after.phase)
		pgi_condition_wake_all(&b->condition);
	return how == UNLESS_LAST ? stays : after.participants == 0;
}

int pgbgw_barrier_detach(pgbgw_barrier *b) { return go(b, JUST_DETACH); }
int pgbgw_barrier_arrive_and_detach(pgbgw_barrier *b) { return go(b, ARRIVE_TOO); }
int pgbgw_barrier_arrive_and_detach_except_last(pgbgw_barrier *b) { return go(b, UNLESS_LAST); }
