/*
 * A worker that plays one of the roles that its first argument names; the tests
 * in Go play the same ones. Status 0: all went as it should.
 */
#include <stdio.h>

#include "role.h"

pgbgw_worker *w;

int must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, strerror(-r), pgbgw_last_error());
		exit(3);
	}
	return r;
}

void check(bool ok, const char *what, const char *file, int line)
{
	if (!ok) {
		fprintf(stderr, "%s:%d: not so: %s (%s)\n", file, line, what, pgbgw_last_error());
		exit(4);
	}
}

void *area(const char *name, size_t size)
{
	void *p = NULL;

	MUST(pgbgw_area(w, name, size, &p));
	return p;
}

void unset(void)
{
	(void)pgbgw_latch_is_set(w);
	pgbgw_latch_reset(w);
}

static const struct {
	const char *name;
	int (*play)(char **);
} roles[] = {
	{ "life", role_life }, { "make", role_make }, { "sender", role_sender }, { "receiver", role_receiver }, { "look", role_look }, { "locker", role_locker },
	{ "dies", role_dies }, { "waiter", role_waiter }, { "latch", role_latch }, { "interrupted", role_interrupted }, { "survivor", role_survivor },
	{ "consumer", role_consumer }, { "producer", role_producer }, { "phases", role_phases }, { "tranches", role_tranches }, { "dynamic", role_dynamic },
	{ "forks", role_forks }, { "repeats", role_repeats }, { "hostile", role_hostile }, { "registrant", role_registrant },
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
