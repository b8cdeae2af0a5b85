/*
 * Wait event sets. A wait polls a signalfd of SIGURG, by which latches wake their
 * owner, so that no wake-up falls between a test and the wait. The supervisor's own
 * latch of this worker, an eventfd, is waited for beside it and counts as a set of
 * MyLatch.
 */
#include "internal.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"

#include "interrupt.h"
#include "notify.h"
#include "segment.h"
#include "supervisor.h"

static int signals = -1;    /* signalfd of SIGURG; poll(2) and read(2) look at the signals of who calls */
static int supervisor = -1; /* end of file when it is gone */
static bool control_over;   /* the control socket has come to its end */

void waits_start(void)
{
	sigset_t urg;

	supervisor = supervisor_death();
	sigemptyset(&urg);
	sigaddset(&urg, SIGURG);
	sigprocmask(SIG_BLOCK, &urg, NULL);
	signals = signalfd(-1, &urg, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0)
		elog(FATAL, "signalfd() failed");
}

struct WaitEventSet {
	int n, room;
	Latch *latch;
	WaitEvent *events;
	bool exit_on_death;
};

static WaitEventSet *new_set(MemoryContext context, int room)
{
	WaitEventSet *s = MemoryContextAllocZero(context, sizeof *s);

	s->room = room;
	s->events = MemoryContextAllocZero(context, (Size)room * sizeof *s->events);
	return s;
}

#if PG_VERSION_NUM >= 170000
WaitEventSet *CreateWaitEventSet(ResourceOwner resowner, int nevents)
{
	return new_set(TopMemoryContext, nevents);
}
#else
WaitEventSet *CreateWaitEventSet(MemoryContext context, int nevents)
{
	return new_set(context, nevents);
}
#endif

void FreeWaitEventSet(WaitEventSet *set)
{
	pfree(set->events);
	pfree(set);
}

#if PG_VERSION_NUM >= 160000
void FreeWaitEventSetAfterFork(WaitEventSet *set)
{
	FreeWaitEventSet(set);
}
#endif

int AddWaitEventToSet(WaitEventSet *set, uint32 events, pgsocket fd, Latch *latch, void *user_data)
{
	WaitEvent *e = &set->events[set->n];

	Assert(set->n < set->room);
	if (events == WL_EXIT_ON_PM_DEATH) {
		events = WL_POSTMASTER_DEATH;
		set->exit_on_death = true;
	}
	if (latch) {
		if (latch->owner_pid != MyProcPid)
			elog(ERROR, "cannot wait on a latch owned by another process");
		if (set->latch)
			elog(ERROR, "cannot wait on more than one latch");
		if ((events & WL_LATCH_SET) != WL_LATCH_SET)
			elog(ERROR, "latch events only support being set");
	} else if (events & WL_LATCH_SET) {
		elog(ERROR, "cannot wait on latch without a specified latch");
	}
	if (fd == PGINVALID_SOCKET && (events & WL_SOCKET_MASK))
		elog(ERROR, "cannot wait on socket event without a socket");
	e->pos = set->n++;
	e->fd = fd;
	e->events = events;
	e->user_data = user_data;
	if (latch)
		set->latch = latch;
	return e->pos;
}

void ModifyWaitEvent(WaitEventSet *set, int pos, uint32 events, Latch *latch)
{
	if (pos < 0 || pos >= set->n)
		elog(ERROR, "invalid wait event position %d", pos);
	if ((events & WL_LATCH_SET) || (set->events[pos].events & WL_LATCH_SET)) {
		if (events & WL_LATCH_SET && latch && latch->owner_pid != MyProcPid)
			elog(ERROR, "cannot wait on a latch owned by another process");
		set->latch = latch;
	}
	set->events[pos].events = events;
}

int GetNumRegisteredWaitEvents(WaitEventSet *set)
{
	return set->n;
}

bool WaitEventSetCanReportClosed(void)
{
	return true;
}

