/*
 * The Server Programming Interface over the worker's session: connecting, and
 * running a text.
 *
 * A text goes to the server as it is, by the simple protocol, and may hold several
 * statements. What SPI refuses in the server is refused here before anything
 * is sent: transaction commands, COPY from and to the client, and writing where the caller
 * asked for reading only.
 */
#include "internal.h"

#include "access/xact.h"

#include "connection.h"
#include "spi.h"

enum { LEVELS_MAX = 64 };

uint64 SPI_processed;
SPITupleTable *SPI_tuptable;
int SPI_result;

static struct level levels[LEVELS_MAX] RARE;
static int depth; /* open levels */

struct level *spi_level(void)
{
	return depth > 0 ? &levels[depth - 1] : NULL;
}

int SPI_connect(void)
{
	return SPI_connect_ext(0);
}

int SPI_connect_ext(int options)
{
	struct level *l;

	if (depth == LEVELS_MAX)
		elog(ERROR, "too many levels of SPI_connect");
	l = &levels[depth];
	l->processed = SPI_processed;
	l->tuptable = SPI_tuptable;
	l->result = SPI_result;
	slist_init(&l->results);
	l->nesting = GetCurrentTransactionNestLevel() - 1;
	l->nonatomic = (options & SPI_OPT_NONATOMIC) != 0;
	l->tables = AllocSetContextCreate(TopTransactionContext ? TopTransactionContext : TopMemoryContext, "SPI Exec", ALLOCSET_DEFAULT_SIZES);
	l->procedure = AllocSetContextCreate(l->tables, "SPI Proc", ALLOCSET_DEFAULT_SIZES);
	l->outer = MemoryContextSwitchTo(l->procedure);
	depth++;
	SPI_processed = 0;
	SPI_tuptable = NULL;
	SPI_result = 0;
	return SPI_OK_CONNECT;
}

static void pop(void)
{
	struct level *l = &levels[--depth];

	SPI_processed = l->processed;
	SPI_tuptable = l->tuptable;
	SPI_result = l->result;
}

int SPI_finish(void)
{
	struct level *l = spi_level();

	if (!l)
		return SPI_ERROR_UNCONNECTED;
	MemoryContextSwitchTo(l->outer);
	MemoryContextDelete(l->tables);
	pop();
	return SPI_OK_FINISH;
}

/* The contexts go with the transaction that they hang under. */
void spi_transaction_ended(void)
{
	while (depth > 0)
		pop();
	SPI_processed = 0;
	SPI_tuptable = NULL;
}

/* Its sessions of SPI that were not finished end with it; where it was not rolled back, that is a mistake. */
void spi_subtransaction_ended(int nesting, bool commit)
{
	bool left = false;

	while (depth > 0 && levels[depth - 1].nesting >= nesting) {
		MemoryContextDelete(levels[depth - 1].tables);
		pop();
		left = true;
	}
	if (left && commit)
		ereport(WARNING, (errcode(ERRCODE_WARNING), errmsg("subtransaction left non-empty SPI stack"),
				  errhint("Check for missing \"SPI_finish\" calls.")));
	spi_tables_of_subtransaction(nesting, commit);
	spi_cursors_of_subtransaction(nesting, commit);
}

int spi_permit(const struct sql_facts *f, bool read_only, long tcount)
{
	if (f->copy)
		return SPI_ERROR_COPY;
	if (f->transaction)
		return SPI_ERROR_TRANSACTION;
	if (read_only && (f->writes || f->special[0]))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("%s is not allowed in a non-volatile function", f->writes ? f->writer : f->special)));
	if (tcount > 0 && f->returning)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a row limit on a statement with RETURNING exists only inside the PostgreSQL server")));
	return 0;
}

