/*
 * The probe: what it sees goes to the table "observed", row by row in the order
 * of looking, in the database where it runs.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

static List *subjects, *values;

void saw(const char *subject, const char *format, ...)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	StringInfoData text;

	initStringInfo(&text);
	for (;;) {
		va_list args;
		int more;

		va_start(args, format);
		more = appendStringInfoVA(&text, format, args);
		va_end(args);
		if (more == 0)
			break;
		enlargeStringInfo(&text, more);
	}
	elog(DEBUG1, "%s: %s", subject, text.data);
	subjects = lappend(subjects, pstrdup(subject));
	values = lappend(values, text.data);
	MemoryContextSwitchTo(old);
}

void write_down(void)
{
	Oid types[3] = { INT4OID, TEXTOID, TEXTOID };
	SPIPlanPtr plan;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	plan = SPI_prepare("INSERT INTO observed (n, subject, value) VALUES ($1, $2, $3)", 3, types);
	for (int i = 0; i < list_length(subjects); i++) {
		Datum row[3] = { Int32GetDatum(i), CStringGetTextDatum(list_nth(subjects, i)), CStringGetTextDatum(list_nth(values, i)) };

		SPI_execute_plan(plan, row, NULL, false, 0);
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void bgw_spi_probe_main(Datum arg)
{
	probe_process();
	BackgroundWorkerUnblockSignals();
	saw("argument", UINT64_FORMAT, DatumGetUInt64(arg));
	probe_memory();
	probe_strings();
	probe_parameters();
	BackgroundWorkerInitializeConnection(bgw_spi_database, bgw_spi_role, 0);
	probe_neighbours();
	probe_errors();
	probe_spi();
	probe_cursors();
	probe_transactions();
	probe_aborts();
	probe_types();
	probe_values();
	probe_enums();
	probe_edges();
	probe_tables();
	probe_procedures();
	saw("end", "-");
	write_down();
	proc_exit(0);
}

/* The second probe: other workers, and what is shared with them. */
void bgw_spi_shared_main(Datum arg)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(bgw_spi_database, bgw_spi_role, 0);
	probe_workers();
	probe_segments();
	probe_areas();
	probe_named();
	probe_queues();
	probe_together();
	probe_rows();
	saw("end", "-");
	write_down();
	proc_exit(0);
}
