/*
 * What the server looks up of types (lsyscache.h), of those that this library
 * knows and of others.
 */
#include "internal.h"

#include <stdlib.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "connection.h"
#include "types.h"

static PGresult *ask(const char *query, Oid type, const char *name)
{
	const Oid types[] = { name ? TEXTOID : OIDOID };
	const char *values[] = { name ? name : psprintf("%u", type) };

	transaction_needed();
	return connection_run(query, 1, types, values);
}

/* number is the one value of a query, or 0. */
static Oid number(const char *query, Oid type, const char *name)
{
	PGresult *r = ask(query, type, name);
	Oid n = PQntuples(r) == 1 && !PQgetisnull(r, 0, 0) ? (Oid)strtoul(PQgetvalue(r, 0, 0), NULL, 10) : InvalidOid;

	PQclear(r);
	return n;
}

void get_typlenbyvalalign(Oid typid, int16 *typlen, bool *typbyval, char *typalign)
{
	const struct type *t = type_of(typid);
	PGresult *r;
	bool found;

	if (type_has_value(t)) {
		*typlen = t->length;
		*typbyval = t->by_value;
		*typalign = t->alignment;
		return;
	}
	r = ask("SELECT typlen, typbyval, typalign FROM pg_catalog.pg_type WHERE oid = $1", typid, NULL);
	found = PQntuples(r) == 1;
	if (found) {
		*typlen = (int16)atoi(PQgetvalue(r, 0, 0));
		*typbyval = *PQgetvalue(r, 0, 1) == 't';
		*typalign = *PQgetvalue(r, 0, 2);
	}
	PQclear(r);
	if (!found)
		elog(ERROR, "cache lookup failed for type %u", typid);
}

void get_typlenbyval(Oid typid, int16 *typlen, bool *typbyval)
{
	char alignment;

	get_typlenbyvalalign(typid, typlen, typbyval, &alignment);
}

int16 get_typlen(Oid typid)
{
	int16 length;
	bool by_value;

	get_typlenbyval(typid, &length, &by_value);
	return length;
}

bool get_typbyval(Oid typid)
{
	int16 length;
	bool by_value;

	get_typlenbyval(typid, &length, &by_value);
	return by_value;
}

Oid get_element_type(Oid typid)
{
	const struct type *t = type_built_in(typid);

	if (t)
		return t->element;
	return number("SELECT typelem FROM pg_catalog.pg_type WHERE oid = $1 "
		      "AND typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc", typid, NULL);
}

Oid get_array_type(Oid typid)
{
	return number("SELECT typarray FROM pg_catalog.pg_type WHERE oid = $1", typid, NULL);
}

Oid getBaseType(Oid typid)
{
	Oid base;

	while (!type_built_in(typid) &&
	       OidIsValid(base = number("SELECT typbasetype FROM pg_catalog.pg_type WHERE oid = $1 AND typtype = 'd'", typid, NULL)))
		typid = base;
	return typid;
}

Oid get_base_element_type(Oid typid)
{
	return get_element_type(getBaseType(typid));
}

Oid TypenameGetTypid(const char *typname)
{
	return number("SELECT pg_catalog.to_regtype(pg_catalog.quote_ident($1))::oid", InvalidOid, typname);
}

char *format_type_be(Oid type_oid)
{
	PGresult *r = ask("SELECT pg_catalog.format_type($1, NULL)", type_oid, NULL);
	char *name = pstrdup(PQgetvalue(r, 0, 0));

	PQclear(r);
	return name;
}
