/*
 * The worker's session with the server: BackgroundWorkerInitializeConnection over
 * libpq, and its end.
 */
#include "internal.h"

#include <stdlib.h>

#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/catcache.h"

#include "connection.h"

PGconn *session;
static bool connecting;

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

/*
 * What a process that ends leaves running in the server is stopped: a backend that
 * sleeps or sorts looks at its client only when it is done. A session that is only
 * being made is libpq's in the middle of something, and ends with the process.
 */
static void close_session(int code, Datum arg)
{
	PGconn *c = session;

	session = NULL;
	if (!c || connecting)
		return;
	if (PQtransactionStatus(c) == PQTRANS_ACTIVE)
		session_cancel(c);
	PQfinish(c);
}

/* establish connects without blocking; FATAL when it cannot be done. */
static void establish(const char *dbname, const char *user)
{
	const char *conninfo = getenv("PGBGW_CONNECTION");
	const char *keys[8] = { "dbname", "fallback_application_name" };
	const char *values[8] = { conninfo ? conninfo : "", MyBgworkerEntry->bgw_type };
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	static bool known;
	bool woken = false;
	int n = 2;

	if (dbname) {
		keys[n] = "dbname"; /* after the first, which expands as a connection string, a plain name */
		values[n++] = dbname;
	}
	if (user) {
		keys[n] = "user";
		values[n++] = user;
	}
	libpq_load();
	connecting = true;
	session = PQconnectStartParams(keys, values, 1);
	if (!session)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	HOLD_CANCEL_INTERRUPTS(); /* there is no statement yet */
	while (PQstatus(session) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
		connection_wait(state == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE, &woken);
		CHECK_FOR_INTERRUPTS();
		state = PQconnectPoll(session);
	}
	RESUME_CANCEL_INTERRUPTS();
	if (PQstatus(session) != CONNECTION_OK)
		ereport(FATAL, (errcode(ERRCODE_CONNECTION_FAILURE),
				errmsg("could not connect to the server"),
				errdetail_internal("%s", pchomp(PQerrorMessage(session)))));
	if (woken)
		SetLatch(MyLatch);
	PQsetnonblocking(session, 1);
	PQsetNoticeReceiver(session, connection_notice, NULL);
	connecting = false;
	if (!known)
		on_proc_exit(close_session, 0);
	known = true;
}

/* Text as the database has it, dates and numbers that can be read back, and who and where we are. */
static void learn_session(void)
{
	PGresult *r;

	CreateCacheMemoryContext();
	connection_command(psprintf("SET client_encoding TO %s; SET DateStyle TO 'ISO'; SET extra_float_digits TO 1",
				    quote_literal_cstr(PQparameterStatus(session, "server_encoding"))));
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
