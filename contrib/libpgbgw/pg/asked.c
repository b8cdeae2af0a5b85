/*
 * What this library does not know of types and values, and the server does: types
 * beyond the common ones, what people may write for a value, and arithmetic of numbers.
 * Each is a query over the worker's session.
 */
#include "internal.h"

#include <stdlib.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "asked.h"
#include "connection.h"
#include "types.h"

struct asked {
	struct asked *next;
	struct type type;
};

static struct asked *asked; /* for the life of the process */

/* quietly runs a query of this library's own, which is not the one that the worker runs. */
static PGresult *quietly(const char *query, int n, const Oid *types, const char *const *values)
{
	const char *worker_runs = debug_query_string;
	PGresult *r = connection_run(query, n, types, values);

	debug_query_string = worker_runs;
	return r;
}

/* fill takes a row of the query below. A domain is as the type that it is over. */
static void fill(struct type *t, const PGresult *r)
{
	Oid base = (Oid)strtoul(PQgetvalue(r, 0, 1), NULL, 10), element = (Oid)strtoul(PQgetvalue(r, 0, 2), NULL, 10);
	const char *name = MemoryContextStrdup(TopMemoryContext, PQgetvalue(r, 0, 0));
	Oid oid = t->oid;

	if (OidIsValid(base))
		*t = *type_of(base);
	else if (*PQgetvalue(r, 0, 4) == 'e') {
		t->length = sizeof(Oid);
		t->by_value = true;
		t->enumeration = oid;
	} else if (OidIsValid(element) && type_has_value(type_of(element))) {
		t->element = element;
		t->alignment = *PQgetvalue(r, 0, 3);
	}
	t->oid = oid;
	t->name = name;
}

PGresult *asked_of(const char *query, Oid object)
{
	static const Oid types[] = { OIDOID };
	const char *values[] = { psprintf("%u", object) };

	if (!OidIsValid(object) || !connected() ||
	    (PQtransactionStatus(session) != PQTRANS_IDLE && PQtransactionStatus(session) != PQTRANS_INTRANS))
		return NULL;
	return quietly(query, 1, types, values);
}

const struct type *type_asked(Oid oid)
{
	struct asked *a;
	PGresult *r;

	for (a = asked; a; a = a->next)
		if (a->type.oid == oid)
			return &a->type;
	r = asked_of("SELECT typname, CASE WHEN typtype = 'd' THEN typbasetype ELSE 0 END, "
		     "CASE WHEN typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc THEN typelem ELSE 0 END, "
		     "typalign, typtype FROM pg_catalog.pg_type WHERE oid = $1", oid);
	if (!r)
		return NULL;
	if (PQntuples(r) != 1) { /* it may be made later */
		PQclear(r);
		return NULL;
	}
	a = MemoryContextAllocZero(TopMemoryContext, sizeof *a);
	a->type = (struct type){ .oid = oid, .length = -1, .alignment = TYPALIGN_INT };
	PG_TRY();
	{
		fill(&a->type, r);
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
	a->next = asked;
	asked = a;
	return &a->type;
}

/* answer is the one value of a query, as its type here. */
static Datum answer(const char *query, int n, const Oid *types, const char *const *values, Oid result)
{
	volatile Datum d = 0;
	PGresult *r;

	transaction_needed();
	r = quietly(query, n, types, values);
	PG_TRY();
	{
		if (PQntuples(r) == 1 && !PQgetisnull(r, 0, 0))
			d = type_read(type_of(result), PQgetvalue(r, 0, 0));
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
	return d;
}

bool can_ask(void)
{
	return connected() && IsTransactionState();
}

Datum asked_value(Oid oid, int32 typmod, const char *written)
{
	const Oid types[] = { OIDOID, INT4OID };
	const char *named[] = { psprintf("%u", oid), psprintf("%d", typmod) }, *value[] = { written };
	Datum name = answer("SELECT pg_catalog.format_type($1, $2)", 2, types, named, TEXTOID);

	return answer(psprintf("SELECT $1::%s", TextDatumGetCString(name)), 1, (Oid[]){ InvalidOid }, value, oid);
}

static Datum asked_numeric(const char *function, FunctionCallInfo fcinfo)
{
	static const Oid types[] = { NUMERICOID, NUMERICOID };
	const struct type *t = type_of(NUMERICOID);
	const char *values[2] = { NULL, NULL };

	if (!can_ask())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("function \"%s\" needs a database connection and a transaction outside the PostgreSQL server", function)));
	for (int i = 0; i < PG_NARGS(); i++)
		values[i] = type_give(t, PG_GETARG_DATUM(i));
	return answer(psprintf("SELECT pg_catalog.%s($1%s)", function, PG_NARGS() > 1 ? ", $2" : ""), PG_NARGS(), types, values, NUMERICOID);
}

#define ARITHMETIC(name)                                  \
	Datum name(PG_FUNCTION_ARGS)                      \
	{                                                 \
		return asked_numeric(#name, fcinfo);      \
	}

ARITHMETIC(numeric_add)
ARITHMETIC(numeric_sub)
ARITHMETIC(numeric_mul)
ARITHMETIC(numeric_div)
ARITHMETIC(numeric_mod)
ARITHMETIC(numeric_abs)
ARITHMETIC(numeric_uminus)
