/* A role: memory that somebody spoils while it is used. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role.h"

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
int role_hostile(char **v)
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
