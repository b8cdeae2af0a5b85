/*
 * Registration of workers by modules: in _PG_init through the launcher, later
 * over the control socket. Rules and messages are PostgreSQL's (BGW-001 to BGW-022);
 * what is checked twice, here and by the supervisor, is checked here for the
 * level and the outcome that a module expects.
 */
#include "internal.h"

#include "supervisor.h"

/* Two sizes that are the same: what is shown of a name fits into an entry. */
StaticAssertDecl(sizeof(((struct pgbgw_host_entry *)0)->name) == BGW_MAXLEN, "name");
StaticAssertDecl(sizeof(((struct pgbgw_host_entry *)0)->type) == BGW_MAXLEN, "type");

static void to_entry(const BackgroundWorker *w, struct pgbgw_host_entry *e)
{
	memset(e, 0, sizeof *e);
	registration_text(registration_name(w), e->name);
	if (registration_is_text(w->bgw_type)) /* else what lay on the stack of a module that does not know of types: another in each life */
		registration_text(w->bgw_type, e->type);
	strlcpy(e->library, w->bgw_library_name, sizeof e->library);
	strlcpy(e->function, w->bgw_function_name, sizeof e->function);
	memcpy(e->extra, w->bgw_extra, sizeof e->extra);
	e->flags = w->bgw_flags;
	e->start_time = (int32_t)w->bgw_start_time;
	e->restart_time = w->bgw_restart_time;
	e->main_arg = (uint64_t)w->bgw_main_arg;
	e->notify_pid = (int32_t)w->bgw_notify_pid;
}

#ifndef USECS_PER_DAY
#define USECS_PER_DAY INT64CONST(86400000000)
#endif

bool registration_is_sane(BackgroundWorker *w, int level)
{
	if (!(w->bgw_flags & BGWORKER_SHMEM_ACCESS)) {
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("background worker \"%s\": background workers without shared memory access are not supported", w->bgw_name)));
		return false;
	}
	if ((w->bgw_flags & BGWORKER_BACKEND_DATABASE_CONNECTION) && w->bgw_start_time == BgWorkerStart_PostmasterStart) {
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("background worker \"%s\": cannot request database access if starting at postmaster start", w->bgw_name)));
		return false;
	}
	if ((w->bgw_restart_time < 0 && w->bgw_restart_time != BGW_NEVER_RESTART) || w->bgw_restart_time > USECS_PER_DAY / 1000) {
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("background worker \"%s\": invalid restart interval", w->bgw_name)));
		return false;
	}
	if (w->bgw_restart_time != BGW_NEVER_RESTART && (w->bgw_flags & BGWORKER_CLASS_PARALLEL)) {
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("background worker \"%s\": parallel workers may not be configured for restart", w->bgw_name)));
		return false;
	}
	if (!w->bgw_type[0])
		strlcpy(w->bgw_type, w->bgw_name, sizeof w->bgw_type);
	return true;
}

#if PG_VERSION_NUM >= 170000
#define THE_SETTING "\"shared_preload_libraries\""
#else
#define THE_SETTING "shared_preload_libraries"
#endif

void RegisterBackgroundWorker(BackgroundWorker *worker)
{
	struct pgbgw_host_entry entry;
	int error;

	/*
	 * BGW-021. Releases differ in who is told: up to 16 the server's own hooks, from 17
	 * backends, and a hook that comes too late keeps such a server from starting. Here
	 * everybody is told, and no more.
	 */
	if (!process_shared_preload_libraries_in_progress) {
		ereport(LOG, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			      errmsg("background worker \"%s\": must be registered in " THE_SETTING, worker->bgw_name)));
		return;
	}
	ereport(DEBUG1, (errmsg_internal("registering background worker \"%s\"", worker->bgw_name)));
	if (!registration_is_sane(worker, LOG))
		return;
	if (worker->bgw_notify_pid != 0) {
		ereport(LOG, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			      errmsg("background worker \"%s\": only dynamic background workers can request notification", worker->bgw_name)));
		return;
	}
	to_entry(worker, &entry);
	error = the_host->registered(the_host->context, &entry);
	if (error == ENOSPC)
		ereport(LOG, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("too many background workers"),
			      errdetail_plural("Up to %d background worker can be registered with the current settings.",
					       "Up to %d background workers can be registered with the current settings.",
					       max_worker_processes, max_worker_processes),
			      errhint("Consider increasing the configuration parameter \"max_worker_processes\".")));
	else if (error)
		ereport(LOG, (errmsg("background worker \"%s\": cannot be registered: %s", worker->bgw_name, strerror(error))));
}
