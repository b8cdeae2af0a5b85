/*
 * What is left of SPI when a subtransaction, or all of the transaction, is rolled
 * back: sessions of SPI, cursors, and a request to cancel that came at that time.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

static void begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* rolled_back runs try in a subtransaction, which is rolled back whatever it comes to. */
static void rolled_back(void (*try)(void))
{
	MemoryContext context = CurrentMemoryContext;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		try();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
}

static void fail_connected(void)
{
	SPI_connect();
	SPI_execute("SELECT 1 / 0", true, 0);
}

static void fail_connected_twice(void)
{
	SPI_connect();
	SPI_execute("SELECT 3", true, 0);
	fail_connected();
}

/* The sessions of SPI that a subtransaction began end with it, and no other. */
static void probe_sessions(void)
{
	begin();
	SPI_execute("SELECT 1 UNION SELECT 2", true, 0);
	rolled_back(fail_connected);
	saw("outer rows", UINT64_FORMAT " %d", SPI_processed, SPI_tuptable ? (int)SPI_tuptable->numvals : -1);
	rolled_back(fail_connected_twice);
	saw("outer rows", UINT64_FORMAT " %d", SPI_processed, SPI_tuptable ? (int)SPI_tuptable->numvals : -1);
	saw("outer session", "%s", SPI_result_code_string(SPI_execute("SELECT 4", true, 0)));
	saw("its end", "%s", SPI_result_code_string(SPI_finish()));
	saw("no other", "%s", SPI_result_code_string(SPI_finish()));
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void select_five(void)
{
	SPI_execute("SELECT 5", true, 0);
}

/* Who frees rows twice, or those of another session, is told so, and nothing else comes of it. */
static void probe_rows_of(void)
{
	MemoryContext context = CurrentMemoryContext;
	SPITupleTable *outer, *released;

	begin();
	SPI_execute("SELECT 1 UNION SELECT 2", true, 0);
	outer = SPI_tuptable;
	rolled_back(select_five);
	saw("rows of one rolled back", "%d", SPI_tuptable != NULL);
	BeginInternalSubTransaction(NULL);
	select_five();
	released = SPI_tuptable;
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	rolled_back(select_five);
	saw("rows of one released", "%s", SPI_getvalue(released->vals[0], released->tupdesc, 1));
	SPI_connect();
	SPI_freetuptable(outer);
	SPI_finish();
	saw("outer rows", "%d", (int)outer->numvals);
	SPI_freetuptable(outer);
	SPI_freetuptable(outer);
	select_five();
	saw("after all that", "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static Portal new_cursor(const char *name, const char *sql)
{
	return SPI_cursor_open_with_args(name, sql, 0, NULL, NULL, NULL, true, 0);
}

static void open_inner(void)
{
	new_cursor("inner", "SELECT 'inner'");
}

static void open_wrong(void)
{
	new_cursor("wrong", "SELECT * FROM no_such_table");
}

static void open_in_released(void)
{
	MemoryContext context = CurrentMemoryContext;

	BeginInternalSubTransaction(NULL);
	new_cursor("released", "SELECT 'released'");
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	saw("of a released one", "%d", SPI_cursor_find("released") != NULL);
}

static void fetch(const char *name)
{
	SPI_cursor_fetch(SPI_cursor_find(name), true, 1);
	saw(name, "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_cursor_close(SPI_cursor_find(name));
}

/* A cursor lives as long as the subtransaction that opened it, or that one's parent, to which it was released. */
static void probe_cursors_of(void)
{
	begin();
	new_cursor("outer", "SELECT 'outer'");
	rolled_back(open_inner);
	saw("of one rolled back", "%d", SPI_cursor_find("inner") != NULL);
	new_cursor("inner", "SELECT 'again'");
	fetch("inner");
	rolled_back(open_wrong);
	saw("that was not opened", "%d", SPI_cursor_find("wrong") != NULL);
	open_in_released();
	fetch("released");
	rolled_back(open_in_released);
	saw("released into one rolled back", "%d", SPI_cursor_find("released") != NULL);
	fetch("outer");
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* As the handler of SIGINT leaves them. */
static void ask_to_cancel(void)
{
	InterruptPending = QueryCancelPending = true;
}

static void take_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* Who rolls back has handled an error: a request to cancel waits until that is done. */
static void probe_cancel(void)
{
	begin();
	(void)SPI_prepare("SELECT 1", 0, NULL);
	rolled_back(ask_to_cancel);
	saw("level", "%d", GetCurrentTransactionNestLevel());
	probe_error("canceled after it", take_interrupts);
	SPI_execute("SELECT 2", true, 0);
	SPI_finish();
	PopActiveSnapshot();
	ask_to_cancel();
	AbortCurrentTransaction();
	saw("aborted", "%d", !IsTransactionState());
	probe_error("canceled after it", take_interrupts);
}

static void select_one(void)
{
	SPI_execute("SELECT 1", true, 0);
}

/* A parameter that was changed is seen by SQL, also when the first look at it was canceled. */
static void probe_parameter(void)
{
	SetConfigOption("bgw_spi.flag", "off", PGC_SIGHUP, PGC_S_SESSION);
	begin();
	ask_to_cancel();
	probe_error("canceled", select_one);
	SPI_finish();
	PopActiveSnapshot();
	AbortCurrentTransaction();
	begin();
	SPI_execute("SELECT current_setting('bgw_spi.flag')", true, 0);
	saw("flag", "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void probe_aborts(void)
{
	probe_sessions();
	probe_rows_of();
	probe_cursors_of();
	probe_cancel();
	probe_parameter();
}
