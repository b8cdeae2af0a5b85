/*
 * Enumerations. The server sends labels; their OIDs, which are the values, are asked for
 * once, all those of an enumeration together, and again when one comes that is not
 * among them: it was added, or renamed. Where two have changed names the old ones stand,
 * in both directions alike: the server still gets the label that it has sent.
 */
#include "internal.h"

#include <stdlib.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "asked.h"
#include "types_enum.h"

struct enumeration {
	struct enumeration *next;
	MemoryContext context; /* of the values */
	Oid type;
	int n;
	struct enum_value {
		Oid oid;
		char *label;
	} *values;
};

static struct enumeration *enumerations; /* for the life of the process */

static struct enumeration *enumeration_of(Oid type)
{
	struct enumeration *e = enumerations;

	while (e && e->type != type)
		e = e->next;
	if (!e) {
		e = MemoryContextAllocZero(TopMemoryContext, sizeof *e);
		e->type = type;
		e->next = enumerations;
		enumerations = e;
	}
	return e;
}

static void take(struct enumeration *e, const PGresult *r)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "enumeration", ALLOCSET_SMALL_SIZES);
	int n = PQntuples(r);
	struct enum_value *values = MemoryContextAlloc(context, ((Size)n + 1) * sizeof *values);

	for (int i = 0; i < n; i++) {
		values[i].oid = (Oid)strtoul(PQgetvalue(r, i, 0), NULL, 10);
		values[i].label = MemoryContextStrdup(context, PQgetvalue(r, i, 1));
	}
	if (e->context)
		MemoryContextDelete(e->context);
	e->context = context;
	e->values = values;
	e->n = n;
}

static void ask_labels(struct enumeration *e)
{
	PGresult *r = asked_of("SELECT oid, enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = $1", e->type);

	if (!r)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a value of an enumeration needs a database connection outside the PostgreSQL server")));
	PG_TRY();
	{
		take(e, r);
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
}

static const struct enum_value *by_label(const struct enumeration *e, const char *label)
{
	for (int i = 0; i < e->n; i++)
		if (strcmp(e->values[i].label, label) == 0)
			return &e->values[i];
	return NULL;
}

static const struct enum_value *by_oid(const struct enumeration *e, Oid oid)
{
	for (int i = 0; i < e->n; i++)
		if (e->values[i].oid == oid)
			return &e->values[i];
	return NULL;
}

Datum read_enum(Oid enumeration, const char *label)
{
	struct enumeration *e = enumeration_of(enumeration);
	const struct enum_value *v = by_label(e, label);

	if (!v) {
		ask_labels(e);
		v = by_label(e, label);
	}
	if (!v)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input value for enum %s: \"%s\"", format_type_be(enumeration), label)));
	return ObjectIdGetDatum(v->oid);
}

static void unknown_value(Oid oid) pg_attribute_noreturn();

static void unknown_value(Oid oid)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("invalid internal value for enum: %u", oid)));
}

char *write_enum(Oid enumeration, Datum value)
{
	struct enumeration *e = enumeration_of(enumeration);
	const struct enum_value *v = by_oid(e, DatumGetObjectId(value));

	if (!v) {
		ask_labels(e);
		v = by_oid(e, DatumGetObjectId(value));
	}
	if (!v)
		unknown_value(DatumGetObjectId(value));
	return pstrdup(v->label);
}

Datum enum_in(PG_FUNCTION_ARGS)
{
	return read_enum(PG_GETARG_OID(1), PG_GETARG_CSTRING(0));
}

/* The value alone says of which enumeration it is. */
Datum enum_out(PG_FUNCTION_ARGS)
{
	Oid oid = PG_GETARG_OID(0), type = InvalidOid;
	PGresult *r;

	for (const struct enumeration *e = enumerations; e; e = e->next)
		if (by_oid(e, oid))
			PG_RETURN_CSTRING(write_enum(e->type, oid));
	r = asked_of("SELECT enumtypid FROM pg_catalog.pg_enum WHERE oid = $1", oid);
	if (r && PQntuples(r) == 1)
		type = (Oid)strtoul(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	if (!OidIsValid(type))
		unknown_value(oid);
	PG_RETURN_CSTRING(write_enum(type, oid));
}
