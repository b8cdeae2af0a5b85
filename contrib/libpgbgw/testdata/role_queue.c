/* Roles: queues and tables of contents, as they should be used. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role.h"

static const char *arg(char **v, int i, const char *none) { return v[i] ? v[i] : none; }

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
int role_sender(char **v)
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
int role_receiver(char **v)
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
int role_repeats(char **v)
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

/* make queue|lock|condition|barrier|toc AREA SIZE [PARTICIPANTS] */
int role_make(char **v)
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
int role_look(char **v)
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
