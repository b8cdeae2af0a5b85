/*
 * The worker that sums: it adds the rows of kind "delta" to the one of kind
 * "total", in its own table, every naptime.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

static void begin(const char *doing)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, doing);
}

static void commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void make_table(const char *schema)
{
	StringInfoData sql;
	bool isnull;

	begin("looking for the table");
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", quote_literal_cstr(schema));
	if (SPI_execute(sql.data, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(FATAL, "cannot look for schema %s", schema);
	if (DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) == 0) {
		resetStringInfo(&sql);
		appendStringInfo(&sql, "CREATE SCHEMA %s CREATE TABLE counted (kind text CHECK (kind IN ('total', 'delta')), value integer)",
				 quote_identifier(schema));
		if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
			elog(FATAL, "cannot make schema %s", schema);
	}
	commit();
}

static void sum(const char *sql)
{
	bool isnull;

	begin(sql);
	if (SPI_execute(sql, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(FATAL, "cannot sum");
	if (SPI_processed > 0)
		elog(LOG, "%s: the total is %d", MyBgworkerEntry->bgw_name,
		     DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)));
	commit();
}

void bgw_spi_sum_main(Datum arg)
{
	char *schema = psprintf("Sum %d", DatumGetInt32(arg));
	StringInfoData sql;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(bgw_spi_database, bgw_spi_role, 0);
	make_table(schema);
	initStringInfo(&sql);
	appendStringInfo(&sql, "WITH deltas AS (DELETE FROM %1$s.counted WHERE kind = 'delta' RETURNING value), "
			       "added AS (SELECT coalesce(sum(value), 0) AS value FROM deltas) "
			       "UPDATE %1$s.counted SET value = counted.value + added.value FROM added WHERE kind = 'total' RETURNING counted.value",
			 quote_identifier(schema));
	elog(LOG, "%s is ready", MyBgworkerEntry->bgw_name);
	for (;;) {
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, bgw_spi_naptime * 1000L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending) {
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		sum(sql.data);
	}
}
