/*
 * Values that are more than a number: numeric, interval and arrays, as a worker
 * gets them, as it makes them, and as it gives them back.
 */
#include "bgw_spi.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static const char *const numbers[] = {
	"0", "0.000", "-0", "1", "-1", "10000", "9999.9999", "0.0001", "0.00012", "0.1",
	"123456789012345678901234567890.123456789", "-0.00000000000000000000001", "1e-64", "1e-63", "'NaN'", "'Infinity'",
	"'-Infinity'", "1e255", "1e256", "1e259", "1e260", "1e-256", "1e-257", "1e-260", "power(10::numeric, 1000)",
	"repeat('9', 2000)", "('0.' || repeat('1', 500))", "('-' || repeat('70', 300) || '.' || repeat('0', 90))", "100.00",
	"99999999.5", "NULL",
};

static const char *const intervals[] = {
	"0", "1 year", "-1 year", "14 months", "1 day", "-1 day", "1:02:03", "-1:02:03.5", "1 day -1:00", "-1 year 2 days",
	"1 mon -1 day 00:00:01", "-1 mon -1 day -00:00:00.000001", "00:00:00.1", "00:00:01", "-00:00:01",
	"1 year 2 mons 3 days 04:05:06.789", "2562047788:00:54.775807", "-2562047788:00:54.775807",
	"178956970 years 7 mons 2147483647 days", "-178956970 years -8 mons -2147483648 days", "100:00", "-1 year +1 sec",
	"1 sec -1 year", "59 sec", "1 hour", "-1 min", "-0.5 sec",
};

static const char *const arrays[] = {
	"'{}'::int4[]", "'{1,2,3}'::int4[]", "'{1,NULL,3}'::int4[]", "'{{1,2},{3,NULL}}'::int8[]", "'[0:1]={t,f}'::bool[]",
	"'[-2:-1][5:6]={{1,2},{3,4}}'::int2[]", "'{a,NULL,\"NULL\",\"\",\" b \",\"q\\\"\\\\\",\"{x}\",\"c,d\"}'::text[]",
	"'{{{{{{1}}}}}}'::int4[]", "'{1.5,NaN,NULL,-1e300}'::numeric[]", "'{1.5,-0,Infinity}'::float8[]", "'{1.5}'::float4[]",
	"'{1 day,-1:00,NULL}'::interval[]", "'{2024-02-29,infinity,0044-03-15 BC}'::date[]",
	"'{2024-02-29 12:34:56.789}'::timestamp[]", "'{\"2024-06-01 00:00:00+00\"}'::timestamptz[]",
	"'{12345678-9abc-def0-1234-56789abcdef0}'::uuid[]", "'{\"\\\\\\\\xdead\",\"\\\\\\\\x\"}'::bytea[]",
	"'{a_name,b}'::name[]", "'{a,NULL,c}'::\"char\"[]", "'{ab,c}'::char(3)[]", "'{ab,c}'::varchar(9)[]",
	"'{4294967295}'::oid[]", "'{16/B374D848}'::pg_lsn[]", "'{12:00}'::time[]", "ARRAY['{\"a\":[1]}'::json]",
	"array_fill('x'::text, ARRAY[100], ARRAY[7])", "(SELECT array_agg(i) FROM generate_series(1, 3000) i)",
	"ARRAY[NULL,NULL]::int4[]", "string_to_array(repeat('ab,', 300), ',')", "'(7,3)'::tid", "'{\"(7,3)\"}'::tid[]",
	"'{1,2}'::xid8[]", "NULL::int4[]",
	"'1 -2 3'::int2vector", "''::oidvector", "'4294967295 7'::oidvector", "ARRAY['1 2'::int2vector, '']",
	"(SELECT indkey FROM pg_catalog.pg_index WHERE indexrelid = 'pg_class_relname_nsp_index'::regclass)",
};

