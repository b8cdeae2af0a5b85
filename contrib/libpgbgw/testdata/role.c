/*
 * A worker that plays one of the roles that its first argument names; the tests
 * in Go play the same ones. Status 0: all went as it should.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

static pgbgw_worker *w;

#define MUST(call) must((call), #call)

static int must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, strerror(-r), pgbgw_last_error());
		exit(3);
	}
	return r;
}

#define CHECK(what) check((what), #what, __LINE__)

static void check(bool ok, const char *what, int line)
{
	if (!ok) {
		fprintf(stderr, "line %d: not so: %s (%s)\n", line, what, pgbgw_last_error());
		exit(4);
	}
}

static const char *arg(char **v, int i, const char *none) { return v[i] ? v[i] : none; }
static size_t size_of(const char *s) { return (size_t)strtoull(s, NULL, 10); }

static void *area(const char *name, size_t size)
{
	void *p = NULL;

	MUST(pgbgw_area(w, name, size, &p));
	return p;
}

/* Takes what the supervisor has rung so far. */
static void unset(void)
{
	(void)pgbgw_latch_is_set(w);
	pgbgw_latch_reset(w);
}

/* ---- Queues ---- */

/* Message i: of varied length, some larger than a small ring. */
static size_t numbered(uint64_t i, unsigned char to[2048])
{
	size_t n = 8 + (size_t)(i * 37 % 1500);

	memset(to, 0, n);
	memcpy(to, &i, 8);
	to[n - 1] = (unsigned char)(to[n - 1] ^ i);
	return n;
}

static int send_way(pgbgw_mq *q, const char *way, unsigned char *m, size_t n, unsigned flags)
{
	struct iovec parts[4] = { { m, n / 3 }, { m, 0 }, { m + n / 3, n / 2 - n / 3 }, { m + n / 2, n - n / 2 } };
	int r;

	if (strcmp(way, "plain") == 0)
		return pgbgw_mq_send(q, m, n, flags);
	if (strcmp(way, "parts") == 0)
		return pgbgw_mq_sendv(q, parts, 4, flags);
	while ((r = pgbgw_mq_sendv(q, parts, 4, flags | PGBGW_MQ_NOWAIT)) == -EAGAIN) {
		MUST(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 5));
		pgbgw_latch_reset(w);
	}
	return r;
}

/* sender AREA SIZE COUNT WAY [HANDLE SLOT GENERATION]: COUNT messages, unless the other end goes. */
static int sender(char **v)
{
	void *memory = area(v[0], size_of(v[1]));
	unsigned char m[2048];
	pgbgw_mq *q;
	uint64_t i, count = size_of(v[2]);

	MUST(pgbgw_mq_attach(w, memory, size_of(v[1]), PGBGW_MQ_SENDER, &q));
	pgbgw_mq_set_handle(q, (pgbgw_handle){ (uint32_t)size_of(arg(v, 4, "5")), 17 });
	for (i = 0; i < count; i++) {
		size_t n = numbered(i, m);
		int r = send_way(q, v[3], m, n, i % 2 ? PGBGW_MQ_FLUSH : 0);

		if (r == -EPIPE)
			break;
		MUST(r);
	}
	pgbgw_mq_detach(q);
	printf("%llu\n", (unsigned long long)i);
	return 0;
}

/* receiver AREA SIZE COUNT WAY [SLOT]: what sender sends, COUNT at most. */
static int receiver(char **v)
{
	void *memory = area(v[0], size_of(v[1])), *got;
	uint64_t i, count = size_of(v[2]);
	unsigned char m[2048];
	pgbgw_mq *q;
	size_t n;

	MUST(pgbgw_mq_attach(w, memory, size_of(v[1]), PGBGW_MQ_RECEIVER, &q));
	pgbgw_mq_set_handle(q, (pgbgw_handle){ (uint32_t)size_of(arg(v, 4, "5")), 17 });
	for (i = 0; i < count; i++) {
		size_t want = numbered(i, m);
		int r;

		while ((r = pgbgw_mq_receive(q, &got, &n, strcmp(v[3], "nowait") == 0 ? PGBGW_MQ_NOWAIT : 0)) == -EAGAIN) {
			MUST(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 5));
			pgbgw_latch_reset(w);
		}
		if (r == -EPIPE)
			break;
		MUST(r);
		CHECK(n == want && memcmp(got, m, n) == 0);
	}
	pgbgw_mq_detach(q);
	printf("%llu\n", (unsigned long long)i);
	return 0;
}

