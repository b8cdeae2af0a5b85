/* The life of a worker: open, attach, detach, close; and what a fork leaves of it. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

bool pgi_launched, pgi_counted;
struct pgi_segment pgi_inherited;

/* The worker that is open in this process. */
static _Atomic(pgbgw_worker *) opened;
/*
 * What of it is large and little used: pages that are not used take no memory. The
 * section is behind that of what every worker writes to (pg/build.sh).
 */
static struct {
	unsigned char buffer[PGI_RECORD_MAX];
	_Atomic int bells[PGBGW_MAX_SLOTS];
} room __attribute__((section(".bss.z")));
static pthread_once_t once = PTHREAD_ONCE_INIT;

/*
 * A child of fork is not the worker: nothing it does may be taken for that. It
 * finds locks that another thread held, so that it only notes the fact.
 */
static void forked(void)
{
	pgbgw_worker *w = atomic_load(&opened);

	if (w)
		atomic_store(&w->forked, true);
}

static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, forked); }

void pgi_watch_forks(void) { (void)pthread_once(&once, watch_forks); }

int pgi_usable(const pgbgw_worker *w)
{
	if (!w)
		return pgi_fail(ENOTCONN, "the worker is closed");
	return atomic_load(&w->forked) ? pgi_fail(ECHILD, "this process was forked from the worker") : 0;
}

int pgi_inside(const pgbgw_worker *w)
{
	int r = pgi_usable(w);

	if (r < 0)
		return r;
	return atomic_load(&w->inside) ? 0 : pgi_fail(ENOTCONN, "not attached to a segment: call pgbgw_attach");
}

static void close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

static void free_worker(pgbgw_worker *w)
{
	pgi_waiters_free(w);
	pgi_client_free(w);
	for (int i = 0; i < PGI_KNOWN_FDS; i++)
		close_fd(w->env.fds[i]);
	free(w);
}

/* A look is worth something while another CPU works. */
int pgi_spins(pgbgw_worker *w)
{
	int n = atomic_load_explicit(&w->spins, memory_order_relaxed);
	cpu_set_t set;

	if (n < 0) {
		n = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 1 ? 500 : 0;
		atomic_store_explicit(&w->spins, n, memory_order_relaxed);
	}
	return n;
}

