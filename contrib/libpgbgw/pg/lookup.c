/*
 * What the server looks up in its caches, asked of it: names and numbers of
 * databases, roles, schemas, relations and extensions, and whether it recovers. As in the server,
 * names need a transaction.
 */
#include "internal.h"

#include <stdlib.h>

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "connection.h"

/* ask returns the one value of a query with up to two parameters, or NULL. */
static char *ask(const char *query, const char *first, const char *second)
{
	const Oid types[2] = { TEXTOID, TEXTOID };
	const char *values[2] = { first, second };
	PGresult *r;
	char *value;

	transaction_needed();
	r = connection_run(query, second ? 2 : 1, types, values);
	value = PQntuples(r) == 1 && !PQgetisnull(r, 0, 0) ? pstrdup(PQgetvalue(r, 0, 0)) : NULL;
	PQclear(r);
	return value;
}

static char *name_of(const char *query, Oid oid)
{
	return ask(query, psprintf("%u", oid), NULL);
}

static Oid number_of(const char *query, const char *name, const char *second)
{
	char *value = ask(query, name, second);

	return value ? (Oid)strtoul(value, NULL, 10) : InvalidOid;
}

/* existing is oid, and an error where it is none and there has to be one. */
static Oid existing(Oid oid, bool missing_ok, int code, const char *kind, const char *name)
{
	if (!OidIsValid(oid) && !missing_ok)
		ereport(ERROR, (errcode(code), errmsg("%s \"%s\" does not exist", kind, name)));
	return oid;
}

char *get_database_name(Oid dbid)
{
	return name_of("SELECT datname FROM pg_catalog.pg_database WHERE oid = $1::oid", dbid);
}

Oid get_database_oid(const char *dbname, bool missing_ok)
{
	Oid oid = number_of("SELECT oid FROM pg_catalog.pg_database WHERE datname = $1", dbname, NULL);

	return existing(oid, missing_ok, ERRCODE_UNDEFINED_DATABASE, "database", dbname);
}

char *GetUserNameFromId(Oid roleid, bool noerr)
{
	char *name = name_of("SELECT rolname FROM pg_catalog.pg_roles WHERE oid = $1::oid", roleid);

	if (!name && !noerr)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("invalid role OID: %u", roleid)));
	return name;
}

Oid get_role_oid(const char *rolname, bool missing_ok)
{
	Oid oid = number_of("SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1", rolname, NULL);

	return existing(oid, missing_ok, ERRCODE_UNDEFINED_OBJECT, "role", rolname);
}

bool superuser_arg(Oid roleid)
{
	char *is = name_of("SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = $1::oid", roleid);

	return is && *is == 't';
}

char *get_namespace_name(Oid nspid)
{
	return name_of("SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = $1::oid", nspid);
}

Oid get_namespace_oid(const char *nspname, bool missing_ok)
{
	Oid oid = number_of("SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1", nspname, NULL);

	return existing(oid, missing_ok, ERRCODE_UNDEFINED_SCHEMA, "schema", nspname);
}

char *get_rel_name(Oid relid)
{
	return name_of("SELECT relname FROM pg_catalog.pg_class WHERE oid = $1::oid", relid);
}

Oid get_rel_namespace(Oid relid)
{
	char *value = name_of("SELECT relnamespace::oid FROM pg_catalog.pg_class WHERE oid = $1::oid", relid);

	return value ? (Oid)strtoul(value, NULL, 10) : InvalidOid;
}

char get_rel_relkind(Oid relid)
{
	char *kind = name_of("SELECT relkind FROM pg_catalog.pg_class WHERE oid = $1::oid", relid);

	return kind ? *kind : 0;
}

Oid get_relname_relid(const char *relname, Oid relnamespace)
{
	return number_of("SELECT oid FROM pg_catalog.pg_class WHERE relname = $1 AND relnamespace = $2::oid", relname,
			 psprintf("%u", relnamespace));
}

Oid get_extension_oid(const char *extname, bool missing_ok)
{
	Oid oid = number_of("SELECT oid FROM pg_catalog.pg_extension WHERE extname = $1", extname, NULL);

	return existing(oid, missing_ok, ERRCODE_UNDEFINED_OBJECT, "extension", extname);
}

/*
 * Once false it stays so, as in the server. The server reports it to its sessions (14 and
 * later); a promotion that it has not yet reported is asked for.
 */
bool RecoveryInProgress(void)
{
	static bool over;
	const char *reported;
	PGresult *r;

	if (over)
		return false;
	if (!connected())
		ereport(FATAL, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("function \"%s\" needs a database connection outside the PostgreSQL server", __func__)));
	reported = PQparameterStatus(connection(), "in_hot_standby");
	over = reported && strcmp(reported, "off") == 0;
	if (over || PQtransactionStatus(connection()) == PQTRANS_INERROR)
		return !over;
	r = connection_run("SELECT pg_catalog.pg_is_in_recovery()", -1, NULL, NULL);
	over = PQntuples(r) == 1 && *PQgetvalue(r, 0, 0) == 'f';
	PQclear(r);
	return !over;
}
