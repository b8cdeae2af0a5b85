/*
 * A worker in C that exchanges messages by the orders that it gets, as
 * member_linux.go in Go: "member SOCKET ROLE". Of the orders it knows those
 * about queues.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "pgbgw.h"

enum { QUEUES = 16 };

struct queue {
	char name[48];
	void *area;
	size_t size;
	pgbgw_mq *end;
};

static pgbgw_worker *self;
static struct queue queues[QUEUES];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct queue *find(const char *name, const char *more)
{
	char full[48];

	snprintf(full, sizeof full, "%s%s", name, more);
	for (int i = 0; i < QUEUES; i++) {
		if (queues[i].name[0] == 0)
			strcpy(queues[i].name, full);
		if (strcmp(queues[i].name, full) == 0)
			return &queues[i];
	}
	return NULL;
}

static int lay(struct queue *q, size_t size, int create)
{
	int err = pgbgw_area(self, q->name, size, &q->area);

	q->size = size;
	if (err >= 0 && create)
		err = pgbgw_mq_create(q->area, size);
	return err < 0 ? err : 0;
}

static int send_all(struct queue *q, size_t size, long n, int flush, uint64_t *begun)
{
	void *from = calloc(1, size + 1);
	int err = from == NULL ? -ENOMEM : pgbgw_mq_wait_for_attach(q->end, 60000);

	*begun = now();
	for (long i = 0; i < n && err == 0; i++)
		err = pgbgw_mq_send(q->end, from, size, flush ? PGBGW_MQ_FLUSH : 0);
	if (err == 0)
		err = pgbgw_mq_flush(q->end);
	free(from);
	return err;
}

static int take(struct queue *q, void *to, size_t size)
{
	void *data;
	size_t n;
	int err = pgbgw_mq_receive(q->end, &data, &n, 0);

	if (err == 0 && n != size)
		err = -EBADMSG;
	if (err == 0)
		memcpy(to, data, n);
	return err;
}

static int receive_all(struct queue *q, size_t size, long n, uint64_t *ended)
{
	void *to = calloc(1, size + 1);
	int err = to == NULL ? -ENOMEM : pgbgw_mq_wait_for_attach(q->end, 60000);

	for (long i = 0; i < n && err == 0; i++)
		err = take(q, to, size);
	*ended = now();
	free(to);
	return err;
}

static int smaller(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int ping(const char *name, size_t size, long n, long gap, uint64_t *median)
{
	struct queue *out = find(name, "-forth"), *in = find(name, "-back");
	uint64_t *ns = calloc((size_t)n, sizeof *ns);
	char message[4096] = {0};
	int err = ns == NULL || size > sizeof message ? -EINVAL : pgbgw_mq_wait_for_attach(out->end, 60000);

	if (err == 0)
		err = pgbgw_mq_wait_for_attach(in->end, 60000);
	for (long i = 0; i < n && err == 0; i++) {
		uint64_t t;

		if (gap > 0)
			usleep((useconds_t)gap);
		t = now();
		err = pgbgw_mq_send(out->end, message, size, PGBGW_MQ_FLUSH);
		if (err == 0)
			err = take(in, message, size);
		ns[i] = now() - t;
	}
	if (err == 0) {
		qsort(ns, (size_t)n, sizeof *ns, smaller);
		*median = ns[n / 2];
	}
	free(ns);
	return err;
}

static int pong(const char *name, long n)
{
	struct queue *in = find(name, "-forth"), *out = find(name, "-back");
	int err = pgbgw_mq_wait_for_attach(in->end, 60000);

	if (err == 0)
		err = pgbgw_mq_wait_for_attach(out->end, 60000);
	for (long i = 0; i < n && err == 0; i++) {
		void *data;
		size_t size;

		err = pgbgw_mq_receive(in->end, &data, &size, 0);
		if (err == 0)
			err = pgbgw_mq_send(out->end, data, size, PGBGW_MQ_FLUSH);
	}
	return err;
}

static int pin(long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		if (cpu < 0 || cpu == i)
			CPU_SET((size_t)i, &set);
	return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

/* Carries out an order; *answer is a number for the answer, if it is not 0. */
static int obey(const char *line, uint64_t *answer)
{
	char verb[16] = "", name[32] = "";
	long a = 0, b = 0, c = 0;
	struct queue *q;

	if (sscanf(line, "pin %ld", &a) == 1)
		return pin(a);
	if (sscanf(line, "%15s %31s %ld %ld %ld", verb, name, &a, &b, &c) < 2)
		return -EINVAL;
	if (strcmp(verb, "ping") == 0)
		return ping(name, (size_t)a, b, c, answer);
	if (strcmp(verb, "pong") == 0)
		return pong(name, a);
	if ((q = find(name, "")) == NULL)
		return -ENOSPC;
	if (strcmp(verb, "create") == 0 || strcmp(verb, "open") == 0)
		return lay(q, (size_t)a, verb[0] == 'c');
	if (strcmp(verb, "sender") == 0)
		return pgbgw_mq_attach(self, q->area, q->size, PGBGW_MQ_SENDER, &q->end);
	if (strcmp(verb, "receiver") == 0)
		return pgbgw_mq_attach(self, q->area, q->size, PGBGW_MQ_RECEIVER, &q->end);
	if (strcmp(verb, "send") == 0)
		return send_all(q, (size_t)a, b, (int)c, answer);
	if (strcmp(verb, "receive") == 0)
		return receive_all(q, (size_t)a, b, answer);
	if (strcmp(verb, "detach") == 0) {
		pgbgw_mq_detach(q->end);
		q->end = NULL;
		return 0;
	}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err = argc == 3 ? 0 : -EINVAL;
	char line[256];
	FILE *f;

	if (err == 0 && (err = pgbgw_open(&self)) == 0)
		err = pgbgw_attach(self);
	if (err != 0) {
		fprintf(stderr, "member: %s\n", pgbgw_last_error());
		return 1;
	}
	snprintf(to.sun_path, sizeof to.sun_path, "%s", argv[1]);
	if (connect(s, (struct sockaddr *)&to, sizeof to) < 0 || (f = fdopen(s, "r+")) == NULL) {
		perror("member: connect");
		pgbgw_exit(self, 1);
	}
	fprintf(f, "%s %u\n", argv[2], pgbgw_get_self(self)->handle.slot);
	fflush(f);
	while (fgets(line, sizeof line, f) != NULL) {
		uint64_t answer = 0;

		fseek(f, 0, SEEK_CUR); /* from reading to writing */
		if ((err = obey(line, &answer)) < 0)
			fprintf(f, "error %s: %s\n", strerror(-err), pgbgw_last_error());
		else if (answer != 0)
			fprintf(f, "ok %llu\n", (unsigned long long)answer);
		else
			fprintf(f, "ok\n");
		fflush(f);
	}
	pgbgw_exit(self, 0);
}