/* code_of names what ran, by its command tag; tuples says whether it brought rows. */
static int code_of(const PGresult *r, const struct sql_facts *f, bool tuples)
{
	const char *tag = PQcmdStatus(unconstify(PGresult *, r));

	if (PQresultStatus(r) == PGRES_EMPTY_QUERY)
		return SPI_OK_REWRITTEN;
	if (strncmp(tag, "SELECT", 6) == 0)
		return f->selects_into ? SPI_OK_SELINTO : tuples ? SPI_OK_SELECT : SPI_OK_UTILITY;
	if (strncmp(tag, "INSERT", 6) == 0)
		return tuples ? SPI_OK_INSERT_RETURNING : SPI_OK_INSERT;
	if (strncmp(tag, "UPDATE", 6) == 0)
		return tuples ? SPI_OK_UPDATE_RETURNING : SPI_OK_UPDATE;
	if (strncmp(tag, "DELETE", 6) == 0)
		return tuples ? SPI_OK_DELETE_RETURNING : SPI_OK_DELETE;
#ifdef SPI_OK_MERGE_RETURNING
	if (strncmp(tag, "MERGE", 5) == 0)
		return tuples ? SPI_OK_MERGE_RETURNING : SPI_OK_MERGE;
#elif defined SPI_OK_MERGE
	if (strncmp(tag, "MERGE", 5) == 0)
		return SPI_OK_MERGE;
#endif
	return SPI_OK_UTILITY;
}

int spi_take(const PGresult *r, const struct sql_facts *facts)
{
	bool tuples = PQresultStatus(r) == PGRES_TUPLES_OK;

	SPI_tuptable = tuples ? spi_table(r) : NULL;
	SPI_processed = tuples ? (uint64)PQntuples(r) : strtoull(PQcmdTuples(unconstify(PGresult *, r)), NULL, 10);
	return code_of(r, facts, tuples);
}

/* taken is spi_take that frees the result, also when it fails. */
static int taken(PGresult *r, const struct sql_facts *facts)
{
	volatile int code = 0;

	PG_TRY();
	{
		code = spi_take(r, facts);
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
	return code;
}

/* limited runs one reading statement through a cursor, for at most tcount rows. */
static int limited(const char *src, long tcount, int nargs, const Oid *types, const char *const *values, const struct sql_facts *facts)
{
	PGresult *r;
	int code;

	PQclear(connection_run(psprintf("DECLARE pgbgw_limited NO SCROLL CURSOR FOR %s", src), nargs, types, values));
	r = connection_run(psprintf("FETCH FORWARD %ld FROM pgbgw_limited", tcount), -1, NULL, NULL);
	code = taken(r, facts);
	connection_command("CLOSE pgbgw_limited");
	return code == SPI_OK_UTILITY ? SPI_OK_SELECT : code;
}

static bool can_be_cursor(const struct sql_facts *f)
{
	return f->statements == 1 && !f->writes && sql_is_query(f);
}

/* run is every execution of a text; nargs -1 is without parameters. */
static int run(const char *src, bool read_only, long tcount, int nargs, const Oid *types, const char *const *values)
{
	struct sql_facts facts;
	int code;

	if (!src || tcount < 0)
		return SPI_ERROR_ARGUMENT;
	if (!spi_level())
		return SPI_ERROR_UNCONNECTED;
	SPI_processed = 0;
	SPI_tuptable = NULL;
	sql_look(src, &facts);
	if ((code = spi_permit(&facts, read_only, tcount)) < 0)
		return code;
	transaction_needed();
	if (tcount > 0 && tcount <= INT_MAX && can_be_cursor(&facts)) /* no result has more rows */
		return limited(src, tcount, nargs, types, values, &facts);
	return taken(connection_run(src, nargs, types, values), &facts);
}

int spi_run_outside(const char *src, int nargs, const Oid *types, const char *const *values)
{
	struct sql_facts facts;

	SPI_processed = 0;
	SPI_tuptable = NULL;
	sql_look(src, &facts);
	return taken(connection_run(src, nargs, types, values), &facts);
}

int SPI_execute(const char *src, bool read_only, long tcount)
{
	return run(src, read_only, tcount, -1, NULL, NULL);
}

int SPI_exec(const char *src, long tcount)
{
	return SPI_execute(src, false, tcount);
}

int SPI_execute_with_args(const char *src, int nargs, Oid *argtypes, Datum *Values, const char *Nulls, bool read_only, long tcount)
{
	if (!src || nargs < 0 || (nargs > 0 && (!argtypes || !Values)))
		return SPI_ERROR_PARAM;
	if (nargs == 0) /* it may be several statements */
		return SPI_execute(src, read_only, tcount);
	return run(src, read_only, tcount, nargs, argtypes, spi_parameters(nargs, argtypes, Values, Nulls));
}

/* check_may_end raises PostgreSQL's errors where a transaction may not end in the middle of SPI. */
static void check_may_end(const char *verb)
{
	const struct level *l = spi_level();

	if (!l || !l->nonatomic)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION), errmsg("invalid transaction termination")));
	if (IsSubTransaction())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION), errmsg("cannot %s while a subtransaction is active", verb)));
}

