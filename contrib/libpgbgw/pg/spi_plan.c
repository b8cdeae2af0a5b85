/*
 * Plans: statements prepared in the session. A plan is prepared in the server
 * when it is made, so that its errors show there. One that was not
 * kept goes with the SPI level that made it.
 */
#include "internal.h"

#include "catalog/pg_type.h"

#include "connection.h"
#include "spi.h"
#include "types.h"

typedef struct _SPI_plan_of_session plan;

static unsigned made;

static plan *of(SPIPlanPtr p)
{
	return (plan *)p;
}

const char **spi_parameters(int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	const char **text = palloc(((Size)nargs + 1) * sizeof *text);

	for (int i = 0; i < nargs; i++) {
		const struct type *t = type_of(types[i]);

		bool null = nulls && nulls[i] == 'n';

		if (!null && !type_has_value(t))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("a parameter of the type with OID %u cannot be given outside the PostgreSQL server", types[i]),
					errhint("Give it as text, and cast it in the query.")));
		text[i] = null ? NULL : type_give(t, values[i]);
	}
	return text;
}

static void deallocate(void *arg)
{
	plan *p = arg;

	/* Within a failed transaction the server would refuse; the name is never used again. */
	if (p->prepared && connected() && PQtransactionStatus(connection()) != PQTRANS_INERROR &&
	    PQtransactionStatus(connection()) != PQTRANS_ACTIVE && PQstatus(connection()) == CONNECTION_OK) {
		HOLD_CANCEL_INTERRUPTS(); /* memory is being given back, maybe that of a transaction which was rolled back */
		connection_command(psprintf("DEALLOCATE %s", p->name));
		RESUME_CANCEL_INTERRUPTS();
	}
	p->prepared = false;
}

static plan *new_plan(const char *src, int nargs, const Oid *types, int options)
{
	MemoryContext context = AllocSetContextCreate(spi_level()->procedure, "SPI Plan", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	plan *p = palloc0(sizeof *p);

	p->context = context;
	p->source = pstrdup(src);
	p->nargs = nargs;
	p->argtypes = palloc(((Size)nargs + 1) * sizeof *p->argtypes);
	if (nargs)
		memcpy(p->argtypes, types, (size_t)nargs * sizeof *types);
	p->cursor_options = options;
	snprintf(p->name, sizeof p->name, "pgbgw_%u", ++made);
	sql_look(src, &p->facts);
	MemoryContextSwitchTo(old);
	return p;
}

SPIPlanPtr SPI_prepare_cursor(const char *src, int nargs, Oid *argtypes, int cursorOptions)
{
	plan *p;

	SPI_result = 0;
	if (!src || nargs < 0 || (nargs > 0 && !argtypes)) {
		SPI_result = SPI_ERROR_ARGUMENT;
		return NULL;
	}
	if (!spi_level()) {
		SPI_result = SPI_ERROR_UNCONNECTED;
		return NULL;
	}
	p = new_plan(src, nargs, argtypes, cursorOptions);
	if (p->facts.statements == 1 && !p->facts.transaction && !p->facts.copy) {
		MemoryContextCallback *cb = MemoryContextAlloc(p->context, sizeof *cb);

		transaction_needed();
		PQclear(connection_prepare(p->name, src, nargs, argtypes));
		p->prepared = true;
		cb->func = deallocate;
		cb->arg = p;
		MemoryContextRegisterResetCallback(p->context, cb);
	}
	return (SPIPlanPtr)p;
}

SPIPlanPtr SPI_prepare(const char *src, int nargs, Oid *argtypes)
{
	return SPI_prepare_cursor(src, nargs, argtypes, 0);
}

int SPI_keepplan(SPIPlanPtr p)
{
	if (!p || of(p)->kept)
		return SPI_ERROR_ARGUMENT;
	of(p)->kept = true;
	MemoryContextSetParent(of(p)->context, TopMemoryContext);
	return 0;
}

SPIPlanPtr SPI_saveplan(SPIPlanPtr p)
{
	SPIPlanPtr copy;

	if (!p) {
		SPI_result = SPI_ERROR_ARGUMENT;
		return NULL;
	}
	copy = SPI_prepare_cursor(of(p)->source, of(p)->nargs, of(p)->argtypes, of(p)->cursor_options);
	if (copy)
		SPI_keepplan(copy);
	return copy;
}

int SPI_freeplan(SPIPlanPtr p)
{
	if (!p)
		return SPI_ERROR_ARGUMENT;
	MemoryContextDelete(of(p)->context);
	return 0;
}

int SPI_execute_plan(SPIPlanPtr p, Datum *Values, const char *Nulls, bool read_only, long tcount)
{
	const char **values;
	PGresult *r;
	volatile int code;

	if (!p || tcount < 0)
		return SPI_ERROR_ARGUMENT;
	if (of(p)->nargs > 0 && !Values)
		return SPI_ERROR_PARAM;
	if (!spi_level())
		return SPI_ERROR_UNCONNECTED;
	if ((code = spi_permit(&of(p)->facts, read_only, tcount)) < 0)
		return code;
	values = spi_parameters(of(p)->nargs, of(p)->argtypes, Values, Nulls);
	if (!of(p)->prepared || tcount > 0)
		return SPI_execute_with_args(of(p)->source, of(p)->nargs, of(p)->argtypes, Values, Nulls, read_only, tcount);
	SPI_processed = 0;
	SPI_tuptable = NULL;
	transaction_needed();
	r = connection_run_prepared(of(p)->name, of(p)->nargs, values);
	PG_TRY();
	{
		code = spi_take(r, &of(p)->facts);
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
	return code;
}

int SPI_execp(SPIPlanPtr p, Datum *Values, const char *Nulls, long tcount)
{
	return SPI_execute_plan(p, Values, Nulls, false, tcount);
}

Oid SPI_getargtypeid(SPIPlanPtr p, int argIndex)
{
	if (!p || argIndex < 0 || argIndex >= of(p)->nargs) {
		SPI_result = SPI_ERROR_ARGUMENT;
		return InvalidOid;
	}
	return of(p)->argtypes[argIndex];
}

int SPI_getargcount(SPIPlanPtr p)
{
	if (!p) {
		SPI_result = SPI_ERROR_ARGUMENT;
		return -1;
	}
	return of(p)->nargs;
}

bool SPI_is_cursor_plan(SPIPlanPtr p)
{
	SPI_result = p ? 0 : SPI_ERROR_ARGUMENT;
	return p && of(p)->facts.statements == 1 && (!of(p)->facts.writes || of(p)->facts.returning);
}

bool SPI_plan_is_valid(SPIPlanPtr p)
{
	return of(p)->prepared;
}
