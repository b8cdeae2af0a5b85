/*
 * The worker's end of the control socket. Any thread sends; whoever sleeps reads
 * what comes (sleep.c) and hands it to the call or the list it is for.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* A request that waits for its answer; on the stack of who waits. */
struct pgi_call {
	struct pgi_call *next;
	pgbgw_worker *w;
	uint64_t id;
	bool done;
	struct pgi_record record; /* of its texts there is only */
	char reason[256];
	int fd;
};

/* The changes that nobody has read, the newest so many. */
#define MAX_CHANGES 256

struct pgi_events {
	unsigned first, count;
	pgbgw_change ring[MAX_CHANGES];
};

static void keep_text(char *to, size_t size, struct pgi_text t)
{
	size_t n = t.n < size ? t.n : size - 1;

	while (n < t.n && n > 0 && ((unsigned char)t.at[n] & 0xc0) == 0x80)
		n--; /* not in the middle of a character */
	if (n)
		memcpy(to, t.at, n);
	to[n] = 0;
}

static void keep_change(pgbgw_worker *w, const struct pgi_record *r)
{
	struct pgi_events *e = w->events;
	pgbgw_change *c;

	if (!e && !(e = w->events = calloc(1, sizeof *e)))
		return; /* a hint that is lost */
	if (e->count == MAX_CHANGES) {
		e->first = (e->first + 1) % MAX_CHANGES;
		e->count--;
	}
	c = &e->ring[(e->first + e->count++) % MAX_CHANGES];
	*c = (pgbgw_change){ .handle = r->handle, .start = r->start, .state = r->state, .status = r->status, .pid = r->pid,
			     .exit_code = r->exit_code, .exit_signal = r->exit_signal };
	keep_text(c->reason, sizeof c->reason, r->text);
}

/* Hands an answer to its call, with the descriptor; false: its caller has given up. */
static bool keep_answer(pgbgw_worker *w, const struct pgi_record *r, int fd)
{
	for (struct pgi_call *c = w->calls; c; c = c->next) {
		if (c->id != r->id || c->done)
			continue;
		c->record = *r;
		keep_text(c->reason, sizeof c->reason, r->text);
		c->fd = fd;
		c->done = true;
		return true;
	}
	return false;
}

static void end(pgbgw_worker *w)
{
	w->ended = true;
	atomic_store(&w->died, true);
}

/* Sends n bytes: 0, -EAGAIN if the supervisor does not read, -ECONNRESET. */
static int send_record(pgbgw_worker *w, const void *record, size_t n)
{
	ssize_t r;

	do
		r = send(w->env.fds[PGI_CONTROL], record, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0)
		return 0;
	if (errno == EAGAIN)
		return -EAGAIN;
	return errno == EPIPE || errno == ECONNRESET ? pgi_fail(ECONNRESET, "the supervisor died") : pgi_fail(errno, "cannot send to the supervisor: %s", strerror(errno));
}

#define SMALL 512 /* bytes: enough for all but Register */

/* 0 or -errno. control_mu is held. */
static int tell(pgbgw_worker *w, struct pgi_record *request)
{
	unsigned char record[SMALL];
	int n;

	request->id = ++w->next_id;
	n = pgi_encode(request, record, sizeof record);
	return n < 0 ? n : send_record(w, record, (size_t)n);
}

/* Gives back what came with an answer whose caller has given up. */
static void drop(pgbgw_worker *w, const struct pgi_record *r)
{
	struct pgi_record request = { .type = PGI_DYNAMIC_DETACH, .segment = r->segment };
	uint16_t asked = r->type & (uint16_t)~PGI_ANSWER;

	if (!r->error && (asked == PGI_DYNAMIC_CREATE || asked == PGI_DYNAMIC_ATTACH || asked == PGI_DYNAMIC_NAMED))
		(void)tell(w, &request); /* the end of the socket is seen by who reads */
}

/* Takes one record apart. Types that are not known are for a newer library. */
static void take(pgbgw_worker *w, size_t n, int fd)
{
	struct pgi_record r;
	int error = pgi_decode(w->buffer, n, &r);

	if (error == -ENOSYS && !(r.type & PGI_ANSWER))
		error = 0;
	else if (error == 0 && r.type == PGI_WORKER_STATE_CHANGED)
		keep_change(w, &r);
	else if (error == 0 && r.type & PGI_ANSWER && keep_answer(w, &r, fd))
		return;
	else if (error == 0 && r.type & PGI_ANSWER)
		drop(w, &r);
	if (fd >= 0)
		(void)close(fd);
	if (error)
		end(w); /* it does not speak this language */
}

/* Receives one record: its length, 0 at the end, or -EAGAIN. */
static ssize_t receive(pgbgw_worker *w, int *fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec part = { w->buffer, PGI_RECORD_MAX };
	/* CMSG_LEN and not CMSG_SPACE: the padding would be room for a second descriptor. */
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int)) };
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(w->env.fds[PGI_CONTROL], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : 0;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	if (m.msg_flags & MSG_TRUNC || n == 0) {
		if (*fd >= 0)
			(void)close(*fd);
		return 0;
	}
	return n;
}

