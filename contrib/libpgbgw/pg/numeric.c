/*
 * What modules call on numbers of any precision: conversions, comparisons and
 * the tests for what is no number. Arithmetic is the server's: see asked.c.
 */
#include "internal.h"

#include <float.h>
#include <limits.h>
#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "types_number.h"

static Numeric from_text(const char *t)
{
	return DatumGetNumeric(read_numeric(t));
}

Numeric int64_to_numeric(int64 val)
{
	char text[32];

	snprintf(text, sizeof text, INT64_FORMAT, val);
	return from_text(text);
}

Datum int2_numeric(PG_FUNCTION_ARGS)
{
	PG_RETURN_NUMERIC(int64_to_numeric(PG_GETARG_INT16(0)));
}

Datum int4_numeric(PG_FUNCTION_ARGS)
{
	PG_RETURN_NUMERIC(int64_to_numeric(PG_GETARG_INT32(0)));
}

Datum int8_numeric(PG_FUNCTION_ARGS)
{
	PG_RETURN_NUMERIC(int64_to_numeric(PG_GETARG_INT64(0)));
}

/* As many digits as the type surely has. */
static Datum of_real(double v, int digits)
{
	char text[64];

	if (isinf(v))
		return read_numeric(v > 0 ? "Infinity" : "-Infinity");
	snprintf(text, sizeof text, "%.*g", digits, v);
	return read_numeric(isnan(v) ? "NaN" : text);
}

Datum float4_numeric(PG_FUNCTION_ARGS)
{
	return of_real(PG_GETARG_FLOAT4(0), FLT_DIG);
}

Datum float8_numeric(PG_FUNCTION_ARGS)
{
	return of_real(PG_GETARG_FLOAT8(0), DBL_DIG);
}

Datum numeric_float4(PG_FUNCTION_ARGS)
{
	return read_float4(write_numeric(PG_GETARG_DATUM(0)));
}

Datum numeric_float8(PG_FUNCTION_ARGS)
{
	return read_float8(write_numeric(PG_GETARG_DATUM(0)));
}

/* rounded is the integer that is nearest, halves away from zero; false where it is not between min and max. */
static bool rounded(const struct numeric_value *n, int64 min, int64 max, int64 *out)
{
	__int128 v = 0;

	if (n->weight > 4) /* 10000 ** 5 is beyond 64 bits */
		return false;
	for (int i = 0; i <= n->weight; i++)
		v = v * 10000 + (i < n->n ? n->digits[i] : 0);
	if (n->weight >= -1 && n->weight + 1 < n->n && n->digits[n->weight + 1] >= 5000)
		v++;
	if (n->negative)
		v = -v;
	*out = (int64)v;
	return v >= min && v <= max;
}

static int64 to_integer(Datum d, const char *type, int64 min, int64 max)
{
	struct numeric_value n;
	int64 v;

	numeric_open(d, &n);
	if (n.special)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot convert %s to %s", n.nan ? "NaN" : "infinity", type)));
	if (!rounded(&n, min, max, &v))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("%s out of range", type)));
	return v;
}

Datum numeric_int2(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT16((int16)to_integer(PG_GETARG_DATUM(0), "smallint", SHRT_MIN, SHRT_MAX));
}

Datum numeric_int4(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32)to_integer(PG_GETARG_DATUM(0), "integer", INT_MIN, INT_MAX));
}

Datum numeric_int8(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(to_integer(PG_GETARG_DATUM(0), "bigint", INT64_MIN, INT64_MAX));
}

bool numeric_is_nan(Numeric num)
{
	struct numeric_value n;

	numeric_open(NumericGetDatum(num), &n);
	return n.special && n.nan;
}

bool numeric_is_inf(Numeric num)
{
	struct numeric_value n;

	numeric_open(NumericGetDatum(num), &n);
	return n.special && !n.nan;
}

/* rank orders kinds: minus infinity, negative, zero, positive, infinity, and NaN, which is equal to itself. */
static int rank(const struct numeric_value *n)
{
	if (n->special)
		return n->nan ? 3 : n->negative ? -2 : 2;
	return n->n == 0 ? 0 : n->negative ? -1 : 1;
}

static int compare_digits(const struct numeric_value *a, const struct numeric_value *b)
{
	if (a->weight != b->weight)
		return a->weight < b->weight ? -1 : 1;
	for (int i = 0; i < a->n && i < b->n; i++)
		if (a->digits[i] != b->digits[i])
			return a->digits[i] < b->digits[i] ? -1 : 1;
	return (a->n > b->n) - (a->n < b->n);
}

static int compare(FunctionCallInfo fcinfo)
{
	struct numeric_value a, b;

	numeric_open(PG_GETARG_DATUM(0), &a);
	numeric_open(PG_GETARG_DATUM(1), &b);
	if (rank(&a) != rank(&b))
		return rank(&a) < rank(&b) ? -1 : 1;
	if (a.special || a.n == 0)
		return 0;
	return a.negative ? -compare_digits(&a, &b) : compare_digits(&a, &b);
}

Datum numeric_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

#define COMPARISON(name, operator)              \
	Datum name(PG_FUNCTION_ARGS)            \
	{                                       \
		PG_RETURN_BOOL(compare(fcinfo) operator 0); \
	}

COMPARISON(numeric_eq, ==)
COMPARISON(numeric_ne, !=)
COMPARISON(numeric_lt, <)
COMPARISON(numeric_le, <=)
COMPARISON(numeric_gt, >)
COMPARISON(numeric_ge, >=)
