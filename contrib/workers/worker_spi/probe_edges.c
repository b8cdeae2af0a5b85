/*
 * What a worker's code does seldom: very large counts, several statements without
 * parameters, cursors without a session of SPI, and values at the ends of their ranges.
 */
#include "bgw_spi.h"

#include <float.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

static void begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* tried runs try in a subtransaction, and notes the error that it raises. */
static void tried(const char *subject, void (*try)(void))
{
	MemoryContext context = CurrentMemoryContext;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		try();
		ReleaseCurrentSubTransaction();
		saw(subject, "no error");
	}
	PG_CATCH();
	{
		ErrorData *e;

		MemoryContextSwitchTo(context);
		e = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		saw(subject, "%s %s", unpack_sql_state(e->sqlerrcode), e->message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

static void result(const char *subject, int code)
{
	saw(subject, "%s " UINT64_FORMAT " %d %s", SPI_result_code_string(code), SPI_processed, SPI_tuptable ? (int)SPI_tuptable->numvals : -1,
	    SPI_tuptable && SPI_tuptable->numvals ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : "-");
}

static void limit_beyond_int(void)
{
	result("limit", SPI_execute("SELECT generate_series(1, 5)", true, 5000000000L));
	result("limit", SPI_execute("SELECT generate_series(1, 5)", true, LONG_MAX));
}

static void fetch_beyond_int(void)
{
	Portal p = SPI_cursor_open_with_args("far", "SELECT generate_series(1, 9)", 0, NULL, NULL, NULL, true, CURSOR_OPT_SCROLL);

	SPI_cursor_fetch(p, true, 5000000000L);
	result("fetch", 0);
	SPI_cursor_fetch(p, false, 5000000000L);
	result("fetch back", 0);
	SPI_cursor_move(p, true, 5000000000L);
	result("move", 0);
	SPI_cursor_fetch(p, true, -3);
	result("fetch -3", 0);
	SPI_scroll_cursor_fetch(p, FETCH_ABSOLUTE, 5);
	result("absolute", 0);
	SPI_cursor_fetch(p, true, 0);
	result("fetch 0", 0);
	SPI_scroll_cursor_fetch(p, FETCH_RELATIVE, -2);
	result("relative", 0);
	SPI_scroll_cursor_fetch(p, FETCH_ABSOLUTE, -1);
	result("last", 0);
	SPI_cursor_close(p);
}

static void cursor_of_no_rows(void)
{
	Portal p = SPI_cursor_open_with_args("none", "SELECT 1 WHERE false", 0, NULL, NULL, NULL, true, 0);

	SPI_cursor_fetch(p, true, 10);
	result("fetch of none", 0);
	saw("columns of none", "%d", SPI_tuptable ? SPI_tuptable->tupdesc->natts : -1);
	SPI_cursor_close(p);
}

static void several(void)
{
	SPIPlanPtr plan;

	result("several, with no arguments", SPI_execute_with_args("SELECT 1; SELECT 2", 0, NULL, NULL, NULL, true, 0));
	plan = SPI_prepare("SELECT 3; SELECT 4", 0, NULL);
	result("several, as a plan", SPI_execute_plan(plan, NULL, NULL, true, 0));
}

static void several_by_plan(void)
{
	SPIPlanPtr plan = SPI_prepare("CREATE TEMP TABLE bgw_edges (i integer); DROP TABLE bgw_edges", 0, NULL);

	result("several commands, as a plan", SPI_execute_plan(plan, NULL, NULL, false, 0));
	plan = SPI_prepare("", 0, NULL);
	result("an empty plan", SPI_execute_plan(plan, NULL, NULL, false, 0));
}

static Portal far;

static void fetch_unconnected(void)
{
	SPI_cursor_fetch(far, true, 1);
}

static void commit_atomic(void)
{
	SPI_commit();
}

static void rollback_atomic(void)
{
	SPI_rollback();
}

static void commit_within(void)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
}

static void show_read_only(void)
{
	result("show", SPI_execute("SHOW server_version_num", true, 0));
}

static void for_update(void)
{
	result("for update", SPI_execute("SELECT relname FROM pg_class WHERE relname = 'pg_class' FOR UPDATE", true, 0));
}

static void with_for_update(void)
{
	SPI_execute("CREATE TEMP TABLE bgw_locked AS SELECT generate_series(1, 5) i", false, 0);
	result("with, for update", SPI_execute("WITH x AS (SELECT 1) SELECT i FROM bgw_locked FOR UPDATE", false, 2));
	result("with, named so", SPI_execute("WITH x AS (SELECT 1 AS update) SELECT i FROM bgw_locked, x", false, 2));
}

static void probe_counts(void)
{
	tried("limits beyond 32 bits", limit_beyond_int);
	tried("fetches beyond 32 bits", fetch_beyond_int);
	tried("a cursor of no rows", cursor_of_no_rows);
	tried("several statements", several);
	tried("several commands", several_by_plan);
	tried("commit, atomic", commit_atomic);
	tried("rollback, atomic", rollback_atomic);
	tried("commit within a subtransaction", commit_within);
	tried("show, read only", show_read_only);
	tried("for update, read only", for_update);
	tried("with, for update", with_for_update);
}

static void probe_unconnected(void)
{
	begin();
	far = SPI_cursor_open_with_args("stays", "SELECT generate_series(1, 9)", 0, NULL, NULL, NULL, true, 0);
	SPI_finish();
	probe_error("fetch, not connected", fetch_unconnected);
	SPI_connect();
	far = SPI_cursor_find("stays");
	saw("stays", "%d", far != NULL);
	SPI_cursor_fetch(far, true, 2);
	result("fetch, connected again", 0);
	commit();
}

static const char *const edges[] = {
	"'7.038531e-26'::float4", "'1.17549435e-38'::float4", "'3.4028235e38'::float4", "'1e-45'::float4", "'16777217'::float4",
	"'-0'::float4", "'NaN'::float4", "'5e-324'::float8", "'1.7976931348623157e308'::float8", "'-0'::float8", "'0.3'::float4",
	"'9007199254740993'::float8", "0.1::float8 + 0.2::float8", "(1.0/3)::float4", "'2.2250738585072014e-308'::float8",
	"'5874897-12-31'::date", "'4714-11-24 BC'::date", "'0001-01-01'::date", "'0001-12-31 BC'::date", "'1900-02-28'::date",
	"'1600-02-29'::date", "'-infinity'::timestamptz", "'294276-12-31 23:59:59.999999'::timestamp", "'4714-11-24 00:00:00 BC'::timestamp",
	"'1999-12-31 23:59:59.000001'::timestamp", "'0001-01-01 00:00:00+00'::timestamptz", "'24:00:00'::time", "'00:00:00.000001'::time",
	"'xx' || repeat('\303\244\342\202\254\360\237\230\200', 700)", "'\303\244'::char(3)", "E'a\\nb\\tc\\\\d\\'e'::text",
	"array_fill(7, ARRAY[1,2,1,2,1,2])", "array_fill('x'::text, ARRAY[2,1,2,1,1,1], ARRAY[-5,0,1,2,3,4])", "'{}'::text[]",
	"'{{NULL,NULL},{NULL,NULL}}'::text[]", "array_fill(NULL::int8, ARRAY[17])", "array_fill(true, ARRAY[9])",
	"ARRAY[E'\\\\', E'\"', 'nUlL', E'\\n', '\303\244', '{', '}']", "'[2147483645:2147483646]={1,2}'::int4[]",
	"'[-2147483648:-2147483647]={1,2}'::int4[]", "ARRAY['\\x'::bytea, '\\x00', '\\x5c']",
	"repeat('x', 100000)::bytea", "'0.' || repeat('0', 3000) || '1'", "('1e-16383')::numeric", "('1e131071')::numeric",
	"('9.' || repeat('9', 16383))::numeric", "1e-4::numeric", "'0e-16383'::numeric", "'12345678901234567890'::numeric(30,10)",
	"'-9223372036854775808'::numeric", "'(4294967295,65535)'::tid", "'FFFFFFFF/FFFFFFFF'::pg_lsn", "'0/0'::pg_lsn",
	"'4294967295'::xid", "'18446744073709551615'::xid8", "E'\\001'::\"char\"", "''::\"char\"", "repeat('n', 63)::name", "''::name",
	"''::char(5)", "''::varchar", "row_number() OVER ()", "NULL::text[]", "'00000000-0000-0000-0000-000000000000'::uuid",
};

static void again(const char *expression)
{
	bool isnull;
	Oid type;
	Datum v;
	char null;

	SPI_execute(psprintf("SELECT %s", expression), true, 0);
	type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
	v = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	null = isnull ? 'n' : ' ';
	SPI_execute_with_args(psprintf("SELECT md5($1::text), $1 IS NOT DISTINCT FROM %s", expression), 1, &type, &v, &null, true, 0);
	saw(expression, "%s %s", isnull ? "null" : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
	    SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
}

static const char *word;

static Datum in(PGFunction function)
{
	return DirectFunctionCall3(function, CStringGetDatum(word), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

#define TRY(name, function, format, get)                  \
	static void name(void)                            \
	{                                                 \
		saw(#function, "%s: " format, word, get(in(function))); \
	}
#define REAL(d) ((double)DatumGetFloat4(d))
#define NUMBER(d) DatumGetCString(DirectFunctionCall1(numeric_out, d))
#define NAME(d) NameStr(*DatumGetName(d))
#define UUID(d) DatumGetCString(DirectFunctionCall1(uuid_out, d))

TRY(try_float4, float4in, "%.9g", REAL)
TRY(try_float8, float8in, "%.17g", DatumGetFloat8)
TRY(try_numeric, numeric_in, "%.40s", NUMBER)
TRY(try_bool, boolin, "%d", DatumGetBool)
TRY(try_oid, oidin, "%u", DatumGetObjectId)
TRY(try_int4, int4in, "%d", DatumGetInt32)
TRY(try_name, namein, "%s", NAME)
TRY(try_uuid, uuid_in, "%s", UUID)

static void try_to_float8(void)
{
	saw("numeric_float8", "%s: %.17g", word, DatumGetFloat8(DirectFunctionCall1(numeric_float8, in(numeric_in))));
}

static void try_to_float4(void)
{
	saw("numeric_float4", "%s: %.9g", word, DatumGetFloat4(DirectFunctionCall1(numeric_float4, in(numeric_in))));
}

static void each(void (*try)(void), const char *const *words)
{
	for (; *words; words++) {
		word = *words;
		tried(word, try);
	}
}

static void probe_words(void)
{
	static const char *const reals[] = { "1.5", " 1.5 ", "1.5x", "", "  ", "1e400", "-1e400", "1e-400", "1e39", "1e-50", "7.038531e-26", "inf",
					     "-Infinity", "nan", "0x10", "1e", "infinityx", "+inf", NULL };
	static const char *const numbers[] = { "0e200000", "0e-20000", "1e-16384", "1e131072", "1e400", "1e-400", "1e39", "00000.1000", "1.e5", "e5",
					       "+NaN", "NaN", "Infinity", "1 2", "1e2147483648", "1e-2147483648", NULL };
	static const char *const integers[] = { "12", " 12 ", "+12", "-1", "4294967295", "4294967296", "2147483648", "", "-", "1.0", "12\v", NULL };
	static const char *const bools[] = { "t", " true ", "of", "o", "1", "01", "", "YES", "ye ", NULL };
	static const char *const uuids[] = { "00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff0011", "{00112233-4455-6677-8899-aabbccddeeff}",
					     "0-0", "00112233-4455-6677-8899-aabbccddeef", NULL };

	static const char *const names[] = { "", "a name", "\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244"
					     "\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244"
					     "\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244"
					     "\303\244\303\244\303\244", NULL };

	each(try_name, names);
	each(try_float4, reals);
	each(try_float8, reals);
	each(try_numeric, numbers);
	each(try_to_float8, numbers);
	each(try_to_float4, numbers);
	each(try_int4, integers);
	each(try_oid, integers);
	each(try_bool, bools);
	each(try_uuid, uuids);
}

void probe_edges(void)
{
	probe_unconnected();
	begin();
	SPI_execute("SET LOCAL TimeZone TO 'UTC'", false, 0);
	probe_counts();
	for (int i = 0; i < (int)lengthof(edges); i++) {
		look(edges[i]);
		again(edges[i]);
	}
	probe_words();
	commit();
}
