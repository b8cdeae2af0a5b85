/*
 * Values of types: as the server's text, and as the value that a worker gets.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static const char *const values[] = {
	"true", "false", "(-32768)::int2", "2147483647::int4", "(-9223372036854775808)::int8", "4294967295::oid",
	"1.5::float4", "'-infinity'::float8", "'NaN'::float8", "0.1::float8", "1e300::float8", "1e-300::float8", "123456789.125::float4",
	"'some text'::text", "''::text", "repeat('long ', 2000)", "'varying'::varchar(20)", "'padded'::char(10)", "'x'::\"char\"", "'a_name'::name",
	"'\\xdeadbeef00'::bytea", "''::bytea", "'{\"a\": 1}'::json", "'12345678-9abc-def0-1234-56789abcdef0'::uuid",
	"'2000-01-01'::date", "'1999-12-31'::date", "'2024-02-29'::date", "'0044-03-15 BC'::date", "'infinity'::date",
	"'2024-02-29 12:34:56.789'::timestamp", "'1970-01-01 00:00:00'::timestamp", "'4713-01-01 00:00:00 BC'::timestamp", "'infinity'::timestamp",
	"'2024-06-01 00:00:00+00'::timestamptz", "'1999-12-31 23:59:59.999999+00'::timestamptz", "'23:59:59.5'::time",
	"'16/B374D848'::pg_lsn", "'123'::xid", "NULL::int4", "'unknown'",
};

/* sum is a short mark of a value's bytes, by its type's length. */
static uint32 sum(Datum d, int16 length, bool by_value)
{
	const unsigned char *bytes;
	uint32 mark = 17;
	Size n;

	if (by_value) {
		uint64 v = (uint64)d;

		if (length < 8)
			v &= (UINT64CONST(1) << (length * 8)) - 1;
		return (uint32)(v ^ (v >> 32));
	}
	if (length == -1) {
		struct varlena *plain = PG_DETOAST_DATUM(d);

		bytes = (const unsigned char *)VARDATA(plain);
		n = VARSIZE(plain) - VARHDRSZ;
	} else {
		bytes = (const unsigned char *)DatumGetPointer(d);
		n = length == -2 ? strlen((const char *)bytes) : (Size)length;
	}
	for (Size i = 0; i < n; i++)
		mark = mark * 31 + bytes[i];
	return mark;
}

void look(const char *expression)
{
	Form_pg_attribute a;
	HeapTuple t;
	TupleDesc d;
	char *text;
	bool isnull;
	Datum v, after;

	SPI_execute(psprintf("SELECT 7 AS before, %s AS v, 8 AS after", expression), true, 0);
	t = SPI_tuptable->vals[0];
	d = SPI_tuptable->tupdesc;
	a = TupleDescAttr(d, 1);
	after = SPI_getbinval(t, d, 3, &isnull);
	v = SPI_getbinval(t, d, 2, &isnull);
	text = SPI_getvalue(t, d, 2);
	saw(expression, "%u %d %d %c %.40s %08x %d", a->atttypid, a->attlen, a->attbyval, a->attalign, text ? text : "null",
	    isnull ? 0 : sum(v, a->attlen, a->attbyval), DatumGetInt32(after));
	SPI_freetuptable(SPI_tuptable);
}

/* back gives a value as a parameter and reads its text in the server. */
static void back(Oid type, Datum v, const char *name)
{
	SPI_execute_with_args(psprintf("SELECT $1::%s::text", name), 1, &type, &v, NULL, true, 0);
	saw("parameter", "%s %.40s", name, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
}

void probe_types(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute("SET LOCAL TimeZone TO 'UTC'", false, 0);
	for (int i = 0; i < (int)lengthof(values); i++)
		look(values[i]);
	back(BOOLOID, BoolGetDatum(true), "boolean");
	back(INT2OID, Int16GetDatum(-5), "int2");
	back(INT8OID, Int64GetDatum(INT64CONST(-5000000000)), "int8");
	back(FLOAT8OID, Float8GetDatum(0.1), "float8");
	back(FLOAT4OID, Float4GetDatum(0.1f), "float4");
	back(TEXTOID, CStringGetTextDatum("quote ' and \\"), "text");
	back(DATEOID, DateADTGetDatum(-1), "date");
	back(TIMESTAMPOID, TimestampGetDatum(INT64CONST(-1)), "timestamp");
	back(TIMESTAMPTZOID, TimestampTzGetDatum(INT64CONST(86400000000)), "timestamptz");
	back(TIMEOID, TimeADTGetDatum(INT64CONST(3723000001)), "time");
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}
