/*
 * Errors: raised, caught, copied, rethrown, and those that the server raises.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* caught takes the error off and notes it; called in PG_CATCH. */
static void caught(const char *subject, MemoryContext context)
{
	ErrorData *e;

	MemoryContextSwitchTo(context);
	e = CopyErrorData();
	FlushErrorState();
	saw(subject, "%d %s|%s|%s|%s|%s", e->elevel, unpack_sql_state(e->sqlerrcode), e->message, e->detail ? e->detail : "-",
	    e->hint ? e->hint : "-", e->context ? e->context : "-");
	FreeErrorData(e);
}

static void in_context(void *arg)
{
	errcontext("within %s", (const char *)arg);
}

static void raise_in_context(void)
{
	ErrorContextCallback outer = { .callback = in_context, .arg = "the outer" }, inner = { .callback = in_context, .arg = "the inner" };

	outer.previous = error_context_stack;
	inner.previous = &outer;
	error_context_stack = &inner;
	ereport(ERROR, (errcode(ERRCODE_DIVISION_BY_ZERO), errmsg("no %s", "way"), errdetail("d%d", 1), errhint("h")));
}

static void probe_own(MemoryContext context)
{
	volatile int finally = 0;

	PG_TRY();
	{
		raise_in_context();
	}
	PG_CATCH();
	{
		caught("ereport", context);
	}
	PG_END_TRY();
	PG_TRY();
	{
		PG_TRY();
		{
			elog(ERROR, "first of %d", 2);
		}
		PG_CATCH();
		{
			finally++;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	PG_CATCH();
	{
		caught("rethrown", context);
	}
	PG_END_TRY();
	PG_TRY();
	{
		PG_TRY();
		{
			elog(ERROR, "finally");
		}
		PG_FINALLY();
		{
			finally++;
		}
		PG_END_TRY();
	}
	PG_CATCH();
	{
		caught("after finally", context);
	}
	PG_END_TRY();
	saw("finally", "%d %d", finally, error_context_stack == NULL);
}

static void probe_file(MemoryContext context)
{
	PG_TRY();
	{
		errno = EACCES;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open: %m")));
	}
	PG_CATCH();
	{
		caught("file access", context);
	}
	PG_END_TRY();
	PG_TRY();
	{
		ereport(ERROR, (errmsg_plural("%d row", "%d rows", 3, 3), errdetail_plural("one", "many", 1)));
	}
	PG_CATCH();
	{
		caught("plural", context);
	}
	PG_END_TRY();
	saw("levels", "%d %d", message_level_is_interesting(DEBUG5), message_level_is_interesting(ERROR));
}

/* Each of these is run in a subtransaction of its own. */
static const char *const failing[] = {
	"SELECT 1/0",
	"SELECT * FROM no_such_table",
	"SELEC 1",
	"INSERT INTO probe_strict (id, word) VALUES (1, 'again')",
	"INSERT INTO probe_strict (id, word) VALUES (3, NULL)",
	"INSERT INTO probe_strict (id, word) VALUES (-3, 'x')",
	"SELECT 'x'::integer",
	"DO $$ BEGIN RAISE EXCEPTION 'from a block' USING ERRCODE = 'AB123', DETAIL = 'its detail', HINT = 'its hint'; END $$",
};

static void run_failing(const char *sql, MemoryContext context)
{
	volatile bool failed = false;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		SPI_execute(sql, false, 0);
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
		saw(sql, "%s|%s|%s|%s|%s", unpack_sql_state(e->sqlerrcode), e->message, e->detail ? e->detail : "-", e->hint ? e->hint : "-",
		    e->constraint_name ? e->constraint_name : "-");
		failed = true;
	}
	PG_END_TRY();
	saw("it failed", "%d", failed);
}

void probe_errors(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "errors", ALLOCSET_DEFAULT_SIZES);

	probe_own(context);
	probe_file(context);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute("CREATE TABLE probe_strict (id integer PRIMARY KEY CHECK (id > 0), word text NOT NULL)", false, 0);
	SPI_execute("INSERT INTO probe_strict VALUES (1, 'one'), (2, 'two')", false, 0);
	for (int i = 0; i < (int)lengthof(failing); i++)
		run_failing(failing[i], context);
	SPI_execute("SELECT id FROM probe_strict", false, 0);
	saw("rows after the failures", UINT64_FORMAT, SPI_processed);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
}