static int make(pgbgw_worker *w)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&w->mu, &recursive);
	pthread_mutex_init(&w->waiters_mu, NULL);
	pthread_mutex_init(&w->control_mu, NULL);
	pthread_mutex_init(&w->party_mu, NULL);
	pthread_mutex_init(&w->dynamic_mu, NULL);
	pthread_mutex_init(&w->naming_mu, &recursive);
	w->segment = pgi_inherited;
	pthread_mutex_init(&w->segment.mu, NULL);
	atomic_flag_clear(&w->in_latch_wait);
	atomic_store(&w->local, PGBGW_LATCH_OWNED);
	atomic_store(&w->latch, &w->local);
	atomic_store(&w->spins, -1);
	w->party = pgi_party(&w->env.self);
	w->buffer = room.buffer;
	w->bells = room.bells;
	if (w->env.fds[PGI_LATCH] < 0 && (w->env.fds[PGI_LATCH] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		return pgi_fail(errno, "cannot make a latch: %s", strerror(errno));
	return 0;
}

int pgbgw_open(pgbgw_worker **to)
{
	pgbgw_worker *w, *none = NULL;
	int r;

	*to = NULL;
	pgi_watch_forks();
	w = calloc(1, sizeof *w);
	if (!w)
		return pgi_fail(ENOMEM, "cannot open the worker: no memory is left");
	if (!atomic_compare_exchange_strong(&opened, &none, w)) {
		free(w);
		return pgi_fail(EBUSY, "cannot open the worker: it is open already");
	}
	r = pgi_environment_read(&w->env);
	if (r == 0)
		r = make(w);
	if (r < 0) {
		atomic_store(&opened, NULL);
		/* The descriptors were not taken over: some may not be ours. */
		for (int i = 0; i < PGI_KNOWN_FDS; i++)
			w->env.fds[i] = -1;
		free_worker(w);
		return r;
	}
	if (w->env.fds[PGI_CONTROL] >= 0 && !pgi_launched) {
		struct pgi_record hello = { .type = PGI_HELLO, .text = pgi_text_of("libpgbgw " PGBGW_VERSION) };

		(void)pgi_tell(w, &hello); /* the end of the socket is seen by who reads */
	}
	*to = w;
	return 0;
}

const pgbgw_self *pgbgw_get_self(const pgbgw_worker *w) { return &w->env.self; }
bool pgbgw_is_attached(const pgbgw_worker *w) { return atomic_load(&w->inside) && !atomic_load(&w->forked); }
bool pgbgw_supervisor_died(const pgbgw_worker *w) { return atomic_load(&w->died); }

/* Tells the supervisor before the first byte is written, and waits for its answer, unless it knows. */
static int enter(pgbgw_worker *w)
{
	struct pgi_record attach = { .type = PGI_ATTACH };
	uint32_t slot = w->env.self.handle.slot;
	word32 *word = pgi_latch_word(&w->segment, slot);
	int r = 0;

	if (!word)
		return pgi_fail(EUCLEAN, "cannot attach: slot %u has no latch", slot);
	if (!pgi_counted)
		r = pgi_call(w, &attach, NULL, pgi_now() + PGI_CALL_NS, PGI_DEAF);
	if (r < 0)
		return r;
	POINT();
	atomic_store(&w->inside, true);
	pgi_latch_move(w, word);
	return 0;
}

static int attach(pgbgw_worker *w)
{
	bool fresh = !w->segment.base;
	int r = 0;

	if (atomic_load(&w->inside))
		return 0;
	if (w->env.fds[PGI_SEGMENT] < 0)
		return pgi_fail(ENODEV, "cannot attach: this worker has no segment (attach = \"never\")");
	if (fresh)
		r = pgi_map_segment(w->env.fds[PGI_SEGMENT], &w->segment);
	if (r == 0)
		r = enter(w);
	if (r < 0 && fresh)
		pgi_unmap_segment(&w->segment); /* nobody has seen it yet */
	return r;
}

int pgbgw_attach(pgbgw_worker *w)
{
	int r = pgi_usable(w);

	if (r < 0)
		return r;
	pthread_mutex_lock(&w->mu);
	r = attach(w);
	pthread_mutex_unlock(&w->mu);
	return r;
}

static int detach(pgbgw_worker *w, bool closing)
{
	struct pgi_record request = { .type = PGI_DETACH };
	bool inside;
	int r;

	pgi_dynamics_leave(w);
	pthread_mutex_lock(&w->party_mu);
	inside = atomic_exchange(&w->inside, false);
	pthread_mutex_unlock(&w->party_mu);
	if (inside || closing)
		pgi_abandon_all(w, closing);
	if (!inside && !(closing && pgi_counted))
		return 0;
	pgi_counted = false;
	pgi_dynamics_leave(w); /* one that came meanwhile */
	pgi_latch_move(w, &w->local);
	r = closing ? pgi_tell(w, &request) : -EAGAIN; /* last words are heard before the end is seen */
	if (r == -EAGAIN)
		r = pgi_call(w, &request, NULL, pgi_now() + (closing ? PGI_ASK_NS : PGI_CALL_NS), PGI_DEAF);
	return r;
}

int pgbgw_detach(pgbgw_worker *w)
{
	int r = pgi_usable(w);

	if (r < 0)
		return r;
	pthread_mutex_lock(&w->mu);
	r = detach(w, false);
	pthread_mutex_unlock(&w->mu);
	return r;
}

int pgbgw_ready(pgbgw_worker *w, const char *status)
{
	struct pgi_record request = { .type = PGI_READY, .text = pgi_text_of(status ? status : "") };

	return pgi_call(w, &request, NULL, pgi_now() + PGI_CALL_NS, 0);
}

void pgbgw_close(pgbgw_worker *w)
{
	if (!w)
		return;
	if (!atomic_load(&w->forked)) {
		pthread_mutex_lock(&w->mu);
		(void)detach(w, true); /* a supervisor that is gone does not mind */
		pthread_mutex_unlock(&w->mu);
	}
	pgi_bells_close(w); /* before the next worker has the room */
	atomic_store(&opened, NULL);
	free_worker(w);
}

void pgbgw_exit(pgbgw_worker *w, int status)
{
	pgbgw_close(w);
	exit(status);
}