static short poll_bits(uint32 events)
{
	return (short)((events & WL_SOCKET_READABLE ? POLLIN : 0) |
		       (events & WL_SOCKET_WRITEABLE ? POLLOUT : 0) |
		       (events & WL_SOCKET_CLOSED ? POLLRDHUP : 0));
}

/* take_signals empties the signalfd: a signal that does not count more than once is there once. */
static void take_signals(void)
{
	struct signalfd_siginfo one;

	(void)!read(signals, &one, sizeof one);
}

static uint32 fired(const WaitEvent *e, short bits)
{
	uint32 out = 0;

	if (e->events & WL_SOCKET_READABLE && bits & (POLLIN | POLLHUP | POLLERR))
		out |= WL_SOCKET_READABLE;
	if (e->events & WL_SOCKET_WRITEABLE && bits & (POLLOUT | POLLHUP | POLLERR))
		out |= WL_SOCKET_WRITEABLE;
	if (e->events & WL_SOCKET_CLOSED && bits & (POLLRDHUP | POLLHUP | POLLERR))
		out |= WL_SOCKET_CLOSED;
	return out;
}

static int report(const WaitEvent *e, uint32 events, WaitEvent *out, int n, int max)
{
	if (n >= max)
		return n;
	out[n] = *e;
	out[n].events = events;
	return n + 1;
}

/* changes takes what the supervisor said of the workers that this one registered; true: something. */
static bool changes(void)
{
	pgbgw_change change;
	bool any = false;

	while (pgbgw_next_change(the_pgbgw, &change) > 0)
		any = true; /* the handles' functions ask for what is true now */
	return any;
}

/* heard takes a set of the supervisor's latch, by the supervisor, a worker in another language, or a queue. */
static void heard(void)
{
	(void)pgi_drain_bell(the_pgbgw);
	pgbgw_latch_reset(the_pgbgw);
	MyLatch->is_set = true;
}

enum { OWN = 3, FEW = 4 };

/* own fills in what is polled beside the events: the supervisor's latch, its socket, and the connection that listens. */
static void own(const WaitEventSet *set, struct pollfd *fds)
{
	bool listens = the_pgbgw && set->latch == MyLatch;

	if (listens && pgbgw_latch_arm(the_pgbgw)) {
		heard();
		(void)changes();
	}
	fds[0] = (struct pollfd){ listens ? pgbgw_latch_fd(the_pgbgw) : -1, POLLIN, 0 };
	fds[1] = (struct pollfd){ listens && !control_over ? the_pgbgw->env.fds[PGI_CONTROL] : -1, POLLIN, 0 };
	fds[2] = (struct pollfd){ set->latch == MyLatch ? notify_socket() : -1, POLLIN, 0 };
}

static void own_fired(const struct pollfd *fds)
{
	if (fds[0].revents)
		heard();
	if (fds[1].revents && changes())
		MyLatch->is_set = true;
	if (fds[1].revents & POLLHUP)
		control_over = true;
	if (fds[2].revents)
		notify_hear();
}

static struct pollfd poll_of(const WaitEventSet *set, const WaitEvent *e)
{
	if (e->events & WL_LATCH_SET)
		return (struct pollfd){ set->latch ? signals : -1, POLLIN, 0 };
	if (e->events & WL_POSTMASTER_DEATH)
		return (struct pollfd){ supervisor, POLLIN, 0 };
	return (struct pollfd){ e->fd, poll_bits(e->events), 0 };
}

static int occurrences(const WaitEventSet *set, const struct pollfd *fds, WaitEvent *out, int max)
{
	int n = 0;

	for (int i = 0; i < set->n; i++) {
		const WaitEvent *e = &set->events[i];

		if (e->events & WL_LATCH_SET && fds[i].revents)
			take_signals();
		if (e->events & WL_POSTMASTER_DEATH && fds[i].revents && set->exit_on_death)
			proc_exit(1);
		if (e->events & WL_LATCH_SET && set->latch && set->latch->is_set)
			n = report(e, WL_LATCH_SET, out, n, max);
		else if (e->events & WL_POSTMASTER_DEATH && fds[i].revents)
			n = report(e, WL_POSTMASTER_DEATH, out, n, max);
		else if (fired(e, fds[i].revents))
			n = report(e, fired(e, fds[i].revents), out, n, max);
	}
	return n;
}

