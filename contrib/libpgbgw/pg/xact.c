/*
 * Transactions: StartTransactionCommand and its family as real transactions of
 * the session, internal subtransactions as savepoints. The server's transaction
 * begins with the first query in it, so that a loop which finds nothing to do asks nothing.
 * A worker without a session has transactions too; they hold memory only.
 */
#include "internal.h"

#include "access/xact.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/snapmgr.h"

#include "connection.h"
#include "resowner.h"

int XactIsoLevel = XACT_READ_COMMITTED;
bool XactReadOnly;
bool XactDeferrable;

static bool in_transaction;
static bool begun;   /* in the server as well */
static int nesting;  /* of subtransactions */
static int active;   /* snapshots pushed */

struct callback {
	struct callback *next;
	XactCallback call;
	void *arg;
};
static struct callback *callbacks;

void RegisterXactCallback(XactCallback callback, void *arg)
{
	struct callback *c = MemoryContextAlloc(TopMemoryContext, sizeof *c);

	c->call = callback;
	c->arg = arg;
	c->next = callbacks;
	callbacks = c;
}

void UnregisterXactCallback(XactCallback callback, void *arg)
{
	for (struct callback **at = &callbacks; *at; at = &(*at)->next)
		if ((*at)->call == callback && (*at)->arg == arg) {
			struct callback *gone = *at;

			*at = gone->next;
			pfree(gone);
			return;
		}
}

static void call_back(XactEvent event)
{
	for (struct callback *c = callbacks, *next; c; c = next) {
		next = c->next; /* it may unregister itself */
		c->call(event, c->arg);
	}
}

void StartTransactionCommand(void)
{
	if (!in_transaction) {
		in_transaction = true;
		transaction_started();
		TopTransactionContext = AllocSetContextCreate(TopMemoryContext, "TopTransactionContext", ALLOCSET_DEFAULT_SIZES);
		CurTransactionContext = TopTransactionContext;
		transaction_owner_push();
	}
	MemoryContextSwitchTo(CurTransactionContext);
}

void transaction_needed(void)
{
	if (!in_transaction)
		ereport(ERROR, (errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
				errmsg("a query needs a transaction: StartTransactionCommand was not called")));
	if (begun)
		return;
	guc_session_tell();
	connection_command("BEGIN");
	begun = true;
}

static void forget(bool commit)
{
	while (TopTransactionResourceOwner)
		transaction_owner_pop(commit);
	in_transaction = begun = false;
	nesting = 0;
	active = 0;
	spi_transaction_ended();
	spi_cursors_forget();
	MemoryContextSwitchTo(TopMemoryContext);
	if (TopTransactionContext)
		MemoryContextDelete(TopTransactionContext);
	TopTransactionContext = CurTransactionContext = NULL;
}

/* COMMIT of a transaction that failed answers ROLLBACK: an error, as the module would think that it had committed. */
static void commit_in_server(void)
{
	PGresult *r = connection_run("COMMIT", -1, NULL, NULL);
	bool done = strcmp(PQcmdStatus(r), "COMMIT") == 0;

	begun = false;
	PQclear(r);
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION), errmsg("the transaction was rolled back: an error in it was not handled")));
}

static bool has_written(void)
{
	PGresult *r = connection_run("SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL", -1, NULL, NULL);
	bool written = PQntuples(r) == 1 && *PQgetvalue(r, 0, 0) == 't';

	PQclear(r);
	return written;
}

bool transaction_step_aside(void)
{
	if (!in_transaction || nesting > 0)
		return false;
	if (begun && has_written())
		return false;
	if (begun)
		commit_in_server();
	guc_session_tell();
	return true;
}

void CommitTransactionCommand(void)
{
	if (!in_transaction)
		elog(ERROR, "CommitTransactionCommand: unexpected state DEFAULT");
	if (nesting > 0) /* ended by its own functions */
		return;
	call_back(XACT_EVENT_PRE_COMMIT);
	if (begun)
		commit_in_server();
	call_back(XACT_EVENT_COMMIT);
	forget(true);
}

/* What a failed transaction may have held in shared memory. */
static void let_go(void)
{
	LWLockReleaseAll();
	(void)ConditionVariableCancelSleep();
}