/* repeats: a message that is sent in part can only be gone on with (BGW-146); what is wrong is refused. */
static int repeats(char **v)
{
	static unsigned char m[200];
	void *memory = area("q", 128), *got;
	pgbgw_mq *s, *r, *third;
	size_t n;

	(void)v;
	CHECK(pgbgw_mq_create(memory, 63) == -EINVAL && pgbgw_mq_create((char *)memory + 1, 100) == -EINVAL); /* BGW-142 */
	CHECK(pgbgw_mq_attach(w, memory, 128, PGBGW_MQ_SENDER, &s) == -EUCLEAN);
	MUST(pgbgw_mq_create(memory, 128));
	CHECK(pgbgw_mq_attach(w, memory, 120, PGBGW_MQ_SENDER, &s) == -EUCLEAN);
	MUST(pgbgw_mq_attach(w, memory, 128, PGBGW_MQ_SENDER, &s));
	CHECK(pgbgw_mq_attach(w, memory, 128, PGBGW_MQ_SENDER, &third) == -EBUSY && third == NULL);
	CHECK(pgbgw_mq_send(s, m, (size_t)1 << 30, 0) == -EMSGSIZE); /* BGW-153 */
	CHECK(pgbgw_mq_receive(s, &got, &n, 0) == -EINVAL);
	CHECK(pgbgw_mq_send(s, m, sizeof m, 0) == -EDESTADDRREQ); /* BGW-151 */
	MUST(pgbgw_mq_attach(w, memory, 128, PGBGW_MQ_RECEIVER, &r));
	CHECK(pgbgw_mq_send(s, m, sizeof m, PGBGW_MQ_NOWAIT) == -EAGAIN);
	CHECK(pgbgw_mq_send(s, m, sizeof m - 1, PGBGW_MQ_NOWAIT) == -EINPROGRESS);
	CHECK(pgbgw_mq_receive(r, &got, &n, PGBGW_MQ_NOWAIT) == -EAGAIN); /* BGW-147 */
	while (pgbgw_mq_send(s, m, sizeof m, PGBGW_MQ_NOWAIT | PGBGW_MQ_FLUSH) != 0)
		CHECK(pgbgw_mq_receive(r, &got, &n, PGBGW_MQ_NOWAIT) == -EAGAIN);
	CHECK(pgbgw_mq_receive(r, &got, &n, PGBGW_MQ_NOWAIT) == 0 && n == sizeof m);
	MUST(pgbgw_mq_send(s, NULL, 0, 0));
	CHECK(pgbgw_mq_receive(r, &got, &n, PGBGW_MQ_NOWAIT) == -EAGAIN); /* BGW-152 */
	MUST(pgbgw_mq_flush(s));
	CHECK(pgbgw_mq_receive(r, &got, &n, PGBGW_MQ_NOWAIT) == 0 && n == 0); /* BGW-143 */
	MUST(pgbgw_mq_send(s, "last", 4, 0));
	pgbgw_mq_detach(s);
	CHECK(pgbgw_mq_receive(r, &got, &n, 0) == 0 && n == 4 && memcmp(got, "last", 4) == 0); /* BGW-148, BGW-152 */
	CHECK(pgbgw_mq_receive(r, &got, &n, 0) == -EPIPE);
	pgbgw_mq_detach(r);
	return 0;
}

static void *spoil(void *arg)
{
	static const uint64_t few[] = { 0, 1, 7, 8, 9, 64, 128, 248, 1 << 20, UINT32_MAX, INT64_MAX, UINT64_MAX - 7, UINT64_MAX };
	word64 *at = arg;
	uint64_t seed = 88172645463325252u;

	for (int i = 0; i < 20000; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (seed % 3 == 0)
			sched_yield();
		if (i % 64 == 63)
			memset(arg, 0, 256); /* so that something goes again */
		atomic_store(&at[seed % 32], seed % 5 ? few[(seed >> 8) % (sizeof few / sizeof *few)] : seed);
	}
	return NULL;
}

/*
 * hostile: somebody writes anything into all that lies in memory while it is
 * used: errors are allowed, faults and waits without an end are not.
 */
