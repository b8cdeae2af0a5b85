/*
 * A worker that writes into its extension's table at each turn, and one that
 * does its argument's number of turns and ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(guest_word);

void _PG_init(void);
extern PGDLLEXPORT void bgw_guest_main(Datum arg);

static char *word;
static HTAB *turns; /* by what was written */

struct turn {
	char word[NAMEDATALEN];
	int times;
};

/* In a backend: what the extension's SQL calls. */
Datum guest_word(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text("word"));
}

static void turn(void)
{
	struct turn *t;
	bool known;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute(psprintf("INSERT INTO guest_book (word) SELECT guest_word() || %s RETURNING word", quote_literal_cstr(word)), false, 0);
	t = hash_search(turns, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), HASH_ENTER, &known);
	t->times = known ? t->times + 1 : 1;
	elog(LOG, "bgw_guest: %s, %d times", t->word, t->times);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void bgw_guest_main(Datum arg)
{
	HASHCTL info = { .keysize = NAMEDATALEN, .entrysize = sizeof(struct turn) };

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection("postgres", NULL, 0);
	turns = hash_create("turns", 8, &info, HASH_ELEM | HASH_STRINGS);
	for (int n = 1;; n++) { /* one at least, however soon it is told to end */
		turn();
		if (ShutdownRequestPending || n == DatumGetInt32(arg))
			return;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 500, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void _PG_init(void)
{
	BackgroundWorker w = { .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
			       .bgw_start_time = BgWorkerStart_RecoveryFinished, .bgw_restart_time = 5 };

	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomStringVariable("bgw_guest.word", "What follows the extension's word.", NULL, &word, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	strlcpy(w.bgw_name, "bgw_guest", BGW_MAXLEN);
	strlcpy(w.bgw_type, "bgw_guest", BGW_MAXLEN);
	strlcpy(w.bgw_library_name, "bgw_guest", BGW_MAXLEN);
	strlcpy(w.bgw_function_name, "bgw_guest_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&w);
}
