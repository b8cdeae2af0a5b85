/* The registration of other workers, and what can be done with their handles. */
#include <stdlib.h>

#include "internal.h"

#define ROOM (PGI_RECORD_MAX - 64) /* bytes for all pairs */

struct pairs {
	struct pgi_writer out;
	uint16_t count;
};

enum { KIND_TEXT = 1, KIND_UINT, KIND_INT, KIND_BYTES, KIND_LIST };

static void key(struct pairs *p, const char *name, int kind)
{
	size_t n = strlen(name);

	pgi_put_number(&p->out, n, 2);
	pgi_put(&p->out, name, n);
	pgi_put_number(&p->out, (uint64_t)kind, 1);
	p->count++;
}

static void text(struct pairs *p, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	key(p, name, KIND_TEXT);
	pgi_put_text(&p->out, pgi_text_of(value));
}

static void number(struct pairs *p, const char *name, int kind, uint64_t value)
{
	key(p, name, kind);
	pgi_put_number(&p->out, value, 8);
}

static void list(struct pairs *p, const char *name, const char *const *values)
{
	size_t n = 0;

	if (!values)
		return;
	while (values[n])
		n++;
	if (n > PGI_MAX_LIST) {
		p->out.error = -EMSGSIZE;
		return;
	}
	key(p, name, KIND_LIST);
	pgi_put_number(&p->out, n, 2);
	for (size_t i = 0; i < n; i++)
		pgi_put_text(&p->out, pgi_text_of(values[i]));
}

static void flags(struct pairs *p, uint32_t set)
{
	static const struct { uint32_t bit; const char *name; } names[] = {
		{ PGBGW_SHMEM_ACCESS, "shmem_access" },
		{ PGBGW_BACKEND_DATABASE_CONNECTION, "backend_database_connection" },
		{ PGBGW_INTERRUPTIBLE, "interruptible" },
		{ PGBGW_CLASS_PARALLEL, "class_parallel" },
	};
	const char *words[5] = { NULL };
	size_t n = 0;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (set & names[i].bit)
			words[n++] = names[i].name;
	list(p, "Flags", words);
}

/* What the supervisor cannot see. */
static int check(const pgbgw_definition *d)
{
	const uint32_t all = PGBGW_SHMEM_ACCESS | PGBGW_BACKEND_DATABASE_CONNECTION | PGBGW_INTERRUPTIBLE | PGBGW_CLASS_PARALLEL;

	if (d->size != sizeof *d)
		return pgi_fail(EINVAL, "size: %zu, this library has %zu: begin with PGBGW_DEFINITION_INIT", d->size, sizeof *d);
	if (d->flags & ~all)
		return pgi_fail(EINVAL, "flags: unknown bits %#x", d->flags & ~all);
	if (d->start_time > PGBGW_START_RECOVERY_FINISHED)
		return pgi_fail(EINVAL, "start_time: %u is none of the PGBGW_START_ constants", d->start_time);
	if (d->restart_time == PGBGW_RESTART_NOT_SET)
		return pgi_fail(EINVAL, "restart_time is not set: seconds, or PGBGW_NEVER_RESTART");
	if (d->extra_len > 128 || (d->extra_len && !d->extra))
		return pgi_fail(EINVAL, "extra: %zu bytes, at most 128 are allowed", d->extra_len);
	if (d->kill_timeout_usec < -1)
		return pgi_fail(EINVAL, "kill_timeout_usec: %lld should be microseconds, 0 or -1", (long long)d->kill_timeout_usec);
	return 0;
}

static void pairs(struct pairs *p, const pgbgw_definition *d)
{
	static const char *const starts[] = { NULL, "postmaster_start", "consistent_state", "recovery_finished" };

	text(p, "Name", d->name);
	text(p, "Type", d->type);
	flags(p, d->flags);
	text(p, "StartTime", starts[d->start_time]);
	number(p, "RestartTime", KIND_INT, (uint64_t)d->restart_time);
	text(p, "LibraryName", d->library_name);
	text(p, "FunctionName", d->function_name);
	list(p, "Command", d->command);
	if (d->main_arg)
		number(p, "MainArg", KIND_UINT, d->main_arg);
	if (d->extra_len) {
		key(p, "Extra", KIND_BYTES);
		pgi_put_number(&p->out, d->extra_len, 4);
		pgi_put(&p->out, d->extra, d->extra_len);
	}
	if (d->notify_pid != PGBGW_NOTIFY_SELF)
		number(p, "NotifyPid", KIND_UINT, d->notify_pid < 0 ? 0 : (uint64_t)d->notify_pid);
	text(p, "Database", d->database);
	text(p, "Role", d->role);
	list(p, "Environment", d->environment);
	text(p, "Segment", d->segment);
	text(p, "Server", d->server);
	text(p, "KillSignal", d->kill_signal);
	if (d->kill_timeout_usec)
		number(p, "KillTimeoutUSec", KIND_UINT, d->kill_timeout_usec < 0 ? UINT64_MAX : (uint64_t)d->kill_timeout_usec);
	if (d->stop_with_owner)
		number(p, "StopWithOwner", KIND_UINT, 1);
}