bool pgi_client_read(pgbgw_worker *w)
{
	bool any = false;
	ssize_t n = 1;
	int fd;

	pthread_mutex_lock(&w->control_mu);
	while (!w->ended && (n = receive(w, &fd)) > 0) {
		take(w, (size_t)n, fd);
		any = true;
	}
	if (n == 0) {
		end(w);
		any = true;
	}
	pthread_mutex_unlock(&w->control_mu);
	return any;
}

static bool settled(pgbgw_worker *w, struct pgi_call *c)
{
	pthread_mutex_lock(&w->control_mu);
	bool yes = c->done || w->ended;
	pthread_mutex_unlock(&w->control_mu);
	return yes;
}

static bool answered(void *call)
{
	struct pgi_call *c = call;

	return settled(c->w, c);
}

/* Sends, and waits while the supervisor does not read. */
static int send_all(pgbgw_worker *w, const void *record, size_t n, int64_t deadline, int how)
{
	struct pgi_waiter *me = NULL;
	int r;

	while ((r = send_record(w, record, n)) == -EAGAIN) {
		struct pollfd room = { .fd = w->env.fds[PGI_CONTROL], .events = POLLOUT };

		if (!me && !(me = pgi_waiter_take(w)))
			return -ENOMEM;
		r = pgi_cause(w, deadline, how);
		if (r == 0)
			r = pgi_sleep(w, me, &room, deadline);
		if (r < 0)
			break;
	}
	if (me)
		pgi_waiter_give_back(w, me);
	return r;
}

static void enter(pgbgw_worker *w, struct pgi_call *c)
{
	pthread_mutex_lock(&w->control_mu);
	c->id = ++w->next_id;
	c->next = w->calls;
	w->calls = c;
	pthread_mutex_unlock(&w->control_mu);
}

/* An answer that comes later is given back. */
static void leave(pgbgw_worker *w, struct pgi_call *c)
{
	struct pgi_call **at = &w->calls;

	pthread_mutex_lock(&w->control_mu);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	pthread_mutex_unlock(&w->control_mu);
}

/* What an answer comes to. */
static int result(const struct pgi_record *request, struct pgi_call *c, struct pgi_answer *answer)
{
	int r = 0;

	if (c->record.type != (request->type | PGI_ANSWER))
		r = pgi_fail(EPROTO, "the supervisor answered a request of type %u with type %#x", request->type, c->record.type);
	else if (c->record.error)
		r = pgi_fail(c->record.error, "%s", c->reason[0] ? c->reason : strerror(c->record.error));
	if (r == 0 && answer) {
		*answer = (struct pgi_answer){ c->record.handle, c->record.status, c->record.pid, c->record.segment, c->record.size,
					       c->record.found, c->fd };
		c->fd = -1;
	}
	if (c->fd >= 0)
		(void)close(c->fd);
	return r;
}

int pgi_call(pgbgw_worker *w, struct pgi_record *request, struct pgi_answer *answer, int64_t deadline, int how)
{
	size_t size = SMALL + request->text.n + request->pairs.n;
	struct pgi_call c = { .w = w, .fd = -1 };
	unsigned char *record;
	int r = pgi_usable(w);

	if (r < 0)
		return r;
	if (w->env.fds[PGI_CONTROL] < 0)
		return pgi_fail(ENODEV, "this worker has no control socket: PGBGW_FDS names no control");
	if (!(record = malloc(size)))
		return pgi_fail(ENOMEM, "no memory is left");
	enter(w, &c);
	request->id = c.id;
	r = pgi_encode(request, record, size);
	if (r < 0)
		r = pgi_fail(-r, r == -EINVAL ? "a text is not UTF-8" : "the request has more than %d bytes", PGI_RECORD_MAX);
	else
		r = send_all(w, record, (size_t)r, deadline, how);
	if (r == 0)
		r = pgi_wait(w, answered, &c, deadline, how);
	leave(w, &c);
	free(record);
	if (c.done)
		return result(request, &c, answer);
	return r < 0 ? r : pgi_fail(ECONNRESET, "the supervisor died");
}

int pgi_tell(pgbgw_worker *w, struct pgi_record *request)
{
	int r;

	pthread_mutex_lock(&w->control_mu);
	r = tell(w, request);
	pthread_mutex_unlock(&w->control_mu);
	return r;
}

int pgbgw_next_change(pgbgw_worker *w, pgbgw_change *c)
{
	struct pgi_events *e;
	int r = pgi_usable(w);

	if (r < 0 || w->env.fds[PGI_CONTROL] < 0)
		return r;
	if (pgi_client_read(w))
		pgi_poke_others(w, NULL);
	pthread_mutex_lock(&w->control_mu);
	e = w->events;
	if (e && e->count) {
		*c = e->ring[e->first];
		e->first = (e->first + 1) % MAX_CHANGES;
		e->count--;
		r = 1;
	}
	pthread_mutex_unlock(&w->control_mu);
	return r;
}

void pgi_client_free(pgbgw_worker *w)
{
	free(w->events);
}