/* A transaction of the worker's own in the middle of SPI; results and cursors before it are gone. */
static void end_transaction(bool commit)
{
	MemoryContext outer = CurrentMemoryContext;

	check_may_end(commit ? "commit" : "roll back");
	transaction_needed();
	SPI_tuptable = NULL;
	connection_command(commit ? "COMMIT AND CHAIN" : "ROLLBACK AND CHAIN");
	spi_cursors_forget();
	MemoryContextSwitchTo(outer);
}

void SPI_start_transaction(void)
{
	/* The chain began it already. */
}

void SPI_commit(void)
{
	end_transaction(true);
}

void SPI_rollback(void)
{
	end_transaction(false);
}

void SPI_commit_and_chain(void)
{
	SPI_commit();
}

void SPI_rollback_and_chain(void)
{
	SPI_rollback();
}

const char *SPI_result_code_string(int code)
{
	static char text[64];
	static const struct {
		int code;
		const char *name;
	} names[] = {
#define NAME(c) { c, #c }
		NAME(SPI_ERROR_CONNECT), NAME(SPI_ERROR_COPY), NAME(SPI_ERROR_OPUNKNOWN), NAME(SPI_ERROR_UNCONNECTED),
		NAME(SPI_ERROR_ARGUMENT), NAME(SPI_ERROR_PARAM), NAME(SPI_ERROR_TRANSACTION), NAME(SPI_ERROR_NOATTRIBUTE),
		NAME(SPI_ERROR_NOOUTFUNC), NAME(SPI_ERROR_TYPUNKNOWN), NAME(SPI_ERROR_REL_DUPLICATE), NAME(SPI_ERROR_REL_NOT_FOUND),
		NAME(SPI_OK_CONNECT), NAME(SPI_OK_FINISH), NAME(SPI_OK_FETCH), NAME(SPI_OK_UTILITY), NAME(SPI_OK_SELECT),
		NAME(SPI_OK_SELINTO), NAME(SPI_OK_INSERT), NAME(SPI_OK_DELETE), NAME(SPI_OK_UPDATE), NAME(SPI_OK_CURSOR),
		NAME(SPI_OK_INSERT_RETURNING), NAME(SPI_OK_DELETE_RETURNING), NAME(SPI_OK_UPDATE_RETURNING), NAME(SPI_OK_REWRITTEN),
		NAME(SPI_OK_REL_REGISTER), NAME(SPI_OK_REL_UNREGISTER), NAME(SPI_OK_TD_REGISTER),
#ifdef SPI_OK_MERGE
		NAME(SPI_OK_MERGE),
#endif
#undef NAME
	};

	for (size_t i = 0; i < lengthof(names); i++)
		if (names[i].code == code)
			return names[i].name;
	snprintf(text, sizeof text, "Unrecognized SPI code %d", code);
	return text;
}