void AbortCurrentTransaction(void)
{
	if (!in_transaction)
		return;
	let_go();
	call_back(XACT_EVENT_ABORT);
	InterruptHoldoffCount = 0;
	HOLD_CANCEL_INTERRUPTS(); /* who rolls back has no use for another error */
	if (begun && PQstatus(connection()) == CONNECTION_OK)
		connection_command("ROLLBACK");
	RESUME_CANCEL_INTERRUPTS();
	forget(false);
}

void AbortOutOfAnyTransaction(void)
{
	AbortCurrentTransaction();
}

bool IsTransactionState(void)
{
	return in_transaction && (!begun || PQtransactionStatus(connection()) != PQTRANS_INERROR);
}

bool IsTransactionOrTransactionBlock(void)
{
	return in_transaction;
}

bool IsTransactionBlock(void)
{
	return false;
}

bool IsAbortedTransactionBlockState(void)
{
	return in_transaction && begun && PQtransactionStatus(connection()) == PQTRANS_INERROR;
}

bool IsSubTransaction(void)
{
	return nesting > 0;
}

int GetCurrentTransactionNestLevel(void)
{
	return in_transaction ? nesting + 1 : 0;
}

SubTransactionId GetCurrentSubTransactionId(void)
{
	return (SubTransactionId)(TopSubTransactionId + nesting);
}

void CommandCounterIncrement(void)
{
}

static void savepoint(const char *command)
{
	connection_command(psprintf("%s pgbgw_%d", command, nesting));
}

void BeginInternalSubTransaction(const char *name)
{
	transaction_needed();
	nesting++;
	savepoint("SAVEPOINT");
	CurTransactionContext = AllocSetContextCreate(CurTransactionContext, "CurTransactionContext", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(CurTransactionContext);
	transaction_owner_push();
}

/* leave goes one level up; what the subtransaction allocated stays until the parent ends when keep is set. */
static void leave(bool keep)
{
	MemoryContext gone = CurTransactionContext;

	nesting--;
	transaction_owner_pop(keep);
	CurTransactionContext = MemoryContextGetParent(gone);
	MemoryContextSwitchTo(CurTransactionContext);
	if (!keep)
		MemoryContextDelete(gone);
}

void ReleaseCurrentSubTransaction(void)
{
	if (nesting == 0)
		elog(ERROR, "ReleaseCurrentSubTransaction: unexpected state STARTED");
	savepoint("RELEASE SAVEPOINT");
	MemoryContextSwitchTo(CurTransactionContext);
	spi_subtransaction_ended(nesting, true);
	leave(true);
}

void RollbackAndReleaseCurrentSubTransaction(void)
{
	if (nesting == 0)
		elog(FATAL, "RollbackAndReleaseCurrentSubTransaction: unexpected state STARTED");
	let_go();
	HOLD_CANCEL_INTERRUPTS();
	savepoint("ROLLBACK TO SAVEPOINT");
	savepoint("RELEASE SAVEPOINT");
	RESUME_CANCEL_INTERRUPTS();
	MemoryContextSwitchTo(CurTransactionContext);
	spi_subtransaction_ended(nesting, false);
	leave(false);
}

/*
 * A client cannot hold a snapshot of the server in its hands. What modules do
 * with one, take it and push it around a query, is done by the server itself.
 */
static SnapshotData snapshot = { .snapshot_type = SNAPSHOT_MVCC };

Snapshot GetTransactionSnapshot(void)
{
	return &snapshot;
}

Snapshot GetLatestSnapshot(void)
{
	return &snapshot;
}

Snapshot GetActiveSnapshot(void)
{
	return active ? &snapshot : NULL;
}

Snapshot RegisterSnapshot(Snapshot s)
{
	return s;
}

void UnregisterSnapshot(Snapshot s)
{
}

void PushActiveSnapshot(Snapshot s)
{
	active++;
}

void PopActiveSnapshot(void)
{
	if (active > 0)
		active--;
}

void UpdateActiveSnapshotCommandId(void)
{
}

bool ActiveSnapshotSet(void)
{
	return active > 0;
}

#if PG_VERSION_NUM < 180000
void InvalidateCatalogSnapshot(void)
{
}
#endif