/* again gives a value back as a parameter of its type, and reads what the server has of it. */
static void again(const char *expression)
{
	HeapTuple t;
	TupleDesc d;
	Oid type;
	bool isnull;
	Datum v;
	char null;

	SPI_execute(psprintf("SELECT %s", expression), true, 0);
	type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
	v = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	null = isnull ? 'n' : ' ';
	SPI_execute_with_args(psprintf("SELECT $1::text, $1 IS NOT DISTINCT FROM %s, pg_typeof($1)", expression), 1, &type, &v, &null,
			      true, 0);
	t = SPI_tuptable->vals[0];
	d = SPI_tuptable->tupdesc;
	saw("given back", "%s: %.60s %s %s", expression, isnull ? "null" : SPI_getvalue(t, d, 1), SPI_getvalue(t, d, 2),
	    SPI_getvalue(t, d, 3));
}

static void probe_escaped(void)
{
	bool isnull;
	bytea *b;

	SPI_execute("SET LOCAL bytea_output TO escape", false, 0);
	SPI_execute("SELECT '\\x005c5c41ff78'::bytea", true, 0);
	b = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	saw("escaped", "%d %02x %02x %s", (int)VARSIZE_ANY_EXHDR(b), VARDATA_ANY(b)[0], (unsigned char)VARDATA_ANY(b)[4],
	    pnstrdup(VARDATA_ANY(b) + 1, 3));
	SPI_execute("SET LOCAL bytea_output TO hex", false, 0);
}

static void probe_styles(void)
{
	static const char *const styles[] = { "postgres_verbose", "sql_standard", "iso_8601", "postgres" };

	for (int s = 0; s < (int)lengthof(styles); s++) {
		SPI_execute(psprintf("SET LOCAL IntervalStyle TO %s", styles[s]), false, 0);
		for (int i = 0; i < (int)lengthof(intervals); i++) {
			look(psprintf("interval E'%s'", intervals[i]));
			again(psprintf("interval E'%s'", intervals[i]));
		}
	}
}

static Datum in(PGFunction function, const char *text)
{
	return DirectFunctionCall3(function, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static Datum number(const char *text)
{
	return in(numeric_in, text);
}

static char *text_of(Datum number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, number));
}

static const char *tried;

static void try_number(void)
{
	saw("numeric_in", "%s: %.60s", tried, text_of(number(tried)));
}

static void try_int8(void)
{
	saw("numeric_int8", "%s: " INT64_FORMAT, tried, DatumGetInt64(DirectFunctionCall1(numeric_int8, number(tried))));
}

static void try_int4(void)
{
	saw("numeric_int4", "%s: %d", tried, DatumGetInt32(DirectFunctionCall1(numeric_int4, number(tried))));
}

static void try_int2(void)
{
	saw("numeric_int2", "%s: %d", tried, DatumGetInt16(DirectFunctionCall1(numeric_int2, number(tried))));
}

static void probe_numbers(void)
{
	static const char *const texts[] = {
		"1", " 1.50 ", "1e3", "1.25e-2", ".5", "5.", "+7", "-.000", "nan", "inf", "-infinity", "0.5", "-0.5",
		"0.49999", "1.5", "-2.5", "32767.4", "32767.5", "-32768.5", "2147483647.49", "2147483647.5", "-2147483648.5",
		"9223372036854775807.4", "9223372036854775807.5", "-9223372036854775808.4", "99999999999999999999", "", ".",
		"1x", "1e", "- 1", "1e200000", "1e-20000", "0.00005",
	};
	static const char *const ordered[] = {
		"-Infinity", "-10000", "-9999.5", "-1", "0", "0.0001", "0.1", "1.0", "1", "9999", "10000", "10000.0001", "Infinity", "NaN",
	};

	for (int i = 0; i < (int)lengthof(texts); i++) {
		tried = texts[i];
		probe_error("numeric_in fails", try_number);
		probe_error("numeric_int2 fails", try_int2);
		probe_error("numeric_int4 fails", try_int4);
		probe_error("numeric_int8 fails", try_int8);
	}
	for (int i = 1; i < (int)lengthof(ordered); i++) {
		Datum below = number(ordered[i - 1]), above = number(ordered[i]);

		saw("numeric_cmp", "%s %s %d %d", ordered[i - 1], ordered[i], DatumGetInt32(DirectFunctionCall2(numeric_cmp, below, above)),
		    DatumGetBool(DirectFunctionCall2(numeric_gt, above, below)));
	}
}