static int hostile(char **v)
{
	unsigned char m[300] = { 0 };
	void *memory = area("hostile", 512), *got;
	uint64_t count = 0;
	pthread_t t;
	size_t n;

	(void)v;
	CHECK(pthread_create(&t, NULL, spoil, memory) == 0);
	for (int round = 0; round < 3000; round++) {
		pgbgw_mq *s = NULL, *r = NULL;
		pgbgw_lwlock *l = NULL;
		pgbgw_condition *c = NULL;
		pgbgw_condition_sleep sleep;
		pgbgw_barrier *b = NULL;

		(void)pgbgw_mq_create(memory, 256);
		(void)pgbgw_mq_attach(w, memory, 256, PGBGW_MQ_SENDER, &s);
		(void)pgbgw_mq_attach(w, memory, 256, PGBGW_MQ_RECEIVER, &r);
		for (int i = 0; i < 10; i++) {
			if (s && pgbgw_mq_send(s, m, sizeof m, PGBGW_MQ_NOWAIT | PGBGW_MQ_FLUSH) == 0)
				count++;
			if (r && pgbgw_mq_receive(r, &got, &n, PGBGW_MQ_NOWAIT) == 0)
				memcpy(m, got, n < sizeof m ? n : sizeof m); /* all of it is there */
		}
		pgbgw_mq_detach(s);
		pgbgw_mq_detach(r);
		(void)pgbgw_lwlock_create(memory, 96);
		if (pgbgw_lwlock_open(w, memory, 96, &l) == 0 && pgbgw_lwlock_conditional_acquire(l, (enum pgbgw_lwlock_mode)(round % 2)) >= 0)
			(void)pgbgw_lwlock_release(l, (enum pgbgw_lwlock_mode)(round % 2));
		pgbgw_lwlock_close(l);
		(void)pgbgw_condition_create(memory, 96);
		if (pgbgw_condition_open(w, memory, 96, &c) == 0 && pgbgw_condition_prepare(c, &sleep) == 0) {
			(void)pgbgw_condition_signal(c);
			(void)pgbgw_condition_sleep_for(&sleep, 0);
			(void)pgbgw_condition_cancel(&sleep);
		}
		pgbgw_condition_close(c);
		(void)pgbgw_barrier_create(memory, 96, 0);
		if (pgbgw_barrier_open(w, memory, 96, &b) == 0) {
			(void)pgbgw_barrier_attach(b, NULL);
			(void)pgbgw_barrier_arrive_and_detach(b);
		}
		pgbgw_barrier_close(b);
	}
	pthread_join(t, NULL);
	CHECK(count > 0);
	return 0;
}

/* make queue|lock|condition|barrier|toc AREA SIZE [PARTICIPANTS] */
static int make(char **v)
{
	void *memory = area(v[1], size_of(v[2]));
	pgbgw_toc toc;
	void *chunk;

	if (strcmp(v[0], "queue") == 0)
		return MUST(pgbgw_mq_create(memory, size_of(v[2])));
	if (strcmp(v[0], "lock") == 0)
		return MUST(pgbgw_lwlock_create(memory, size_of(v[2])));
	if (strcmp(v[0], "condition") == 0)
		return MUST(pgbgw_condition_create(memory, size_of(v[2])));
	if (strcmp(v[0], "barrier") == 0)
		return MUST(pgbgw_barrier_create(memory, size_of(v[2]), (unsigned)size_of(v[3])));
	MUST(pgbgw_toc_create(&toc, 4711, memory, size_of(v[2])));
	for (uint64_t key = 0; pgbgw_toc_free(&toc) >= PGBGW_TOC_SIZE(9); key++) {
		MUST(pgbgw_toc_allocate(&toc, 9, &chunk));
		memset(chunk, 'a' + (int)key, 9);
		MUST(pgbgw_toc_insert(&toc, key, chunk, 9));
	}
	return 0;
}

/* look AREA SIZE: the table that make makes. */
static int look(char **v)
{
	void *memory = area(v[0], size_of(v[1])), *chunk;
	pgbgw_toc toc;
	uint64_t key;
	size_t n;

	CHECK(pgbgw_toc_open(&toc, 4712, memory, size_of(v[1])) == -ENOENT);
	MUST(pgbgw_toc_open(&toc, 4711, memory, size_of(v[1])));
	for (key = 0; MUST(pgbgw_toc_lookup(&toc, key, &chunk, &n)); key++)
		CHECK(n == 9 && *(char *)chunk == 'a' + (char)key && (uintptr_t)chunk % 8 == 0);
	CHECK(pgbgw_toc_allocate(&toc, 32, &chunk) == -ENOMEM);
	printf("%llu\n", (unsigned long long)key);
	return 0;
}

