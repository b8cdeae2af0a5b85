/* A role: dynamic segments. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role.h"

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

/* A callback may do what any code may, also while the process detaches. */
static void look_around(pgbgw_dynamic *d, void *arg)
{
	(void)d;
	*(int *)arg = pgbgw_slots_max(w);
	MUST(pgbgw_detach(w)); /* it does */
}

static void detach_with_callback(void)
{
	pgbgw_dynamic *d;
	int slots = 0;

	MUST(pgbgw_dynamic_create(w, 100, &d));
	MUST(pgbgw_dynamic_on_detach(d, look_around, &slots));
	MUST(pgbgw_detach(w));
	CHECK(slots > 0 && !pgbgw_is_attached(w));
	MUST(pgbgw_attach(w));
}

/* dynamic: segments that are made, found, filled and given back (BGW-135 to BGW-139). */
int role_dynamic(char **v)
{
	pgbgw_dynamic *d, *again, *named;
	pgbgw_mq *q;
	pthread_t t;

	(void)v;
	detach_with_callback();
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
	CHECK(strstr(pgbgw_last_error(), "to fill") != NULL);
	CHECK(MUST(pgbgw_dynamic_named(w, "n", 10, fills, NULL, &named)) == 0 && *(char *)pgbgw_dynamic_address(named) == 'f'); /* BGW-139 */
	CHECK(MUST(pgbgw_dynamic_named(w, "n", 10, fails, NULL, &again)) == 1 && again == named);
	CHECK(pgbgw_dynamic_named(w, "n", 11, fails, NULL, &again) == -EINVAL);
	pgbgw_interrupt(w);
	CHECK(pgbgw_dynamic_create(w, 777, &d) == -EINTR && d == NULL);
	pgbgw_resume(w);
	MUST(pgbgw_ready(w, "after an answer that nobody waited for"));
	MUST(pgbgw_ready(w, "after what it led to"));
	MUST(pgbgw_detach(w));
	CHECK(pgbgw_dynamic_create(w, 5000, &d) == -ENOTCONN);
	return 0;
}
