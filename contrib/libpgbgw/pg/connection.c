/*
 * Queries that a signal can interrupt: nothing here blocks in libpq, and nothing
 * jumps out of it.
 */
#include "internal.h"

#include <stdlib.h>

#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"

#include "connection.h"

static int level_of(const char *severity)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = { { "DEBUG", DEBUG1 }, { "LOG", LOG }, { "INFO", INFO }, { "NOTICE", NOTICE }, { "WARNING", WARNING } };

	for (size_t i = 0; severity && i < lengthof(levels); i++)
		if (strncmp(severity, levels[i].name, strlen(levels[i].name)) == 0)
			return levels[i].level;
	return ERROR;
}

static int code_of(const char *state)
{
	if (!state || strlen(state) != 5)
		return ERRCODE_CONNECTION_FAILURE;
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

/* report gives the server's report on, with everything that it says. */
static void report(int level, const PGresult *r)
{
	const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
	const char *context = PQresultErrorField(r, PG_DIAG_CONTEXT);
	const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
	static const int names[] = { PG_DIAG_SCHEMA_NAME, PG_DIAG_TABLE_NAME, PG_DIAG_COLUMN_NAME,
				     PG_DIAG_DATATYPE_NAME, PG_DIAG_CONSTRAINT_NAME };

	if (!errstart(level, NULL))
		return;
	errcode(code_of(PQresultErrorField(r, PG_DIAG_SQLSTATE)));
	errmsg_internal("%s", message ? message : pchomp(PQresultErrorMessage(r)));
	if (detail)
		errdetail_internal("%s", detail);
	if (hint)
		errhint("%s", hint);
	if (context)
		errcontext_msg("%s", context);
	if (position)
		errposition(atoi(position));
	for (size_t i = 0; i < lengthof(names); i++)
		if (PQresultErrorField(r, names[i]))
			err_generic_string(names[i], PQresultErrorField(r, names[i]));
	errfinish(__FILE__, __LINE__, __func__);
}

/* libpq calls this from within; a level below ERROR returns always, when interrupts are held. */
void connection_notice(void *arg, const PGresult *r)
{
	report(Min(level_of(PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED)), WARNING), r);
}

static void lost(void)
{
	char *message = pchomp(PQerrorMessage(session));

	ereport(FATAL, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("connection to the server was lost"),
			errdetail_internal("%s", message)));
}

void connection_wait(int events, bool *woken)
{
	int got = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events, PQsocket(session), -1, PG_WAIT_EXTENSION);

	if (got & WL_LATCH_SET) {
		ResetLatch(MyLatch);
		*woken = true;
	}
}

static PGresult *next_result(bool *woken);

/*
 * abandon has the server stop what it runs and takes off what it still says. A
 * second wish to cancel changes nothing; one to end does.
 */
static void abandon(void)
{
	bool woken = false;
	PGresult *r;

	session_cancel(session);
	HOLD_CANCEL_INTERRUPTS();
	while ((r = next_result(&woken)) != NULL) {
		ExecStatusType s = PQresultStatus(r);

		PQclear(r);
		if (s == PGRES_COPY_OUT || s == PGRES_COPY_IN || s == PGRES_COPY_BOTH)
			break;
	}
	RESUME_CANCEL_INTERRUPTS();
}

/*
 * interrupted runs CHECK_FOR_INTERRUPTS; when that is an error, the running query
 * is abandoned before the error goes on. When it is the end of the process, close_session
 * cancels it. The latch is set again: who interrupted may mean the caller's own loop too.
 */
static void interrupted(void)
{
	if (!InterruptPending)
		return;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		abandon();
		SetLatch(MyLatch);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void consume(void)
{
	if (!PQconsumeInput(session))
		lost();
}

static void flush(bool *woken)
{
	int left;

	while ((left = PQflush(session)) > 0) {
		connection_wait(WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, woken);
		interrupted();
		consume();
	}
	if (left < 0)
		lost();
}

/*
 * next_result waits for a result; NULL when the query has no more. Sets *woken when the latch was taken meanwhile.
 * libpq calls connection_notice from within, which must come back: interrupts are held there.
 */
static PGresult *next_result(bool *woken)
{
	flush(woken);
	while (HELD(PQisBusy(session))) {
		connection_wait(WL_SOCKET_READABLE, woken);
		interrupted();
		consume();
	}
	return HELD(PQgetResult(session));
}

static bool is_error(const PGresult *r)
{
	ExecStatusType s = PQresultStatus(r);

	return s == PGRES_FATAL_ERROR || s == PGRES_BAD_RESPONSE || s == PGRES_NONFATAL_ERROR;
}

/* fail raises the error of r, which is freed with the error's context. */
static void fail(PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	int level = PQstatus(session) == CONNECTION_BAD ? FATAL : ERROR;

	if (!state)
		lost();
	PG_TRY();
	{
		report(level, r);
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
}

/* results collects what was sent: the last result, or the first error after all the rest was taken off. */
static PGresult *results(int sent)
{
	PGresult *last = NULL, *r;
	bool woken = false;

	if (!sent)
		lost();
	while ((r = next_result(&woken)) != NULL) {
		ExecStatusType s = PQresultStatus(r);

		notify_saw(r);
		if (last && is_error(last)) {
			PQclear(r);
			continue;
		}
		PQclear(last);
		last = r;
		if (s == PGRES_COPY_IN || s == PGRES_COPY_BOTH)
			PQputCopyEnd(session, "COPY cannot be done here");
		if (s == PGRES_COPY_OUT) {
			session_cancel(session);
			break;
		}
	}
	if (woken)
		SetLatch(MyLatch);
	notify_take();
	if (!last)
		lost();
	if (is_error(last))
		fail(last);
	return last;
}

PGresult *connection_run(const char *query, int nparams, const Oid *types, const char *const *values)
{
	PGconn *c = connection();

	debug_query_string = query;
	if (nparams < 0)
		return results(PQsendQuery(c, query));
	return results(PQsendQueryParams(c, query, nparams, types, values, NULL, NULL, 0));
}

PGresult *connection_run_prepared(const char *name, int nparams, const char *const *values)
{
	return results(PQsendQueryPrepared(connection(), name, nparams, values, NULL, NULL, 0));
}

PGresult *connection_prepare(const char *name, const char *query, int nparams, const Oid *types)
{
	return results(PQsendPrepare(connection(), name, query, nparams, types));
}

PGresult *connection_describe(const char *name)
{
	return results(PQsendDescribePrepared(connection(), name));
}

void connection_command(const char *command)
{
	PQclear(connection_run(command, -1, NULL, NULL));
}