/* ---- Locks ---- */

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
static int locker(char **v)
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
static int consumer(char **v)
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
static int producer(char **v)
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
static int phases(char **v)
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
static int tranches(char **v)
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

/* ---- Dynamic segments ---- */

static char order[8];

static void note(pgbgw_dynamic *d, void *arg)
{
	CHECK(*(char *)pgbgw_dynamic_address(d) == 'x'); /* it is still there */
	strcat(order, arg);
}

static int fails(void *memory, size_t size, void *arg)
{
	(void)memory;
	(void)size;
	(void)arg;
	return -EDOM;
}

static int fills(void *memory, size_t size, void *arg)
{
	(void)arg;
	memset(memory, 'f', size);
	return 0;
}

static void *receives(void *q)
{
	void *data;
	size_t n;

	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EPIPE);
	return NULL;
}

/* dynamic: segments that are made, found, filled and given back (BGW-135 to BGW-139). */
static int dynamic(char **v)
{
	pgbgw_dynamic *d, *again, *named;
	pgbgw_mq *q;
	pthread_t t;

	(void)v;
	MUST(pgbgw_dynamic_create(w, 5000, &d));
	uint32_t handle = pgbgw_dynamic_handle(d);
	CHECK(handle != 0 && handle % 2 == 0 && pgbgw_dynamic_size(d) == 5000 && pgbgw_dynamic_find(w, handle) == d);
	CHECK(pgbgw_dynamic_attach(w, handle, &again) == -EEXIST && again == NULL); /* BGW-137 */
	CHECK(pgbgw_dynamic_attach(w, 4712, &again) == -ENOENT);                    /* BGW-136 */
	char *p = pgbgw_dynamic_address(d);
	*p = 'x';
	MUST(pgbgw_dynamic_on_detach(d, note, "a"));
	MUST(pgbgw_dynamic_on_detach(d, note, "c"));
	MUST(pgbgw_dynamic_on_detach(d, note, "b"));
	MUST(pgbgw_dynamic_cancel_on_detach(d, note, "c"));
	CHECK(pgbgw_dynamic_cancel_on_detach(d, note, "c") == -ENOENT);
	MUST(pgbgw_mq_create(p + 8, 256));
	MUST(pgbgw_mq_attach(w, p + 8, 256, PGBGW_MQ_RECEIVER, &q));
	pgbgw_mq_set_handle(q, (pgbgw_handle){ 5, 17 });
	CHECK(pthread_create(&t, NULL, receives, q) == 0);
	MUST(pgbgw_dynamic_pin(d));
	MUST(pgbgw_dynamic_detach(d));
	CHECK(strcmp(order, "ba") == 0); /* BGW-138 */
	pthread_join(t, NULL);
	pgbgw_mq_detach(q);
	CHECK(pgbgw_dynamic_find(w, handle) == NULL && *p == 0); /* no fault */
	MUST(pgbgw_dynamic_attach(w, handle, &d));                /* BGW-135: it was pinned */
	CHECK(*(char *)pgbgw_dynamic_address(d) == 'x');
	MUST(pgbgw_dynamic_unpin(w, handle));
	CHECK(pgbgw_dynamic_named(w, "n", 10, fails, NULL, &named) == -EDOM && named == NULL);
	CHECK(MUST(pgbgw_dynamic_named(w, "n", 10, fills, NULL, &named)) == 0 && *(char *)pgbgw_dynamic_address(named) == 'f'); /* BGW-139 */
	CHECK(MUST(pgbgw_dynamic_named(w, "n", 10, fails, NULL, &again)) == 1 && again == named);
	CHECK(pgbgw_dynamic_named(w, "n", 11, fails, NULL, &again) == -EINVAL);
	MUST(pgbgw_detach(w));
	CHECK(pgbgw_dynamic_create(w, 5000, &d) == -ENOTCONN);
	return 0;
}

/* ---- Life ---- */