static void probe_conversions(void)
{
	Datum modified = Int32GetDatum((10 << 16 | 2) + VARHDRSZ); /* numeric(10,2) */

	saw("int8_numeric", "%s", text_of(DirectFunctionCall1(int8_numeric, Int64GetDatum(PG_INT64_MIN))));
	saw("int4_numeric", "%s", text_of(DirectFunctionCall1(int4_numeric, Int32GetDatum(10000))));
	saw("int64_to_numeric", "%s", text_of(NumericGetDatum(int64_to_numeric(-7))));
	saw("float8_numeric", "%s", text_of(DirectFunctionCall1(float8_numeric, Float8GetDatum(0.1))));
	saw("float8_numeric", "%s", text_of(DirectFunctionCall1(float8_numeric, Float8GetDatum(1e20))));
	saw("float8_numeric", "%s", text_of(DirectFunctionCall1(float8_numeric, Float8GetDatum(-1.0 / 3))));
	saw("numeric_float8", "%.17g", DatumGetFloat8(DirectFunctionCall1(numeric_float8, number("123.456"))));
	saw("numeric_is_nan", "%d %d", numeric_is_nan(DatumGetNumeric(number("nan"))), numeric_is_nan(DatumGetNumeric(number("1"))));
	saw("numeric_is_inf", "%d %d", numeric_is_inf(DatumGetNumeric(number("-inf"))), numeric_is_inf(DatumGetNumeric(number("nan"))));
	saw("numeric_add", "%s", text_of(DirectFunctionCall2(numeric_add, number("0.1"), number("0.20"))));
	saw("numeric_div", "%s", text_of(DirectFunctionCall2(numeric_div, number("1"), number("3"))));
	saw("numeric_in, modifier", "%s",
	    text_of(DirectFunctionCall3(numeric_in, CStringGetDatum("123.456"), ObjectIdGetDatum(InvalidOid), modified)));
}

/* give hands an array to the server and notes its text. */
static void give(const char *subject, ArrayType *a, Oid type)
{
	Datum v = PointerGetDatum(a);

	SPI_execute_with_args("SELECT $1::text", 1, &type, &v, NULL, true, 0);
	saw(subject, "%s, %d dimensions, %d items, %u bytes, nulls %d",
	    SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), ARR_NDIM(a), ArrayGetNItems(ARR_NDIM(a), ARR_DIMS(a)), (unsigned)ARR_SIZE(a), array_contains_nulls(a));
}

static void probe_made(void)
{
	Datum words[4] = { CStringGetTextDatum("one"), 0, CStringGetTextDatum("a \"b\""), CStringGetTextDatum("") };
	Datum prices[2] = { number("1.50"), number("-3") }, counts[3] = { Int32GetDatum(3), Int32GetDatum(-1), Int32GetDatum(7) };
	bool nulls[4] = { false, true, false, false };
	ArrayBuildState *state = NULL;
	int16 length;
	bool by_value;
	char alignment;

	give("construct_array", construct_array(counts, 3, INT4OID, 4, true, TYPALIGN_INT), INT4ARRAYOID);
	give("construct_empty_array", construct_empty_array(INT4OID), INT4ARRAYOID);
	give("construct_md_array",
	     construct_md_array(words, nulls, 2, (int[]){ 2, 2 }, (int[]){ 0, 1 }, TEXTOID, -1, false, TYPALIGN_INT), TEXTARRAYOID);
	give("construct_array, numeric", construct_array(prices, 2, NUMERICOID, -1, false, TYPALIGN_INT), NUMERICARRAYOID);
	for (int i = 0; i < 100; i++)
		state = accumArrayResult(state, CStringGetTextDatum(psprintf("%d", i)), i % 7 == 0, TEXTOID, CurrentMemoryContext);
	give("makeArrayResult", DatumGetArrayTypeP(makeArrayResult(state, CurrentMemoryContext)), TEXTARRAYOID);
	get_typlenbyvalalign(INTERVALOID, &length, &by_value, &alignment);
	saw("get_typlenbyvalalign", "%d %d %c", length, by_value, alignment);
	saw("get_element_type", "%u %u %u", get_element_type(INT4ARRAYOID), get_element_type(TEXTOID), get_array_type(UUIDOID));
	saw("format_type_be", "%s %s", format_type_be(INT4ARRAYOID), format_type_be(TIMESTAMPTZOID));
}