/* look polls once, for at most timeout ms, and fills what occurred. */
static int look(WaitEventSet *set, int timeout, WaitEvent *out, int max)
{
	struct pollfd few[FEW + OWN], *fds = set->n <= FEW ? few : palloc((Size)(set->n + OWN) * sizeof *fds);
	int n;

	for (int i = 0; i < set->n; i++)
		fds[i] = poll_of(set, &set->events[i]);
	own(set, fds + set->n);
	if (set->latch && set->latch->is_set)
		timeout = 0;
	if (poll(fds, (nfds_t)(set->n + OWN), timeout) < 0 && errno != EINTR)
		ereport(ERROR, (errcode_for_socket_access(), errmsg("poll() failed: %m")));
	own_fired(fds + set->n);
	n = occurrences(set, fds, out, max);
	if (fds != few)
		pfree(fds);
	return n;
}

static int64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* set_already reports a latch that is set, where nothing else could be reported beside it: no need to ask the kernel. */
static int set_already(const WaitEventSet *set, WaitEvent *out, int max)
{
	const WaitEvent *latch = NULL;

	if (!set->latch || !set->latch->is_set)
		return 0;
	for (int i = 0; i < set->n; i++) {
		if (set->events[i].events & WL_SOCKET_MASK)
			return 0;
		if (set->events[i].events & WL_LATCH_SET)
			latch = &set->events[i];
	}
	return latch ? report(latch, WL_LATCH_SET, out, 0, max) : 0;
}

int WaitEventSetWait(WaitEventSet *set, long timeout, WaitEvent *occurred, int nevents, uint32 wait_event_info)
{
	int64 end = timeout >= 0 ? now_ms() + timeout : 0, left = timeout;
	int n = 0;

	interrupt_point();
	if (signals < 0)
		waits_start();
	if ((n = set_already(set, occurred, nevents)) > 0)
		return n;
	if (set->latch) {
		set->latch->maybe_sleeping = true;
		pg_memory_barrier();
	}
	for (;;) {
		n = look(set, left < 0 ? -1 : (int)Min(left, INT_MAX), occurred, nevents);
		if (n > 0 || timeout == 0)
			break;
		if (timeout > 0 && (left = end - now_ms()) <= 0)
			break;
	}
	if (set->latch)
		set->latch->maybe_sleeping = false;
	interrupt_point();
	return n;
}

int WaitLatch(Latch *latch, int wakeEvents, long timeout, uint32 wait_event_info)
{
	return WaitLatchOrSocket(latch, wakeEvents & ~WL_SOCKET_MASK, PGINVALID_SOCKET, timeout, wait_event_info);
}

int WaitLatchOrSocket(Latch *latch, int wakeEvents, pgsocket sock, long timeout, uint32 wait_event_info)
{
	WaitEvent events[3], occurred[3];
	WaitEventSet set = { .room = 3, .events = events };
	int n, result = 0;

	if (wakeEvents & WL_LATCH_SET)
		AddWaitEventToSet(&set, WL_LATCH_SET, PGINVALID_SOCKET, latch, NULL);
	if (wakeEvents & (WL_POSTMASTER_DEATH | WL_EXIT_ON_PM_DEATH))
		AddWaitEventToSet(&set, wakeEvents & (WL_POSTMASTER_DEATH | WL_EXIT_ON_PM_DEATH), PGINVALID_SOCKET, NULL, NULL);
	if (wakeEvents & WL_SOCKET_MASK)
		AddWaitEventToSet(&set, (uint32)(wakeEvents & WL_SOCKET_MASK), sock, NULL, NULL);
	n = WaitEventSetWait(&set, wakeEvents & WL_TIMEOUT ? timeout : -1, occurred, 3, wait_event_info);
	for (int i = 0; i < n; i++)
		result |= (int)occurred[i].events;
	return n == 0 ? WL_TIMEOUT : result;
}
