/*
 * A libpq connection string from the environment. The variables are those that
 * the supervisor passes to a worker with a database connection: address, role,
 * options, TLS and the paths of password file and keys, or that a definition
 * sets itself; never a password.
 */
#include <stdlib.h>

#include "internal.h"

static const struct { const char *variable, *keyword; } known[] = {
	{ "PGHOST", "host" }, { "PGHOSTADDR", "hostaddr" }, { "PGPORT", "port" }, { "PGDATABASE", "dbname" }, { "PGUSER", "user" },
	{ "PGAPPNAME", "application_name" }, { "PGOPTIONS", "options" }, { "PGSERVICE", "service" },
	{ "PGCLIENTENCODING", "client_encoding" }, { "PGCONNECT_TIMEOUT", "connect_timeout" }, { "PGLOADBALANCEHOSTS", "load_balance_hosts" },
	{ "PGPASSFILE", "passfile" }, { "PGCHANNELBINDING", "channel_binding" },
	{ "PGREQUIREAUTH", "require_auth" }, { "PGREQUIREPEER", "requirepeer" }, { "PGKRBSRVNAME", "krbsrvname" },
	{ "PGGSSENCMODE", "gssencmode" }, { "PGGSSLIB", "gsslib" }, { "PGGSSDELEGATION", "gssdelegation" },
	{ "PGSSLMODE", "sslmode" }, { "PGSSLNEGOTIATION", "sslnegotiation" }, { "PGSSLCOMPRESSION", "sslcompression" },
	{ "PGSSLCERT", "sslcert" }, { "PGSSLCERTMODE", "sslcertmode" }, { "PGSSLKEY", "sslkey" }, { "PGSSLROOTCERT", "sslrootcert" },
	{ "PGSSLCRL", "sslcrl" }, { "PGSSLCRLDIR", "sslcrldir" }, { "PGSSLSNI", "sslsni" },
	{ "PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version" }, { "PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version" },
	{ "PGMINPROTOCOLVERSION", "min_protocol_version" }, { "PGMAXPROTOCOLVERSION", "max_protocol_version" },
	{ "PGTARGETSESSIONATTRS", "target_session_attrs" },
};

struct out {
	char *to;
	size_t size, n;
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->size)
		o->to[o->n] = c;
	o->n++;
}

static void put_pair(struct out *o, const char *keyword, const char *value)
{
	if (o->n)
		put(o, ' ');
	while (*keyword)
		put(o, *keyword++);
	put(o, '=');
	put(o, '\'');
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			put(o, '\\');
		put(o, *value);
	}
	put(o, '\'');
}

int pgbgw_conninfo(char *to, size_t size, const char *database, const char *role)
{
	struct out o = { to, size, 0 };

	if (!getenv("PGHOST") && !getenv("PGHOSTADDR") && !getenv("PGPORT") && !getenv("PGSERVICE"))
		return pgi_fail(ENXIO, "this worker was given no server: its flags lack backend_database_connection");
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const char *value = getenv(known[i].variable);

		if (database && strcmp(known[i].keyword, "dbname") == 0)
			value = database;
		if (role && strcmp(known[i].keyword, "user") == 0)
			value = role;
		if (value && *value)
			put_pair(&o, known[i].keyword, value);
	}
	if (size)
		to[o.n < size ? o.n : size - 1] = 0;
	return (int)o.n;
}