/* life: what a worker does in its life, in order. */
static int life(char **v)
{
	const pgbgw_self *s = pgbgw_get_self(w);
	pgbgw_worker *second;
	pgbgw_slot slot;
	void *p, *again;

	(void)v;
	CHECK(pgbgw_open(&second) == -EBUSY);
	CHECK(strcmp(s->name, "test worker") == 0 && strcmp(s->type, "test") == 0 && s->handle.slot == 3 && s->handle.generation == 17);
	CHECK(s->extra_len == 5 && memcmp(s->extra, "extra", 5) == 0 && s->start == 1 && s->main_arg == UINT64_MAX);
	CHECK(pgbgw_area(w, "x", 1, &p) == 0); /* already attached: by main */
	CHECK(pgbgw_area(w, "x", 1, &again) == 1 && p == again);
	CHECK(pgbgw_area(w, "x", 2, &again) == -EEXIST && again == NULL);
	CHECK(pgbgw_area(w, "", 2, &again) == -EINVAL);
	CHECK(pgbgw_area(w, "0123456789012345678901234567890123456789012345678", 2, &again) == -EINVAL);
	CHECK(pgbgw_area(w, "y", (size_t)1 << 40, &again) == -ENOMEM);
	CHECK((uintptr_t)p % 128 == 0 && pgbgw_slots_max(w) == 64 && pgbgw_slots_used(w) >= 4);
	CHECK(pgbgw_slot_get(w, 3, &slot) == 0 && slot.generation == 17 && slot.state == PGBGW_RUNNING && strcmp(slot.name, "test worker") == 0);
	CHECK(pgbgw_slot_get(w, 1000, &slot) == 0 && slot.state == PGBGW_FREE);
	CHECK(pgbgw_slot_get(w, 1 << 20, &slot) == -ENOENT);
	MUST(pgbgw_ready(w, "größer"));
	CHECK(pgbgw_ready(w, "\xff") == -EINVAL);
	CHECK(pgbgw_attach(w) == 0 && pgbgw_is_attached(w));
	CHECK(pgbgw_detach(w) == 0 && !pgbgw_is_attached(w) && pgbgw_detach(w) == 0);
	CHECK(pgbgw_area(w, "x", 1, &p) == -ENOTCONN);
	CHECK(pgbgw_attach(w) == 0);
	CHECK(pgbgw_area(w, "x", 1, &p) == 1);
	return 0;
}

/* dies: is killed with everything in its hands. */
static int dies(char **v)
{
	pgbgw_lwlock *l;
	(void)v;

	MUST(pgbgw_lwlock_open(w, area("lock", 96), 96, &l));
	MUST(pgbgw_lwlock_acquire(l, PGBGW_LW_EXCLUSIVE));
	printf("held\n");
	fflush(stdout);
	for (;;)
		pause();
	return 0;
}

/* ---- Latches ---- */

static void on_term(int sig)
{
	(void)sig;
	pgbgw_interrupt(w);
}

/* waiter COUNT: answers what it is told in "ping", by the latch of slot 5, up to COUNT. */
static int waiter(char **v)
{
	uint64_t count = size_of(v[0]), n;
	word64 *ping = area("ping", 16);
	pgbgw_peer_latch *p;

	MUST(pgbgw_peer_latch_open(w, 5, &p));
	for (;;) {
		n = atomic_load(&ping[0]);
		atomic_store(&ping[1], n);
		pgbgw_peer_latch_set(p);
		if (n >= count)
			break;
		CHECK(MUST(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SUPERVISOR_DEATH, -1, -1)) == PGBGW_WL_LATCH_SET);
		pgbgw_latch_reset(w);
	}
	pgbgw_peer_latch_close(p);
	return 0;
}

