/*
 * The spare: a copy of a launcher with modules that waits for the next worker.
 *
 * To copy the launcher is the larger part of a start, and so is the first touch of each
 * page after it. So the launcher makes the copy while it has nothing to do. The spare reads
 * the same socket. When a module's worker is asked for, it makes the worker in its own
 * memory (CLONE_VM), which is the worker's from then on: nothing is copied any more. What
 * it is asked for else, it does as the launcher does, and goes on.
 *
 * The worker has the stack of the process, by which the C library and PostgreSQL know the
 * stack's bounds; the spare lives on one of its own. It is not confined as the worker is, whose
 * code could change what it does next, so it does nothing next: it waits in the kernel
 * (CLONE_VFORK), where only SIGKILL reaches it, until the worker sends that, as its last act before
 * it runs the module's code. Before, the spare gives up the socket, since the worker's memory, and
 * so the spare, becomes dumpable. Its end is the end of the start's pipe too: whom
 * that wakes, it does not take from the worker's processor.
 *
 * Whoever receives a request serves it; that the spare does is a matter of the order in
 * which they wait. The kernel wakes one of them, the one that has waited longest,
 * so the launcher takes its place behind the spare. It is woken all the same when
 * the spare is dead, stopped or busy, and makes the worker by copying itself, as it does with all
 * that come while there is no spare.
 *
 * A spare is the daemon's child, like a worker. The launcher tells the daemon of it (MESSAGE_SPARE) and
 * sees its end by a pipe, and whether it has left a note there: what worker it has become.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "calls.h"
#include "launcher.h"

enum {
	QUIET_MS = 2,  /* without a request before a spare is made: then nothing waits for the processors */
	SETTLE_MS = 2, /* after which a spare waits for requests, unless the machine is busy */
	BELOW = 4096,  /* of the launcher's stack, what is certainly not in use */
	PAGE = 4096,
	SPARE_STACK = 256 * 1024, /* a library may be loaded on it (modules_expect) */
};

static enum {
	NONE,     /* there is no spare, and no need of one was seen */
	WANTED,   /* one is made when it is quiet */
	SETTLING, /* there is one, which may not have waited longest */
	READY,
} state;
static int set = -1;           /* epoll: the socket and the spare's end */
static int note;               /* of the launcher: the pipe's read end; of the spare: the other */
static int spare;              /* the number of this process if it is a spare, else 0 */
static int blocked;            /* the number of the spare whose memory a worker has, or 0 */
static int missed;             /* the launcher made a worker that the spare should have made */
static uintptr_t stack_top;    /* of a worker's stack */
static _Alignas(16) char spare_stack[SPARE_STACK];

/* queue_up takes a place behind all that wait for the socket. */
static int queue_up(int socket)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = socket };

	epoll_ctl(set, EPOLL_CTL_DEL, socket, NULL);
	return epoll_ctl(set, EPOLL_CTL_ADD, socket, &e);
}

int spare_open(int socket)
{
	set = epoll_create1(EPOLL_CLOEXEC);
	return set < 0 || queue_up(socket) ? errno : 0;
}

int is_spare(void)
{
	return spare != 0;
}

/*
 * shares_spare says whether the worker of r can have a spare's memory. Whoever has a limit of
 * memory is to pay for its own from the first page on, and another user's process could not
 * end the spare.
 */
static int shares_spare(const struct request *r)
{
	return (r->flags & (FLAG_MODULE | FLAG_COPY | FLAG_CREDENTIAL)) == FLAG_MODULE;
}

void spare_wanted(const struct request *r)
{
	if (!shares_spare(r))
		return;
	modules_see(&r->worker);
	if (state == NONE)
		state = WANTED;
	missed = 1; /* perhaps the spare is dead, and that is not known yet */
}

/*
 * rehearse touches what a worker's start reads and writes, so that these pages are there when it is
 * asked for: a request is read that is like one, and the first pages of the worker's stack are made.
 */
