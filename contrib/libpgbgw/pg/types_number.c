/*
 * Integers, object identifiers and floating point numbers.
 */
#include "internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "common/shortest_dec.h"
#include "utils/builtins.h"

#include "types_number.h"

static void bad(const char *type, const char *text)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type %s: \"%s\"", type, text)));
}

static int64 integer(const char *text, const char *type, int64 min, int64 max)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	while (end != text && isspace((unsigned char)*end))
		end++;
	if (end == text || *end)
		bad(type, text);
	if (errno || v < min || v > max)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("value \"%s\" is out of range for type %s", text, type)));
	return v;
}

int16 pg_strtoint16(const char *s)
{
	return (int16)integer(s, "smallint", SHRT_MIN, SHRT_MAX);
}

int32 pg_strtoint32(const char *s)
{
	return (int32)integer(s, "integer", INT_MIN, INT_MAX);
}

int64 pg_strtoint64(const char *s)
{
	return integer(s, "bigint", INT64_MIN, INT64_MAX);
}

Datum read_int2(const char *t)
{
	return Int16GetDatum(pg_strtoint16(t));
}

char *write_int2(Datum d)
{
	return psprintf("%d", DatumGetInt16(d));
}

Datum read_int4(const char *t)
{
	return Int32GetDatum(pg_strtoint32(t));
}

char *write_int4(Datum d)
{
	return psprintf("%d", DatumGetInt32(d));
}

Datum read_int8(const char *t)
{
	return Int64GetDatum(pg_strtoint64(t));
}

char *write_int8(Datum d)
{
	return psprintf(INT64_FORMAT, DatumGetInt64(d));
}

/* Negative ones count from the end, as the server has it. */
Datum read_oid(const char *t)
{
	return ObjectIdGetDatum((Oid)integer(t, "oid", INT_MIN, UINT_MAX));
}

char *write_oid(Datum d)
{
	return psprintf("%u", DatumGetObjectId(d));
}

Datum read_xid8(const char *t)
{
	return UInt64GetDatum(strtoull(t, NULL, 10));
}

char *write_xid8(Datum d)
{
	return psprintf(UINT64_FORMAT, DatumGetUInt64(d));
}

/* check_real raises the error for a text that is no number up to its end, or one that a type cannot hold, as 0 or infinite. */
static void check_real(const char *t, const char *end, bool out_of_range, const char *type)
{
	const char *rest = end;

	while (isspace((unsigned char)*rest))
		rest++;
	if (end == t || *rest)
		bad(type, t);
	if (out_of_range)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("\"%.*s\" is out of range for type %s", (int)(end - t), t, type)));
}

/* Not by way of a double, which would round twice. NaN and Infinity too. */
Datum read_float4(const char *t)
{
	char *end;
	float v;

	errno = 0;
	v = strtof(t, &end);
	check_real(t, end, errno == ERANGE && (v == 0 || isinf(v)), "real");
	return Float4GetDatum(v);
}

Datum read_float8(const char *t)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(t, &end);
	check_real(t, end, errno == ERANGE && (v == 0 || isinf(v)), "double precision");
	return Float8GetDatum(v);
}

static char *special(double v)
{
	return pstrdup(isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

char *write_float4(Datum d)
{
	char *text = palloc(FLOAT_SHORTEST_DECIMAL_LEN);
	float4 v = DatumGetFloat4(d);

	if (!isfinite(v))
		return special(v);
	float_to_shortest_decimal_buf(v, text);
	return text;
}

char *write_float8(Datum d)
{
	char *text = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);
	float8 v = DatumGetFloat8(d);

	if (!isfinite(v))
		return special(v);
	double_to_shortest_decimal_buf(v, text);
	return text;
}
