/*
 * The threads. One of them at a time, the active one, receives a request and
 * makes its child, so that starts are made in the order in which they were asked
 * for. It is the active one no more when
 *
 *   - more requests are there and a second thread waits for its turn: the child
 *     gives it the turn as its second act. So the next child is made while this one
 *     executes its program. One request alone wakes nobody;
 *   - it waits for long for a child that shares its memory. A program on a file
 *     system that does not answer would stop all others; so a third thread stands
 *     by and takes its place. The one that was replaced stands by in turn, or
 *     ends, when its child lets it go.
 *
 * The thread that stands by sleeps at a timer, which the active one sets at the
 * first child of some milliseconds. Without requests there is no timer, and
 * without a request that shares memory there are no other threads: a copy of
 * this process has none.
 *
 * A turn is given by a child that may be killed at any moment. So it is a number,
 * and the thread that made the child gives it once more, without effect if it
 * has been taken.
 *
 * SEATS bounds the threads. When all hang but the active one, nobody stands by,
 * and children are made by copying (fork.c) until one of them is let go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "launcher.h"

enum {
	SLOW_NS = 2000000,         /* a child of once to twice this is slow */
	THREAD_STACK = 128 * 1024, /* of ours; TLS and what the C library needs included */
};

static struct {
	pthread_mutex_t lock;
	int (*serve)(struct seat *);
	int timer;
	struct seat *active; /* or about to be: it is being given the turn */
	struct seat *second; /* waits for its turn; NULL: none */
	int seconded;    /* there is a second thread, waiting or not */
	int standing;    /* threads that stand by */
	uint64_t last;   /* number given to the newest child */
	uint64_t inside; /* number of the child that the active thread waits for, or 0 */
	uint64_t seen;   /* what inside was when the timer ran out last */
	int set;         /* the timer runs */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .timer = -1 };

static struct seat seats[SEATS];

static void lock(void) { pthread_mutex_lock(&pool.lock); }
static void unlock(void) { pthread_mutex_unlock(&pool.lock); }

/* set_timer has the timer run out once. pool.lock is held. */
static void set_timer(void)
{
	struct itimerspec t = { .it_value = { 0, SLOW_NS } };

	pool.set = !timerfd_settime(pool.timer, 0, &t, NULL);
}

/* replace makes s the active one if the one that is waits for too long. */
static int replace(struct seat *s)
{
	int slow;

	lock();
	slow = pool.inside && pool.inside == pool.seen;
	pool.seen = pool.inside;
	pool.set = 0;
	if (slow) {
		pool.active = s;
		pool.inside = pool.seen = 0;
		pool.standing--;
	} else if (pool.inside) {
		set_timer();
	}
	unlock();
	return slow;
}

/* stand_by returns when s has become the active one. */
static void stand_by(struct seat *s)
{
	uint64_t times;

	for (;;)
		if (read(pool.timer, &times, sizeof times) == sizeof times && replace(s))
			return;
}

/* retire says whether the thread of s, which has been replaced, is to stand by. */
static int retire(struct seat *s)
{
	int stays;

	lock();
	stays = !pool.standing || s == seats; /* the first is the process's main thread, which cannot end alone */
	if (stays)
		pool.standing++;
	else
		s->taken = 0;
	unlock();
	return stays;
}

/* await_turn returns when s, which is pool.second, has been given the turn. */
static void await_turn(struct seat *s)
{
	uint32_t turn;

	while ((turn = atomic_load(&s->turn)) == s->took)
		syscall(SYS_futex, &s->turn, FUTEX_WAIT_PRIVATE, turn, NULL, NULL, 0);
	atomic_store(&s->took, turn);
}

/* work serves requests until the thread of s has been replaced. */
static void work(struct seat *s)
{
	int waits;

	while (pool.serve(s)) {
		lock();
		waits = pool.active != s;
		if (waits)
			pool.second = s;
		unlock();
		if (waits)
			await_turn(s);
	}
}

static void *run_second(void *arg)
{
	struct seat *s = arg;

	await_turn(s);
	for (;;) {
		work(s);
		if (!retire(s))
			return NULL;
		stand_by(s);
	}
}

static void *run(void *arg)
{
	struct seat *s = arg;

	do {
		stand_by(s);
		work(s);
	} while (retire(s));
	return NULL;
}

/* begin starts a thread, if there is a seat, and returns its seat or NULL. pool.lock is held. */
static struct seat *begin(void *(*f)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;
	struct seat *s = seats;

	while (s < seats + SEATS && s->taken)
		s++;
	if (s == seats + SEATS || pthread_attr_init(&attr))
		return NULL;
	s->taken = !pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) &&
		   !pthread_attr_setstacksize(&attr, THREAD_STACK) && !pthread_create(&thread, &attr, f, s);
	pthread_attr_destroy(&attr);
	return s->taken ? s : NULL;
}

int pool_enter(int more, struct heir *heir)
{
	int may;

	heir->seat = NULL;
	lock();
	if (!pool.standing && pool.timer >= 0)
		pool.standing += begin(run) != NULL;
	may = pool.standing > 0;
	if (may && more && !pool.seconded) {
		pool.second = begin(run_second);
		pool.seconded = pool.second != NULL;
	}
	if (may && more && pool.second) {
		heir->seat = pool.active = pool.second;
		heir->turn = atomic_load(&heir->seat->turn) + 1;
		pool.second = NULL;
		pool.inside = 0;
	} else if (may) {
		pool.inside = ++pool.last;
		if (!pool.set)
			set_timer();
		may = pool.set;
	}
	if (!may)
		pool.inside = 0;
	unlock();
	return may;
}

void pool_pass(const struct heir *heir)
{
	uint32_t before = heir->turn - 1;

	if (!heir->seat || atomic_load(&heir->seat->took) == heir->turn)
		return;
	atomic_compare_exchange_strong(&heir->seat->turn, &before, heir->turn);
	syscall(SYS_futex, &heir->seat->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int pool_leave(struct seat *s, const struct heir *heir)
{
	int stays;

	if (heir->seat)
		return 1;
	lock();
	stays = pool.active == s;
	if (stays)
		pool.inside = 0;
	unlock();
	return stays;
}

void pool_run(int (*serve)(struct seat *))
{
	struct seat *s = seats;

	pool.serve = serve;
	pool.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); /* without one, all children are copies */
	pool.active = s;
	s->taken = 1;
	for (;;) {
		work(s);
		retire(s);
		stand_by(s);
	}
}