/* latch: the rules of a latch, with nobody else. */
static int latch(char **v)
{
	int fds[2], r;

	(void)v;
	CHECK(pipe(fds) == 0);
	for (int attached = 1; attached >= 0; attached--) {
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 0) == PGBGW_WL_TIMEOUT);
		pgbgw_latch_set(w);
		pgbgw_latch_set(w);
		CHECK(pgbgw_latch_is_set(w));
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 100000) == PGBGW_WL_LATCH_SET); /* BGW-154 */
		CHECK(pgbgw_latch_is_set(w));
		pgbgw_latch_reset(w);
		CHECK(!pgbgw_latch_is_set(w));
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 100) == PGBGW_WL_TIMEOUT); /* BGW-156 */
		r = pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SOCKET_READABLE | PGBGW_WL_TIMEOUT, fds[0], 0);
		CHECK(r == PGBGW_WL_TIMEOUT);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_SOCKET_WRITEABLE, fds[1], -1) == PGBGW_WL_SOCKET_WRITEABLE);
		CHECK(write(fds[1], "x", 1) == 1);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SOCKET_READABLE, fds[0], -1) == PGBGW_WL_SOCKET_READABLE);
		CHECK(read(fds[0], &r, 1) == 1);
		CHECK(!pgbgw_latch_arm(w));
		pgbgw_latch_set(w);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_SOCKET_READABLE, pgbgw_latch_fd(w), -1) == PGBGW_WL_SOCKET_READABLE); /* armed, so it rang */
		CHECK(pgbgw_latch_arm(w));
		pgbgw_latch_reset(w);
		MUST(pgbgw_detach(w));
	}
	CHECK(pgbgw_latch_wait(w, 0, -1, -1) == -EINVAL && pgbgw_latch_wait(w, 1u << 7, -1, -1) == -EINVAL);
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_TIMEOUT, -1, -1) == -EINVAL && pgbgw_latch_wait(w, PGBGW_WL_SOCKET_READABLE, -1, -1) == -EINVAL);
	return 0;
}

/* interrupted AREA SIZE: waits in a queue until SIGTERM. */
static int interrupted(char **v)
{
	struct sigaction a = { .sa_handler = on_term };
	void *memory = area(v[0], size_of(v[1])), *data;
	pgbgw_mq *q;
	size_t n;

	sigaction(SIGTERM, &a, NULL);
	MUST(pgbgw_mq_attach(w, memory, size_of(v[1]), PGBGW_MQ_RECEIVER, &q));
	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EDESTADDRREQ); /* BGW-151: never for ever */
	CHECK(pgbgw_mq_wait_for_attach(q, 10) == -ETIMEDOUT);
	pgbgw_mq_set_handle(q, (pgbgw_handle){ 5, 17 });
	printf("waiting\n");
	fflush(stdout);
	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EINTR);
	CHECK(pgbgw_interrupted(w) && pgbgw_latch_is_set(w));
	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EINTR);
	pgbgw_resume(w);
	CHECK(pgbgw_mq_receive(q, &data, &n, PGBGW_MQ_NOWAIT) == -EAGAIN);
	MUST(pgbgw_detach(w));
	CHECK(pgbgw_mq_receive(q, &data, &n, PGBGW_MQ_NOWAIT) == -EPIPE);
	pgbgw_close(w);
	w = NULL;
	pgbgw_mq_detach(q);
	return 0;
}

/* survivor: what a worker does when its supervisor has died. */
static int survivor(char **v)
{
	pgbgw_handle h = { 5, 17 };
	int pid;

	(void)v;
	printf("waiting\n");
	fflush(stdout);
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SUPERVISOR_DEATH, -1, -1) == PGBGW_WL_SUPERVISOR_DEATH);
	CHECK(pgbgw_supervisor_died(w));
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SUPERVISOR_DEATH, -1, -1) == PGBGW_WL_SUPERVISOR_DEATH);
	CHECK(pgbgw_ready(w, "") == -ECONNRESET);
	CHECK(pgbgw_get_pid(w, h, &pid) == PGBGW_SUPERVISOR_DIED && pid == 0);
	CHECK(pgbgw_wait_for_shutdown(w, h, -1) == PGBGW_SUPERVISOR_DIED);
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH, -1, -1) == 99);
	return 0;
}

/* ---- Forks ---- */

