/*
 * A worker in a ring of queues, in C: it copies every message from one queue to
 * another until the first is detached, and then ends. The ring's driver
 * registers it; see ../main.go. ring-member (Go) and ring-member.py do the same.
 *
 *	cc -o ring-member-c ring-member.c $(pkg-config --cflags --libs libpgbgw)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgbgw.h"

static pgbgw_worker *self;

static void on_term(int sig)
{
	(void)sig;
	pgbgw_interrupt(self);
}

/* What stands behind the key in the extra data, in a buffer of 48 bytes. */
static const char *extra(const char *key, char *to)
{
	const pgbgw_self *me = pgbgw_get_self(self);
	char text[129], *word, *rest = text;

	memcpy(text, me->extra, me->extra_len);
	text[me->extra_len] = 0;
	while ((word = strtok_r(rest, " ", &rest)) != NULL) {
		size_t n = strlen(key);

		if (strncmp(word, key, n) == 0 && word[n] == '=' && strlen(word) - n <= 48)
			return strcpy(to, word + n + 1);
	}
	return NULL;
}

/* Attaches to the queue that the key names; 0 or a negative errno. */
static int attach(const char *key, enum pgbgw_mq_role role, pgbgw_mq **q)
{
	char name[48], size[48];
	void *area;
	int err;

	if (extra(key, name) == NULL || extra("size", size) == NULL)
		return -EINVAL;
	err = pgbgw_area(self, name, (size_t)strtoull(size, NULL, 10), &area);
	if (err < 0)
		return err;
	return pgbgw_mq_attach(self, area, (size_t)strtoull(size, NULL, 10), role, q);
}

static int copy_all(void)
{
	pgbgw_mq *in = NULL, *out = NULL;
	void *message;
	size_t n;
	int err;

	if ((err = pgbgw_attach(self)) == 0 && (err = attach("in", PGBGW_MQ_RECEIVER, &in)) == 0 &&
	    (err = attach("out", PGBGW_MQ_SENDER, &out)) == 0 && (err = pgbgw_mq_wait_for_attach(in, 60000)) == 0 &&
	    (err = pgbgw_mq_wait_for_attach(out, 60000)) == 0)
		while ((err = pgbgw_mq_receive(in, &message, &n, 0)) == 0)
			if ((err = pgbgw_mq_send(out, message, n, PGBGW_MQ_FLUSH)) != 0)
				break;
	pgbgw_mq_detach(out);
	pgbgw_mq_detach(in);
	return err;
}

int main(void)
{
	struct sigaction term = {.sa_handler = on_term};
	int err = pgbgw_open(&self);

	if (err == 0) {
		sigaction(SIGTERM, &term, NULL);
		err = copy_all();
	}
	if (err != 0 && err != -EPIPE && err != -EINTR)
		fprintf(stderr, "<3>ring-member-c: %s\n", pgbgw_last_error());
	term.sa_handler = SIG_IGN;
	sigaction(SIGTERM, &term, NULL);
	pgbgw_exit(self, err == 0 || err == -EPIPE ? 0 : 1);
}