static void probe_taken(void)
{
	ArrayType *a;
	Datum *elements, item;
	bool *nulls, isnull;
	int n;
	ArrayIterator it;

	SPI_execute("SELECT ARRAY['x', NULL, 'yz']", true, 0);
	a = DatumGetArrayTypeP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	deconstruct_array(a, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	saw("deconstruct_array", "%d %d %d %s %s", n, nulls[0], nulls[1], TextDatumGetCString(elements[0]), TextDatumGetCString(elements[2]));
	it = array_create_iterator(a, 0, NULL);
	for (n = 0; array_iterate(it, &item, &isnull); n++)
		saw("array_iterate", "%d %s", n, isnull ? "null" : TextDatumGetCString(item));
	array_free_iterator(it);
}

/* A worker that prints any row does it in this way. */
static void probe_printed(void)
{
	TupleDesc d;
	Datum *row;
	bool *nulls;

	SPI_execute("SELECT 1.50, interval '1 day 2:03', ARRAY[1, NULL], true, NULL::numeric, '{\"a\": 1}'::jsonb, '10.0.0.1'::inet, "
		    "'pg_class'::regclass, ROW(1, 'x'), '[1,3)'::int4range, ARRAY['{}'::jsonb], 'x'::bgw_spi_mood", true, 0);
	d = SPI_tuptable->tupdesc;
	row = palloc((Size)d->natts * sizeof *row);
	nulls = palloc((Size)d->natts * sizeof *nulls);
	heap_deform_tuple(SPI_tuptable->vals[0], d, row, nulls);
	for (int i = 0; i < d->natts; i++) {
		Oid function;
		bool varlena;

		getTypeOutputInfo(SPI_gettypeid(d, i + 1), &function, &varlena);
		saw("printed", "%s %s %s", SPI_gettype(d, i + 1), nulls[i] ? "null" : OidOutputFunctionCall(function, row[i]),
		    nulls[i] ? "null" : SPI_getvalue(SPI_tuptable->vals[0], d, i + 1));
	}
}

static void probe_read(void)
{
	static const char *const texts[] = {
		"5 minutes", "1 day 2 hours", "1.5 days", "1 week", "P1Y2M3DT4H5M6.7S", "@ 1 min ago", "3 days 04:05:06", "100", "1:30", "2 centuries",
	};

	for (int i = 0; i < (int)lengthof(texts); i++) {
		Interval *v = DatumGetIntervalP(in(interval_in, texts[i]));

		saw("interval_in", "%s: %d %d " INT64_FORMAT " %s", texts[i], v->month, v->day, v->time,
		    DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(v))));
	}
	saw("timestamptz_in", INT64_FORMAT, DatumGetTimestampTz(in(timestamptz_in, "2024-02-29")));
}

void probe_values(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute("SET LOCAL TimeZone TO 'UTC'", false, 0);
	SPI_execute("CREATE DOMAIN bgw_spi_price AS numeric(10,2)", false, 0);
	SPI_execute("CREATE TYPE bgw_spi_mood AS ENUM ('x')", false, 0);
	for (int i = 0; i < (int)lengthof(numbers); i++) {
		look(psprintf("(%s)::numeric", numbers[i]));
		again(psprintf("(%s)::numeric", numbers[i]));
	}
	for (int i = 0; i < (int)lengthof(arrays); i++) {
		look(arrays[i]);
		if (!strstr(arrays[i], "json"))
			again(arrays[i]);
	}
	again("'{1.50,NULL}'::bgw_spi_price[]"); /* a type of this database */
	probe_escaped();
	probe_styles();
	probe_numbers();
	probe_conversions();
	probe_made();
	probe_taken();
	probe_printed();
	probe_read();
	SPI_finish();
	PopActiveSnapshot();
	AbortCurrentTransaction();
}
