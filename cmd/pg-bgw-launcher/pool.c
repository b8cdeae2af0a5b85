/*
 * The threads. One of them, the active one, receives and serves every request,
 * so that starts are made in the order in which they were asked for. While it
 * waits for a child that shares its memory, a program on a file system that
 * does not answer would stop all others; so another thread stands by and takes
 * its place if that lasts too long. The one that was replaced stands by in turn,
 * or ends, when its child lets it go.
 *
 * No hand-over costs anything as long as nothing hangs: the thread that stands
 * by sleeps at a timer, which the active one sets at the first child of some
 * milliseconds. Without requests there is no timer, and without a request that
 * shares memory there is no second thread: a copy of this process has none.
 *
 * SEATS bounds the threads. When all hang but the active one, nobody stands by,
 * and children are made by copying (fork.c) until one of them is let go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "launcher.h"

enum {
	SLOW_NS = 2000000,         /* a child of once to twice this is slow */
	THREAD_STACK = 128 * 1024, /* of ours; TLS and what the C library needs included */
};

static struct {
	pthread_mutex_t lock;
	void (*serve)(struct seat *);
	int timer;
	struct seat *active;
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

static void *run(void *arg)
{
	struct seat *s = arg;

	do {
		stand_by(s);
		pool.serve(s);
	} while (retire(s));
	return NULL;
}

/* begin_standing starts a thread that stands by, if there is a seat. pool.lock is held. */
static void begin_standing(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct seat *s = seats;

	while (s < seats + SEATS && s->taken)
		s++;
	if (s == seats + SEATS || pthread_attr_init(&attr))
		return;
	if (!pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) &&
	    !pthread_attr_setstacksize(&attr, THREAD_STACK) && !pthread_create(&thread, &attr, run, s)) {
		s->taken = 1;
		pool.standing++;
	}
	pthread_attr_destroy(&attr);
}

int pool_enter(void)
{
	int may;

	lock();
	if (!pool.standing && pool.timer >= 0)
		begin_standing();
	may = pool.standing > 0;
	if (may) {
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

int pool_leave(struct seat *s)
{
	int active;

	lock();
	active = pool.active == s;
	if (active)
		pool.inside = 0;
	unlock();
	return active;
}

void pool_run(void (*serve)(struct seat *))
{
	struct seat *s = seats;

	pool.serve = serve;
	pool.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); /* without one, all children are copies */
	pool.active = s;
	s->taken = 1;
	for (;;) {
		serve(s);
		retire(s);
		stand_by(s);
	}
}
