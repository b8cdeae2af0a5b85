/*
 * This process as the supervisor's worker: who it is, that it uses the segment,
 * and the registration of further workers (RegisterDynamicBackgroundWorker and
 * the functions of its handles).
 */
#include "internal.h"

#include <stdlib.h>

#include "storage/latch.h"

#include "segment.h"
#include "supervisor.h"

pgbgw_worker *the_pgbgw;

void supervisor_start(BackgroundWorker *entry)
{
	const pgbgw_self *self;

	pgi_launched = pgi_counted = true;
	if (pgbgw_open(&the_pgbgw) < 0)
		elog(FATAL, "cannot be a worker: %s", pgbgw_last_error());
	self = pgbgw_get_self(the_pgbgw);
	strlcpy(entry->bgw_name, self->name, sizeof entry->bgw_name);
	strlcpy(entry->bgw_type, self->type, sizeof entry->bgw_type);
	memcpy(entry->bgw_extra, self->extra, Min(self->extra_len, sizeof entry->bgw_extra));
	entry->bgw_main_arg = (Datum)self->main_arg;
	entry->bgw_notify_pid = self->notify_pid;
}

int supervisor_death(void)
{
	return the_pgbgw ? the_pgbgw->env.fds[PGI_DEATH] : -1;
}

void supervisor_attach(void)
{
	int error = pgbgw_attach(the_pgbgw);

	if (error < 0 && error != -ENODEV)
		elog(FATAL, "cannot attach to the segment: %s", pgbgw_last_error());
}

void supervisor_detach(void)
{
	pgbgw_close(the_pgbgw);
	the_pgbgw = NULL;
}

struct BackgroundWorkerHandle {
	pgbgw_handle handle;
};

pgbgw_handle supervisor_handle(const BackgroundWorkerHandle *handle)
{
	return handle->handle;
}

/* Names as the supervisor takes them. */
struct names {
	char name[BGW_MAXLEN], type[BGW_MAXLEN];
};

static bool is_control(unsigned char c)
{
	return c < ' ' || c == 0x7f;
}

/*
 * registration_text copies a name, cut to BGW_MAXLEN - 1 bytes (BGW-017). Bytes that are no text
 * are "?", as in PostgreSQL's log and process titles (BGW-020).
 */
const char *registration_text(const char *from, char *to)
{
	bool text;

	strlcpy(to, from, strnlen(from, BGW_MAXLEN - 1) + 1);
	text = pgi_is_text(to, strlen(to));
	for (unsigned char *p = (unsigned char *)to; *p; p++)
		if (is_control(*p) || (*p >= 0x80 && !text))
			*p = '?';
	return to;
}

bool registration_is_text(const char *name)
{
	size_t n = strnlen(name, BGW_MAXLEN - 1);

	for (size_t i = 0; i < n; i++)
		if (is_control((unsigned char)name[i]))
			return false;
	return pgi_is_text(name, n);
}

const char *registration_name(const BackgroundWorker *w)
{
	if (w->bgw_name[0])
		return w->bgw_name;
	return w->bgw_type[0] && registration_is_text(w->bgw_type) ? w->bgw_type : w->bgw_function_name;
}

static void fill(const BackgroundWorker *w, pgbgw_definition *d, struct names *names)
{
	registration_text(registration_name(w), names->name);
	for (unsigned char *p = (unsigned char *)names->name; *p; p++)
		if (*p >= 0x80) /* as in the server's title and log (BGW-020); of those in _PG_init it shows every byte */
			*p = '?';
	d->name = names->name;
	d->type = registration_text(w->bgw_type, names->type);
	d->flags = (uint32)w->bgw_flags;
	d->start_time = (uint32)w->bgw_start_time + 1;
	d->restart_time = w->bgw_restart_time;
	d->library_name = w->bgw_library_name;
	d->function_name = w->bgw_function_name;
	d->main_arg = (uint64)w->bgw_main_arg;
	d->extra = w->bgw_extra;
	d->extra_len = sizeof w->bgw_extra;
	d->notify_pid = w->bgw_notify_pid == 0 ? PGBGW_NOTIFY_NOBODY : w->bgw_notify_pid == MyProcPid ? PGBGW_NOTIFY_SELF : w->bgw_notify_pid;
	d->notify_signal = d->notify_pid == PGBGW_NOTIFY_SELF;
}

bool RegisterDynamicBackgroundWorker(BackgroundWorker *worker, BackgroundWorkerHandle **handle)
{
	pgbgw_definition d = PGBGW_DEFINITION_INIT;
	BackgroundWorkerHandle *h;
	struct names names;
	int error;

	if (!the_pgbgw) /* as outside of a postmaster */
		return false;
	if (!registration_is_sane(worker, ERROR))
		return false;
	h = palloc(sizeof *h);
	fill(worker, &d, &names);
	error = HELD(pgbgw_register(the_pgbgw, &d, &h->handle));
	if (error == -EINVAL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("background worker \"%s\": %s", worker->bgw_name, pgbgw_last_error())));
	if (error < 0) {
		ereport(DEBUG1, (errmsg_internal("background worker \"%s\" was not registered: %s", worker->bgw_name, pgbgw_last_error())));
		pfree(h);
		return false;
	}
	if (handle)
		*handle = h;
	return true;
}

/* The two enumerations have one order. */
BgwHandleStatus GetBackgroundWorkerPid(BackgroundWorkerHandle *handle, pid_t *pidp)
{
	int pid = 0, status = pgbgw_get_pid(the_pgbgw, handle->handle, &pid);

	if (status < 0)
		return BGWH_STOPPED;
	if (status == PGBGW_STARTED)
		*pidp = pid;
	return (BgwHandleStatus)status;
}

/* wait_until waits for a worker that has stopped, or one that was tried, or until the supervisor is gone. */
static BgwHandleStatus wait_until(BackgroundWorkerHandle *handle, bool stopped, pid_t *pidp)
{
	for (;;) {
		BgwHandleStatus status;
		pid_t pid = 0;

		CHECK_FOR_INTERRUPTS();
		status = GetBackgroundWorkerPid(handle, &pid);
		if (status == BGWH_STARTED && pidp)
			*pidp = pid;
		if (stopped ? status == BGWH_STOPPED : status != BGWH_NOT_YET_STARTED)
			return status;
		if (WaitLatch(MyLatch, WL_LATCH_SET | WL_POSTMASTER_DEATH, 0, 0) & WL_POSTMASTER_DEATH)
			return BGWH_POSTMASTER_DIED;
		ResetLatch(MyLatch);
	}
}

BgwHandleStatus WaitForBackgroundWorkerStartup(BackgroundWorkerHandle *handle, pid_t *pid)
{
	return wait_until(handle, false, pid);
}

BgwHandleStatus WaitForBackgroundWorkerShutdown(BackgroundWorkerHandle *handle)
{
	return wait_until(handle, true, NULL);
}

void TerminateBackgroundWorker(BackgroundWorkerHandle *handle)
{
	(void)HELD(pgbgw_terminate(the_pgbgw, handle->handle));
}

const char *GetBackgroundWorkerTypeByPid(pid_t pid)
{
	static char type[BGW_MAXLEN];
	int n = the_pgbgw ? pgbgw_slots_used(the_pgbgw) : 0;
	pgbgw_slot slot;

	for (int i = 0; i < n; i++)
		if (pgbgw_slot_get(the_pgbgw, (uint32)i, &slot) == 0 && slot.pid == pid) {
			strlcpy(type, slot.type, sizeof type);
			return type;
		}
	return NULL;
}