int pgbgw_register(pgbgw_worker *w, const pgbgw_definition *d, pgbgw_handle *h)
{
	struct pgi_record request = { .type = PGI_REGISTER };
	struct pgi_answer answer;
	unsigned char *room;
	int r = check(d);

	if (r < 0)
		return r;
	if (!(room = malloc(ROOM)))
		return pgi_fail(ENOMEM, "cannot register a worker: no memory is left");
	struct pairs p = { .out = { room, ROOM, 0 } };
	pairs(&p, d);
	request.flags = d->notify_signal ? 1 : 0;
	request.pair_count = p.count;
	request.pairs = (struct pgi_text){ (const char *)room, (size_t)(p.out.at - room) };
	if (p.out.error)
		r = pgi_fail(-p.out.error, p.out.error == -EINVAL ? "a field of the definition is not UTF-8" : "the definition is too large");
	else
		r = pgi_call(w, &request, &answer, pgi_now() + PGI_CALL_NS, 0);
	free(room);
	if (r == 0)
		*h = answer.handle;
	return r;
}

/* A supervisor's death is a status. */
static int status(int r, const struct pgi_answer *a, int *pid)
{
	if (pid)
		*pid = r == 0 && a->status == PGBGW_STARTED ? a->pid : 0;
	if (r == -ECONNRESET)
		return PGBGW_SUPERVISOR_DIED;
	if (r == 0 && a->status > PGBGW_SUPERVISOR_DIED)
		return pgi_fail(EPROTO, "the supervisor answered with the status %u", a->status);
	return r < 0 ? r : (int)a->status;
}

int pgbgw_get_pid(pgbgw_worker *w, pgbgw_handle h, int *pid)
{
	struct pgi_record request = { .type = PGI_GET_PID, .handle = h };
	struct pgi_answer answer = { 0 };

	return status(pgi_call(w, &request, &answer, pgi_now() + PGI_CALL_NS, 0), &answer, pid);
}

#define STEP_NS INT64_C(20000000000) /* how long one wait may last in the supervisor */

/* Repeats a wait as long as the answer is that it is not over. */
static int await(pgbgw_worker *w, struct pgi_record *request, int *pid, int timeout_ms, unsigned over)
{
	int64_t deadline = pgi_deadline(timeout_ms);

	for (;;) {
		struct pgi_answer answer = { 0 };
		int64_t left = deadline == PGI_NEVER ? STEP_NS : deadline - pgi_now();
		int s;

		left = left < 0 ? 0 : left > STEP_NS ? STEP_NS : left;
		request->timeout_usec = (uint64_t)(left + 999) / 1000;
		s = status(pgi_call(w, request, &answer, pgi_now() + left + PGI_CALL_NS, 0), &answer, pid);
		if (s < 0 || over & 1u << s)
			return s;
		if (pgi_now() >= deadline)
			return pgi_fail(ETIMEDOUT, "the time has passed");
	}
}

int pgbgw_wait_for_startup(pgbgw_worker *w, pgbgw_handle h, int *pid, int timeout_ms)
{
	struct pgi_record request = { .type = PGI_WAIT_STARTUP, .handle = h };

	return await(w, &request, pid, timeout_ms, 1u << PGBGW_STARTED | 1u << PGBGW_STOPPED | 1u << PGBGW_SUPERVISOR_DIED);
}

int pgbgw_wait_for_shutdown(pgbgw_worker *w, pgbgw_handle h, int timeout_ms)
{
	struct pgi_record request = { .type = PGI_WAIT_SHUTDOWN, .handle = h };

	return await(w, &request, NULL, timeout_ms, 1u << PGBGW_STOPPED | 1u << PGBGW_SUPERVISOR_DIED);
}

int pgbgw_terminate(pgbgw_worker *w, pgbgw_handle h)
{
	struct pgi_record request = { .type = PGI_TERMINATE, .handle = h };

	return pgi_call(w, &request, NULL, pgi_now() + PGI_CALL_NS, 0);
}
