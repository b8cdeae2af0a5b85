/*
 * BackgroundWorkerInitializeConnection over libpq, and queries that a signal can
 * interrupt: nothing here blocks in libpq, and nothing jumps out of it.
 */
#include "internal.h"

#include <stdlib.h>

#include "storage/ipc.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"

#include "storage/proc.h"
#include "connection.h"

static PGconn *session;


bool connected(void)
{
	return session != NULL;
}

PGconn *connection(void)
{
	if (!session)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("background worker \"%s\" has no database connection", MyBgworkerEntry->bgw_name)));
	return session;
}

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

/* libpq calls this from within; a level below ERROR returns always. */
static void notice(void *arg, const PGresult *r)
{
	report(Min(level_of(PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED)), WARNING), r);
}

static void lost(void)
{
	char *message = pchomp(PQerrorMessage(session));

	ereport(FATAL, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("connection to the server was lost"),
			errdetail_internal("%s", message)));
}

/* cancel asks the server to stop what it does; a failure only means that it goes on. */
static void cancel(void)
{
	PGcancel *c = PQgetCancel(session);
	char error[256];

	if (c)
		PQcancel(c, error, sizeof error);
	PQfreeCancel(c);
}

static void drain(void)
{
	PGresult *r;

	while ((r = PQgetResult(session)) != NULL)
		PQclear(r);
}

static void wait_for_socket(int events)
{
	int got = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events, PQsocket(session), -1, PG_WAIT_EXTENSION);

	if (got & WL_LATCH_SET)
		ResetLatch(MyLatch);
}

/*
 * interrupted runs CHECK_FOR_INTERRUPTS; when that is an error, the running query
 * is cancelled and its results are taken off before the error goes on. The latch
 * is set again: who interrupted may mean the caller's own loop too.
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
		cancel();
		drain();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void flush(void)
{
	int left;

	while ((left = PQflush(session)) > 0) {
		wait_for_socket(WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE);
		if (!PQconsumeInput(session))
			lost();
	}
	if (left < 0)
		lost();
}

/* next_result waits for a result; NULL when the query has no more. Sets *woken when the latch was taken meanwhile. */
static PGresult *next_result(bool *woken)
{
	flush();
	while (PQisBusy(session)) {
		int got = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE,
					    PQsocket(session), -1, PG_WAIT_EXTENSION);

		if (got & WL_LATCH_SET) {
			ResetLatch(MyLatch);
			*woken = true;
		}
		interrupted();
		if ((got & WL_SOCKET_READABLE) && !PQconsumeInput(session))
			lost();
	}
	return PQgetResult(session);
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

		if (last && is_error(last)) {
			PQclear(r);
			continue;
		}
		PQclear(last);
		last = r;
		if (s == PGRES_COPY_IN || s == PGRES_COPY_BOTH)
			PQputCopyEnd(session, "COPY cannot be done here");
		if (s == PGRES_COPY_OUT) {
			cancel();
			break;
		}
	}
	if (woken)
		SetLatch(MyLatch);
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

static void close_session(int code, Datum arg)
{
	PQfinish(session);
	session = NULL;
}

/* establish connects without blocking; FATAL when it cannot be done. */
static void establish(const char *dbname, const char *user)
{
	const char *conninfo = getenv("PGBGW_CONNECTION");
	const char *keys[8] = { "dbname", "fallback_application_name" };
	const char *values[8] = { conninfo ? conninfo : "", MyBgworkerEntry->bgw_type };
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	int n = 2;

	if (dbname) {
		keys[n] = "dbname"; /* after the first, which expands as a connection string, a plain name */
		values[n++] = dbname;
	}
	if (user) {
		keys[n] = "user";
		values[n++] = user;
	}
	session = PQconnectStartParams(keys, values, 1);
	if (!session)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	on_proc_exit(close_session, 0);
	while (PQstatus(session) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
		wait_for_socket(state == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE);
		CHECK_FOR_INTERRUPTS();
		state = PQconnectPoll(session);
	}
	if (PQstatus(session) != CONNECTION_OK)
		ereport(FATAL, (errcode(ERRCODE_CONNECTION_FAILURE),
				errmsg("could not connect to the server"),
				errdetail_internal("%s", pchomp(PQerrorMessage(session)))));
	PQsetnonblocking(session, 1);
	PQsetNoticeReceiver(session, notice, NULL);
}

/* Text as the database has it, dates that can be read back, and who and where we are. */
static void learn_session(void)
{
	PGresult *r;

	PQsetClientEncoding(session, PQparameterStatus(session, "server_encoding"));
	connection_command("SET DateStyle TO 'ISO'");
	r = connection_run("SELECT d.oid, d.dattablespace, r.oid, r.rolsuper FROM pg_catalog.pg_database d, pg_catalog.pg_roles r "
			   "WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user", -1, NULL, NULL);
	if (PQntuples(r) == 1)
		identity_set(r);
	PQclear(r);
}

static void check_may_connect(void)
{
	if (!(MyBgworkerEntry->bgw_flags & BGWORKER_BACKEND_DATABASE_CONNECTION))
		ereport(FATAL, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("database connection requirement not indicated during registration")));
	if (session)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("background worker \"%s\" is connected to database \"%s\" already",
				       MyBgworkerEntry->bgw_name, PQdb(session))));
}

/*
 * Where PostgreSQL's worker has no database (NULL) or is the bootstrap superuser
 * (NULL), a client has what the definition's connection block says, and else what
 * libpq takes. The flags that bypass datallowconn and NOLOGIN are the server's own
 * processes' to have: a client is refused or not by the server alone.
 */
void BackgroundWorkerInitializeConnection(const char *dbname, const char *username, uint32 flags)
{
	check_may_connect();
	if (!dbname)
		dbname = getenv("PGDATABASE") ? getenv("PGDATABASE") : "postgres";
	if (!username)
		username = getenv("PGUSER");
	establish(dbname, username);
	learn_session();
}

/* The names are looked up in a session of its own, with the maintenance database. */
void BackgroundWorkerInitializeConnectionByOid(Oid dboid, Oid useroid, uint32 flags)
{
	char *dbname = NULL, *username = NULL;
	PGresult *r;

	check_may_connect();
	if (OidIsValid(dboid) || OidIsValid(useroid)) {
		establish(getenv("PGDATABASE") ? getenv("PGDATABASE") : "postgres", getenv("PGUSER"));
		r = connection_run(psprintf("SELECT (SELECT datname FROM pg_catalog.pg_database WHERE oid = %u), "
					    "(SELECT rolname FROM pg_catalog.pg_roles WHERE oid = %u)", dboid, useroid), -1, NULL, NULL);
		dbname = PQgetisnull(r, 0, 0) ? NULL : pstrdup(PQgetvalue(r, 0, 0));
		username = PQgetisnull(r, 0, 1) ? NULL : pstrdup(PQgetvalue(r, 0, 1));
		PQclear(r);
		PQfinish(session);
		session = NULL;
		if (OidIsValid(dboid) && !dbname)
			ereport(FATAL, (errcode(ERRCODE_UNDEFINED_DATABASE), errmsg("database %u does not exist", dboid)));
		if (OidIsValid(useroid) && !username)
			ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION), errmsg("role with OID %u does not exist", useroid)));
	}
	BackgroundWorkerInitializeConnection(dbname, username, flags);
}
