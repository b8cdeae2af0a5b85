/*
 * SPI: result codes, rows, plans, limits, cursors, and transactions.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
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

static void run(const char *sql, bool read_only, long limit)
{
	int code = SPI_execute(sql, read_only, limit);

	saw(sql, "%s " UINT64_FORMAT " %d", SPI_result_code_string(code), SPI_processed, SPI_tuptable ? (int)SPI_tuptable->numvals : -1);
}

static const char *const statements[] = {
	"CREATE TABLE probe_rows (n integer, word text)",
	"INSERT INTO probe_rows SELECT i, 'row ' || i FROM generate_series(1, 10) i",
	"INSERT INTO probe_rows VALUES (11, 'eleven') RETURNING n",
	"UPDATE probe_rows SET word = upper(word) WHERE n > 9",
	"UPDATE probe_rows SET word = word WHERE n < 4 RETURNING word",
	"DELETE FROM probe_rows WHERE n = 1",
	"DELETE FROM probe_rows WHERE n = 2 RETURNING *",
	"SELECT * FROM probe_rows",
	"SELECT * FROM probe_rows WHERE false",
	"SELECT * INTO probe_copy FROM probe_rows",
	"CREATE TABLE probe_copy2 AS SELECT * FROM probe_rows",
	"SELECT 1; SELECT 2 UNION SELECT 3",
	"WITH x AS (DELETE FROM probe_copy RETURNING n) SELECT count(*) FROM x",
	"COPY probe_rows TO STDOUT",
	"BEGIN",
	"COMMIT",
	"SAVEPOINT s",
	"-- nothing but a comment",
	"",
	"EXPLAIN (COSTS OFF) SELECT 1",
	"VALUES (1), (2), (3)",
	"TRUNCATE probe_copy2",
	"CREATE FUNCTION probe_body(n integer) RETURNS integer BEGIN ATOMIC SELECT 1; SELECT CASE WHEN n > 1 THEN 2 ELSE 3 END; END",
	"CREATE OR REPLACE PROCEDURE probe_body() BEGIN ATOMIC SELECT 1; END; SELECT probe_body(2)",
};

static void probe_statements(void)
{
	for (int i = 0; i < (int)lengthof(statements); i++)
		run(statements[i], false, 0);
	run("SELECT * FROM probe_rows ORDER BY n", false, 3);
	run("SELECT * FROM probe_rows ORDER BY n", false, 100);
	run("INSERT INTO probe_copy2 SELECT * FROM probe_rows", false, 2);
	saw("no text", "%s", SPI_result_code_string(SPI_execute(NULL, false, 0)));
	saw("negative limit", "%s", SPI_result_code_string(SPI_execute("SELECT 1", false, -1)));
}

static void probe_read_only(void)
{
	static const char *const refused[] = { "INSERT INTO probe_rows VALUES (99, 'x')", "CREATE TABLE probe_never ()" };

	for (int i = 0; i < (int)lengthof(refused); i++) {
		MemoryContext context = CurrentMemoryContext;

		BeginInternalSubTransaction(NULL);
		PG_TRY();
		{
			SPI_execute(refused[i], true, 0);
			saw(refused[i], "was run");
			ReleaseCurrentSubTransaction();
		}
		PG_CATCH();
		{
			ErrorData *e;

			MemoryContextSwitchTo(context);
			e = CopyErrorData();
			FlushErrorState();
			RollbackAndReleaseCurrentSubTransaction();
			MemoryContextSwitchTo(context);
			saw(refused[i], "%s %s", unpack_sql_state(e->sqlerrcode), e->message);
		}
		PG_END_TRY();
	}
}

static void probe_tuples(void)
{
	HeapTuple copy;
	TupleDesc d;
	bool isnull;

	SPI_execute("SELECT n, word, NULL::text AS nothing, n::bigint * 1000000000 AS \"Big\" FROM probe_rows ORDER BY n", false, 0);
	d = SPI_tuptable->tupdesc;
	saw("columns", "%d %d %d %d", d->natts, SPI_fnumber(d, "word"), SPI_fnumber(d, "Big"), SPI_fnumber(d, "none"));
	saw("names", "%s %s", SPI_fname(d, 1), SPI_fname(d, 4));
	saw("no such column", "%d", SPI_fname(d, 9) == NULL);
	saw("why", "%s", SPI_result_code_string(SPI_result));
	saw("types", "%s %s %u %u", SPI_gettype(d, 1), SPI_gettype(d, 2), SPI_gettypeid(d, 3), SPI_gettypeid(d, 4));
	for (int i = 0; i < (int)SPI_tuptable->numvals; i++) {
		HeapTuple t = SPI_tuptable->vals[i];
		int n = DatumGetInt32(SPI_getbinval(t, d, 1, &isnull));
		char *word = TextDatumGetCString(SPI_getbinval(t, d, 2, &isnull)), *nothing = SPI_getvalue(t, d, 3);
		int64 big = DatumGetInt64(SPI_getbinval(t, d, 4, &isnull));

		saw("row", "%d %s %s " INT64_FORMAT " %s", n, word, nothing ? nothing : "null", big, SPI_getvalue(t, d, 4));
	}
	SPI_getbinval(SPI_tuptable->vals[0], d, 3, &isnull);
	saw("null", "%d", isnull);
	copy = SPI_copytuple(SPI_tuptable->vals[1]);
	d = CreateTupleDescCopy(d);
	SPI_freetuptable(SPI_tuptable);
	saw("copied row", "%s", SPI_getvalue(copy, d, 2));
	SPI_freetuple(copy);
}

static SPIPlanPtr kept;

static void probe_plans(void)
{
	Oid types[2] = { INT4OID, TEXTOID };
	Datum args[2] = { Int32GetDatum(5), CStringGetTextDatum("row 6") };
	SPIPlanPtr plan = SPI_prepare("SELECT word FROM probe_rows WHERE n = $1 OR word = $2 ORDER BY n", 2, types);
	int code;

	saw("plan", "%d %u %u %d %d", SPI_getargcount(plan), SPI_getargtypeid(plan, 0), SPI_getargtypeid(plan, 1),
	    SPI_is_cursor_plan(plan), SPI_plan_is_valid(plan));
	code = SPI_execute_plan(plan, args, NULL, false, 0);
	saw("execute", "%s " UINT64_FORMAT, SPI_result_code_string(code), SPI_processed);
	code = SPI_execute_plan(plan, args, " n", false, 0);
	saw("with a null", "%s " UINT64_FORMAT, SPI_result_code_string(code), SPI_processed);
	code = SPI_execute_plan(plan, args, NULL, false, 1);
	saw("with a limit", "%s " UINT64_FORMAT, SPI_result_code_string(code), SPI_processed);
	saw("no arguments", "%s", SPI_result_code_string(SPI_execute_plan(plan, NULL, NULL, true, 0)));
	saw("no plan", "%s", SPI_result_code_string(SPI_execute_plan(NULL, args, NULL, true, 0)));
	code = SPI_execute_with_args("INSERT INTO probe_rows VALUES ($1, $2)", 2, types, args, NULL, false, 0);
	saw("execute_with_args", "%s " UINT64_FORMAT, SPI_result_code_string(code), SPI_processed);
	saw("keep", "%d %d", SPI_keepplan(plan), SPI_keepplan(plan) < 0);
	kept = plan;
	plan = SPI_prepare("UPDATE probe_rows SET word = 'changed' WHERE n = 3", 0, NULL);
	saw("update plan", "%d %s", SPI_is_cursor_plan(plan), SPI_result_code_string(SPI_execp(plan, NULL, NULL, 0)));
	saw("free", "%d", SPI_freeplan(plan));
}

static void probe_kept(void)
{
	Datum args[2] = { Int32GetDatum(4), CStringGetTextDatum("nothing") };

	saw("kept plan", "%s " UINT64_FORMAT, SPI_result_code_string(SPI_execute_plan(kept, args, NULL, false, 0)), SPI_processed);
	saw("free kept", "%d", SPI_freeplan(kept));
}

static void probe_levels(void)
{
	SPI_execute("SELECT 1 UNION SELECT 2", true, 0);
	SPI_connect();
	saw("inner level", UINT64_FORMAT " %d", SPI_processed, SPI_tuptable == NULL);
	SPI_execute("SELECT 3", true, 0);
	SPI_finish();
	saw("outer level", UINT64_FORMAT " %d", SPI_processed, (int)SPI_tuptable->numvals);
}

void probe_spi(void)
{
	saw("unconnected", "%s %s", SPI_result_code_string(SPI_execute("SELECT 1", true, 0)), SPI_result_code_string(SPI_finish()));
	begin();
	probe_statements();
	probe_read_only();
	probe_tuples();
	probe_plans();
	probe_levels();
	commit();
	begin();
	probe_kept();
	commit();
}

static void fetched(const char *subject)
{
	saw(subject, UINT64_FORMAT " %s %s", SPI_processed, SPI_processed ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : "-",
	    SPI_processed ? SPI_getvalue(SPI_tuptable->vals[SPI_processed - 1], SPI_tuptable->tupdesc, 1) : "-");
}

void probe_cursors(void)
{
	Oid type = INT4OID;
	Datum arg = Int32GetDatum(20);
	SPIPlanPtr plan;
	Portal p, q;

	begin();
	plan = SPI_prepare_cursor("SELECT i FROM generate_series(1, $1) i", 1, &type, CURSOR_OPT_SCROLL);
	p = SPI_cursor_open("Probe cursor", plan, &arg, NULL, true);
	saw("cursor", "%s %d", p->name, SPI_cursor_find("Probe cursor") == p);
	SPI_cursor_fetch(p, true, 5);
	fetched("fetch");
	SPI_cursor_move(p, true, 5);
	saw("move", UINT64_FORMAT, SPI_processed);
	SPI_cursor_fetch(p, true, 3);
	fetched("fetch on");
	SPI_cursor_fetch(p, false, 2);
	fetched("fetch back");
	SPI_scroll_cursor_fetch(p, FETCH_ABSOLUTE, 18);
	fetched("absolute");
	SPI_cursor_fetch(p, true, FETCH_ALL);
	fetched("the rest");
	SPI_cursor_fetch(p, true, 1);
	fetched("beyond");
	q = SPI_cursor_open_with_args(NULL, "SELECT 'word'::text", 0, NULL, NULL, NULL, true, 0);
	SPI_cursor_fetch(q, true, 10);
	fetched("unnamed");
	SPI_cursor_close(q);
	SPI_cursor_close(p);
	saw("closed", "%d", SPI_cursor_find("Probe cursor") == NULL);
	commit();
}

static int events;

static void on_event(XactEvent event, void *arg)
{
	events = events * 10 + (int)event;
}

static void count_rows(const char *subject)
{
	begin();
	SPI_execute("SELECT word FROM probe_words ORDER BY word", true, 0);
	saw(subject, UINT64_FORMAT " %s", SPI_processed, SPI_processed ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : "-");
	commit();
}

static void probe_subtransactions(void)
{
	MemoryContext context = CurrentMemoryContext;

	BeginInternalSubTransaction("named");
	saw("level", "%d", GetCurrentTransactionNestLevel());
	SPI_execute("INSERT INTO probe_words VALUES ('of a released one')", false, 0);
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	BeginInternalSubTransaction(NULL);
	SPI_execute("INSERT INTO probe_words VALUES ('of one rolled back')", false, 0);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	saw("level after", "%d", GetCurrentTransactionNestLevel());
}

void probe_transactions(void)
{
	saw("before", "%d %d", IsTransactionState(), GetCurrentTransactionNestLevel());
	begin();
	saw("within", "%d %d", IsTransactionState(), GetCurrentTransactionNestLevel());
	SPI_execute("CREATE TABLE probe_words (word text)", false, 0);
	probe_subtransactions();
	commit();
	count_rows("committed");
	RegisterXactCallback(on_event, NULL);
	begin();
	SPI_execute("DELETE FROM probe_words", false, 0);
	SPI_finish();
	PopActiveSnapshot();
	AbortCurrentTransaction();
	saw("after abort", "%d", IsTransactionState());
	count_rows("aborted");
	UnregisterXactCallback(on_event, NULL);
	saw("events", "%d", events);
	begin();
	SPI_execute("SELECT now() = transaction_timestamp()", true, 0);
	saw("now", "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	commit();
}
