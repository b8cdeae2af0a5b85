/*
 * The request that the server cancel what it runs for this session.
 *
 * PQcancel waits for the server, and a server that has stopped answers nobody. So
 * it is made by a thread, for which this process waits a while: the worker's end
 * must not hang on it.
 */
#include "internal.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "connection.h"

enum { PATIENCE_MS = 5000, LOOK_MS = 100 };

struct request {
	PGcancel *cancel;
	int done; /* eventfd */
};

static void *ask(void *arg)
{
	struct request *r = arg;
	char error[256]; /* one that failed only means that the query goes on */

	PQcancel(r->cancel, error, sizeof error);
	(void)eventfd_write(r->done, 1);
	return NULL;
}

/* start starts the thread, which takes no signal of the process. */
static bool start(struct request *r)
{
	sigset_t all, before;
	pthread_t thread;
	bool ok;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(&thread, NULL, ask, r) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ok)
		pthread_detach(thread);
	return ok;
}

/* finished waits for the thread; false when it was given up, or when this process was asked to end meanwhile. */
static bool finished(int done)
{
	struct pollfd fd = { done, POLLIN, 0 };

	for (int ms = 0; ms < PATIENCE_MS && !ProcDiePending; ms += LOOK_MS)
		if (poll(&fd, 1, LOOK_MS) > 0)
			return true;
	return false;
}

/* What a thread that was given up still uses is not freed. */
void session_cancel(PGconn *c)
{
	struct request *r = malloc(sizeof *r);
	bool started;

	if (!r)
		return;
	r->cancel = PQgetCancel(c);
	r->done = eventfd(0, EFD_CLOEXEC);
	started = r->cancel && r->done >= 0 && start(r);
	if (started && !finished(r->done))
		return;
	PQfreeCancel(r->cancel);
	if (r->done >= 0)
		close(r->done);
	free(r);
}