/* forks: a child is not the worker. */
static int forks(char **v)
{
	pgbgw_lwlock *l;
	pgbgw_mq *q;
	void *p, *lock = area("lock", 96), *queue = area("queue", 256);
	size_t n;
	int status;
	pid_t child;

	(void)v;
	MUST(pgbgw_lwlock_create(lock, 96));
	MUST(pgbgw_lwlock_open(w, lock, 96, &l));
	MUST(pgbgw_lwlock_acquire(l, PGBGW_LW_EXCLUSIVE));
	MUST(pgbgw_mq_create(queue, 256));
	MUST(pgbgw_mq_attach(w, queue, 256, PGBGW_MQ_RECEIVER, &q));
	child = fork();
	if (child == 0) {
		CHECK(pgbgw_area(w, "x", 1, &p) == -ECHILD && pgbgw_detach(w) == -ECHILD && pgbgw_ready(w, "") == -ECHILD);
		CHECK(pgbgw_lwlock_release(l, PGBGW_LW_EXCLUSIVE) == -ECHILD);
		CHECK(pgbgw_mq_receive(q, &p, &n, PGBGW_MQ_NOWAIT) == -ECHILD);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET, -1, -1) == -ECHILD && !pgbgw_is_attached(w));
		pgbgw_latch_set(w);
		pgbgw_interrupt(w);
		pgbgw_lwlock_close(l);
		pgbgw_mq_detach(q);
		pgbgw_close(w);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(!pgbgw_latch_is_set(w) && !pgbgw_interrupted(w));
	MUST(pgbgw_lwlock_release(l, PGBGW_LW_EXCLUSIVE));
	CHECK(pgbgw_mq_receive(q, &p, &n, PGBGW_MQ_NOWAIT) == -EAGAIN);
	pgbgw_close(w);
	w = NULL;
	pgbgw_lwlock_close(l);
	pgbgw_mq_detach(q);
	return 0;
}

/* ---- Registration ---- */

/* registrant: registers, waits, terminates. */
static int registrant(char **v)
{
	static const char *const command[] = { "/bin/sleep", "größer", "", NULL }, *const environment[] = { "A=1", NULL };
	pgbgw_definition d = PGBGW_DEFINITION_INIT;
	pgbgw_change c;
	pgbgw_handle h;
	int pid = -1;

	(void)v;
	d.name = "w";
	d.flags = PGBGW_SHMEM_ACCESS | PGBGW_BACKEND_DATABASE_CONNECTION;
	CHECK(pgbgw_register(w, &d, &h) == -EINVAL && strstr(pgbgw_last_error(), "restart_time"));
	d.restart_time = PGBGW_NEVER_RESTART;
	d.command = command;
	d.environment = environment;
	d.start_time = PGBGW_START_CONSISTENT_STATE;
	d.main_arg = UINT64_MAX;
	d.extra = "\0\1\377";
	d.extra_len = 3;
	d.notify_signal = d.stop_with_owner = true;
	d.kill_timeout_usec = -1;
	d.database = "db";
	d.role = "ro'le";
	d.segment = "main";
	d.kill_signal = "SIGINT";
	MUST(pgbgw_register(w, &d, &h));
	CHECK(h.slot == 9 && h.generation == UINT64_C(7) << 32);
	CHECK(MUST(pgbgw_wait_for_startup(w, h, &pid, -1)) == PGBGW_STARTED && pid == 4711);
	CHECK(MUST(pgbgw_get_pid(w, h, &pid)) == PGBGW_STOPPED && pid == 0);
	CHECK(pgbgw_wait_for_shutdown(w, h, 1) == -ETIMEDOUT);
	MUST(pgbgw_terminate(w, h));
	while (MUST(pgbgw_next_change(w, &c)) == 0)
		MUST(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 5));
	CHECK(c.handle.slot == 9 && c.state == PGBGW_ENDED && c.exit_signal == 9 && strcmp(c.reason, "was killed") == 0);
	d.name = "refused";
	CHECK(pgbgw_register(w, &d, &h) == -EDQUOT && strcmp(pgbgw_last_error(), "no more of them") == 0);
	d.name = "\xc0\x80";
	CHECK(pgbgw_register(w, &d, &h) == -EINVAL);
	return 0;
}

static const struct {
	const char *name;
	int (*play)(char **);
} roles[] = {
	{ "life", life }, { "make", make }, { "sender", sender }, { "receiver", receiver }, { "look", look }, { "locker", locker },
	{ "dies", dies }, { "waiter", waiter }, { "latch", latch }, { "interrupted", interrupted }, { "survivor", survivor },
	{ "consumer", consumer }, { "producer", producer }, { "phases", phases }, { "tranches", tranches }, { "dynamic", dynamic },
	{ "forks", forks }, { "repeats", repeats }, { "hostile", hostile }, { "registrant", registrant },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof roles / sizeof *roles; i++) {
		int status;

		if (strcmp(argv[1], roles[i].name) != 0)
			continue;
		MUST(pgbgw_open(&w));
		MUST(pgbgw_attach(w));
		unset();
		status = roles[i].play(argv + 2);
		pgbgw_close(w);
		return status;
	}
	fprintf(stderr, "no such role\n");
	return 2;
}
