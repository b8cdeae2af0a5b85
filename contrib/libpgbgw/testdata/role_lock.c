/* Roles: locks, condition variables, barriers, tranches. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role.h"

/* What the lock protects: a and b are equal, unless a holder died between the two; damaged: a sharer was told of that. */
struct pair {
	_Atomic uint64_t a, b, damaged;
};

static atomic_bool told;

static void critical(pgbgw_lwlock *l, struct pair *p)
{
	int died = MUST(pgbgw_lwlock_acquire(l, PGBGW_LW_EXCLUSIVE));

	if (died)
		atomic_store(&told, true);
	CHECK(died || atomic_load(&p->damaged) || atomic_load(&p->a) == atomic_load(&p->b));
	uint64_t n = atomic_load(&p->a) + 1;
	POINT();
	atomic_store(&p->a, n);
	POINT();
	sched_yield();
	atomic_store(&p->b, n);
	atomic_store(&p->damaged, 0);
	POINT();
	MUST(pgbgw_lwlock_release(l, PGBGW_LW_EXCLUSIVE));
}

static void look_shared(pgbgw_lwlock *l, struct pair *p)
{
	int died = MUST(pgbgw_lwlock_acquire(l, PGBGW_LW_SHARED));

	if (died)
		atomic_store(&told, true);
	if (died)
		atomic_store(&p->damaged, 1);
	uint64_t a = atomic_load(&p->a), b = atomic_load(&p->b);
	sched_yield();
	CHECK(a == atomic_load(&p->a) && b == atomic_load(&p->b));
	MUST(pgbgw_lwlock_release(l, PGBGW_LW_SHARED));
}

struct locking {
	pgbgw_lwlock *l;
	struct pair *p;
	uint64_t count;
};

static void *lock_often(void *arg)
{
	struct locking *k = arg;

	for (uint64_t i = 0; i < k->count; i++) {
		int r;

		critical(k->l, k->p);
		look_shared(k->l, k->p);
		r = pgbgw_lwlock_conditional_acquire(k->l, i % 2 ? PGBGW_LW_SHARED : PGBGW_LW_EXCLUSIVE);
		if (r != -EAGAIN) {
			MUST(r);
			if (r) {
				atomic_store(&told, true);
				atomic_store(&k->p->damaged, 1);
			}
			MUST(pgbgw_lwlock_release(k->l, i % 2 ? PGBGW_LW_SHARED : PGBGW_LW_EXCLUSIVE));
		}
	}
	return NULL;
}

/* locker AREA SIZE COUNT THREADS: the lock is in AREA, what it protects in "pair". */
int role_locker(char **v)
{
	size_t size = size_of(v[1]), threads = size_of(v[3]);
	struct locking k = { .p = area("pair", 24), .count = size_of(v[2]) };
	pthread_t t[8];

	MUST(pgbgw_lwlock_open(w, area(v[0], size), size, &k.l));
	for (size_t i = 1; i < threads; i++)
		CHECK(pthread_create(&t[i], NULL, lock_often, &k) == 0);
	(void)lock_often(&k);
	for (size_t i = 1; i < threads; i++)
		pthread_join(t[i], NULL);
	CHECK(pgbgw_lwlock_release(k.l, PGBGW_LW_EXCLUSIVE) == -EPERM);
	pgbgw_lwlock_close(k.l);
	printf("%d\n", atomic_load(&told));
	return 0;
}

/* ---- Condition variables and barriers ---- */

/* consumer AREA SIZE COUNT: takes COUNT tokens from "tokens", which producers put there. */
int role_consumer(char **v)
{
	word64 *tokens = area("tokens", 16);
	size_t size = size_of(v[1]);
	pgbgw_condition_sleep s;
	pgbgw_condition *c;

	MUST(pgbgw_condition_open(w, area(v[0], size), size, &c));
	MUST(pgbgw_condition_prepare(c, &s));
	if (pgbgw_condition_sleep_for(&s, 1) == 0 || pgbgw_condition_cancel(&s)) /* that was somebody's */
		MUST(pgbgw_condition_signal(c));
	(void)pgbgw_condition_cancel(&s);
	for (uint64_t left = size_of(v[2]); left; left--) {
		uint64_t n;

		MUST(pgbgw_condition_prepare(c, &s));
		for (;;) {
			n = atomic_load(tokens);
			if (n != 0 && atomic_compare_exchange_strong(tokens, &n, n - 1))
				break;
			if (n == 0)
				MUST(pgbgw_condition_sleep_for(&s, -1));
		}
		if (pgbgw_condition_cancel(&s))
			MUST(pgbgw_condition_signal(c));
	}
	pgbgw_condition_close(c);
	return 0;
}

/* producer AREA SIZE COUNT */
int role_producer(char **v)
{
	word64 *tokens = area("tokens", 16);
	size_t size = size_of(v[1]);
	pgbgw_condition *c;

	MUST(pgbgw_condition_open(w, area(v[0], size), size, &c));
	for (uint64_t left = size_of(v[2]); left; left--) {
		atomic_fetch_add(tokens, 1);
		MUST(left % 7 ? pgbgw_condition_signal(c) : pgbgw_condition_broadcast(c));
	}
	pgbgw_condition_close(c);
	return 0;
}

/* phases AREA SIZE COUNT static|dynamic: goes through COUNT phases of a barrier, and counts elections in "elected". */
int role_phases(char **v)
{
	word64 *elected = area("elected", 16);
	size_t size = size_of(v[1]);
	bool dynamic = strcmp(v[3], "dynamic") == 0;
	uint32_t phase = 0;
	pgbgw_barrier *b;

	MUST(pgbgw_barrier_open(w, area(v[0], size), size, &b));
	if (dynamic)
		MUST(pgbgw_barrier_attach(b, &phase));
	else
		CHECK(pgbgw_barrier_attach(b, &phase) == -EINVAL && pgbgw_barrier_detach(b) == -EINVAL);
	for (uint64_t n = 0; n < size_of(v[2]); n++) {
		if (MUST(pgbgw_barrier_arrive_and_wait(b)))
			atomic_fetch_add(elected, 1);
		CHECK(dynamic || pgbgw_barrier_phase(b) - (uint32_t)n - 1 <= 1);
	}
	if (dynamic) {
		MUST(pgbgw_barrier_arrive_and_detach(b));
		CHECK(pgbgw_barrier_detach(b) == -EPERM && pgbgw_barrier_arrive_and_wait(b) == -EPERM);
	}
	pgbgw_barrier_close(b);
	return 0;
}

/* tranches: names for locks. */
int role_tranches(char **v)
{
	pgbgw_lwlock *l;
	char name[64];
	void *lock = area("lock", 96);

	(void)v;
	CHECK(MUST(pgbgw_tranche(w, "from go")) == 1 && MUST(pgbgw_tranche(w, "from c")) == 2 && MUST(pgbgw_tranche(w, "from c")) == 2);
	CHECK(pgbgw_tranche_name(w, 2, name) == 0 && strcmp(name, "from c") == 0);
	CHECK(pgbgw_tranche_name(w, 3, name) == -ENOENT && pgbgw_tranche_name(w, 0, name) == -ENOENT && pgbgw_tranche(w, "") == -EINVAL);
	MUST(pgbgw_lwlock_open(w, lock, 96, &l));
	MUST(pgbgw_lwlock_set_tranche(l, 2));
	pgbgw_lwlock_close(l);
	return 0;
}
