/*
 * Hello is a background worker in C: it attaches to its segment, counts its
 * starts in a named area that outlives it, says that it is ready, and works
 * when its latch is set or ten seconds have passed, until it is asked to end.
 *
 *	cc -o hello-c hello.c $(pkg-config --cflags --libs libpgbgw)
 *
 *	worker "hello" {
 *	  command      = ["/usr/lib/pg-bgw/workers/hello-c"]
 *	  flags        = ["shmem_access"]
 *	  restart_time = "10s"
 *	}
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pgbgw.h>

static pgbgw_worker *worker;

static void on_term(int sig)
{
	(void)sig;
	pgbgw_interrupt(worker); /* sets the latch, too */
}

/* Ends with status 1, to be started again after restart_time, if something went wrong. */
static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "<3>hello: cannot %s: %s: %s\n", what, strerror(-result), pgbgw_last_error());
	pgbgw_exit(worker, 1);
}

int main(void)
{
	struct sigaction term = { .sa_handler = on_term };
	char status[64];
	void *area;

	check(pgbgw_open(&worker), "open");
	sigaction(SIGTERM, &term, NULL);
	check(pgbgw_attach(worker), "attach");
	check(pgbgw_area(worker, "hello starts", 8, &area), "use the area of starts");
	unsigned long long starts = atomic_fetch_add((_Atomic uint64_t *)area, 1) + 1;
	snprintf(status, sizeof status, "start %llu in this segment", starts);
	check(pgbgw_ready(worker, status), "report as ready");
	while (!pgbgw_interrupted(worker)) {
		printf("hello from %s, start %llu in this segment\n", pgbgw_get_self(worker)->name, starts);
		fflush(stdout);
		check(pgbgw_latch_wait(worker, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT | PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH, -1, 10000), "wait");
		pgbgw_latch_reset(worker);
	}
	pgbgw_exit(worker, 1);
}