static void rehearse(struct seat *s)
{
	static const char strings[] = "/\0" "0\0" "0\0" "0\0" "0\0" "0\0" "PGBGW_NAME=0";
	struct request_head head = {
		.magic = REQUEST_MAGIC, .size = sizeof head + sizeof strings,
		.flags = FLAG_MODULE, .argc = MAIN_ARGUMENTS, .envc = 1,
	};

	memcpy(s->packet, &head, sizeof head);
	memcpy(s->packet + sizeof head, strings, sizeof strings);
	if (!request_parse(s->packet, head.size, s->fds, 1, s->pointers, &s->r))
		modules_expect(&s->r);
	((volatile char *)stack_top)[-1] = 0;
	((volatile char *)stack_top)[-PAGE] = 0;
}

static void live(void *arg)
{
	(void)arg;
	spare = (int)call(SYS_getpid, 0, 0, 0, 0, 0);
	close(set);
	modules_spare();
	rehearse(seat_take());
	for (;;)
		serve(seat_take(), 0);
}

/* make_spare makes the spare, if it can. */
static __attribute__((noinline)) void make_spare(void)
{
	struct clone_args args = {
		.flags = CLONE_PARENT, .stack = (uintptr_t)spare_stack, .stack_size = sizeof spare_stack,
	};
	struct epoll_event e = { .events = 0 }; /* nothing but its end */
	int ends[2];
	long pid;

	state = NONE;
	missed = 0;
	if (!modules_can_move() || pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return;
	stack_top = ((uintptr_t)__builtin_frame_address(0) - BELOW) & ~(uintptr_t)15;
	note = ends[1];
	pid = clone_sharing(&args, live, NULL);
	close(ends[1]);
	note = e.data.fd = ends[0];
	if (pid > 0)
		modules_tell_spare((int32_t)pid); /* nothing else is done before: a launcher that is asked to end has told */
	if (pid > 0 && !epoll_ctl(set, EPOLL_CTL_ADD, note, &e))
		state = SETTLING;
	else
		close(note); /* a spare that is not watched lives until it is used */
}

/* ended: the spare is gone, or all but gone. One that became no worker is not replaced before there is a need. */
static void ended(void)
{
	state = modules_learn(note) || missed ? WANTED : NONE;
	epoll_ctl(set, EPOLL_CTL_DEL, note, NULL); /* a child before its exec may have the pipe, too */
	close(note);
}

void spare_wait(int socket)
{
	for (;;) {
		struct epoll_event e;
		int n = epoll_wait(set, &e, 1, state == WANTED ? QUIET_MS : state == SETTLING ? SETTLE_MS : -1);

		if (n == 0 && state == WANTED) {
			make_spare();
		} else if (n == 0) {
			state = READY;
			queue_up(socket);
		} else if (n > 0 && e.data.fd == socket) {
			if (state == READY)
				state = SETTLING; /* whatever kept the spare, it waits behind this process now */
			return;
		} else if (n > 0) {
			ended();
		}
	}
}

int spare_serves(const struct request *r)
{
	return spare && (r->flags & FLAG_MODULE);
}

void spare_end(void)
{
	/* Blocked, it has not been waited for: the number is its own. */
	if (blocked)
		call(SYS_kill, blocked, SIGKILL, 0, 0, 0);
}

_Noreturn void spare_become(struct seat *s, const struct inherited *in, int ruleset, int socket)
{
	struct clone_args args = { .flags = CLONE_PARENT, .stack = stack_top - PAGE, .stack_size = PAGE };
	sigset_t all;
	long pid;

	s->in = in;
	s->ruleset = ruleset;
	if (s->r.cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)s->r.cgroup;
	}
	if (shares_spare(&s->r)) {
		args.flags |= CLONE_VM | CLONE_VFORK;
		blocked = spare;
		modules_see(&s->r.worker);
		modules_tell(note);
	}
	call(SYS_close, socket, 0, 0, 0, 0);
	sigfillset(&all); /* as in fork_worker */
	call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, _NSIG / 8, 0);
	pid = clone_sharing(&args, born, s);
	if (pid < 0)
		report(s->r.status, STEP_CLONE, (int)-pid);
	else if (s->r.flags & FLAG_COPY)
		report(s->r.status, STEP_NONE, (int)pid); /* as in fork_worker */
	for (;;)
		call(SYS_exit_group, 0, 0, 0, 0, 0);
}
