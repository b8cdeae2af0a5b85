/*
 * Cursors of SPI: DECLAREd in the session, under the portal's name.
 */
#include "internal.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/portal.h"

#include "connection.h"
#include "spi.h"

struct open_cursor {
	struct open_cursor *next;
	int nesting; /* of the subtransaction that it belongs to; 0: none */
	PortalData portal;
};

static struct open_cursor *cursors;
static unsigned made;

Portal SPI_cursor_find(const char *name)
{
	for (struct open_cursor *c = cursors; c; c = c->next)
		if (strcmp(c->portal.name, name) == 0)
			return &c->portal;
	return NULL;
}

/* Cursors do not outlive their transaction; their memory was of it. */
void spi_cursors_forget(void)
{
	cursors = NULL;
}

/* A subtransaction's cursors end with it, or are its parent's from then on. */
void spi_cursors_of_subtransaction(int nesting, bool commit)
{
	for (struct open_cursor **at = &cursors, *c; (c = *at);) {
		if (commit && c->nesting >= nesting)
			c->nesting = nesting - 1;
		if (c->nesting >= nesting)
			*at = c->next;
		else
			at = &c->next;
	}
}

static struct open_cursor *new_cursor(const char *name, const char *source, int options)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	struct open_cursor *c = palloc0(sizeof *c);

	c->nesting = GetCurrentTransactionNestLevel() - 1;
	c->portal.name = name && *name ? pstrdup(name) : psprintf("<unnamed portal %u>", ++made);
	c->portal.sourceText = pstrdup(source);
	c->portal.cursorOptions = options;
	c->portal.status = PORTAL_READY;
	MemoryContextSwitchTo(old);
	return c;
}

static Portal declare(const char *name, const char *src, int nargs, const Oid *types, const char *const *values,
		      bool read_only, int options)
{
	struct sql_facts facts;
	StringInfoData sql;
	struct open_cursor *c;

	if (!spi_level())
		elog(ERROR, "SPI cursor opened while not connected to SPI");
	sql_look(src, &facts);
	if (facts.statements != 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_DEFINITION), errmsg("cannot open multi-query plan as cursor")));
	if (facts.writes)
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_DEFINITION), errmsg("cannot open %s query as cursor", facts.writer)));
	if (name && SPI_cursor_find(name))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_CURSOR), errmsg("cursor \"%s\" already exists", name)));
	transaction_needed();
	c = new_cursor(name, src, options);
	initStringInfo(&sql);
	appendStringInfo(&sql, "DECLARE %s %sCURSOR FOR %s", quote_identifier(c->portal.name),
			 options & CURSOR_OPT_SCROLL ? "SCROLL " : options & CURSOR_OPT_NO_SCROLL ? "NO SCROLL " : "", src);
	PQclear(connection_run(sql.data, nargs, types, values));
	c->next = cursors;
	cursors = c;
	return &c->portal;
}

Portal SPI_cursor_open(const char *name, SPIPlanPtr plan, Datum *Values, const char *Nulls, bool read_only)
{
	struct _SPI_plan_of_session *p = (struct _SPI_plan_of_session *)plan;

	return declare(name, p->source, p->nargs, p->argtypes, spi_parameters(p->nargs, p->argtypes, Values, Nulls),
		       read_only, p->cursor_options);
}

Portal SPI_cursor_open_with_args(const char *name, const char *src, int nargs, Oid *argtypes, Datum *Values,
				 const char *Nulls, bool read_only, int cursorOptions)
{
	return declare(name, src, nargs, argtypes, spi_parameters(nargs, argtypes, Values, Nulls), read_only, cursorOptions);
}

/* The grammar's numbers have 32 bits, and no result has more rows: what is beyond them is all there is. */
static const char *direction_words(FetchDirection d, long count)
{
	static const char *const words[] = {
		[FETCH_FORWARD] = "FORWARD", [FETCH_BACKWARD] = "BACKWARD", [FETCH_ABSOLUTE] = "ABSOLUTE", [FETCH_RELATIVE] = "RELATIVE",
	};

	bool counts = d == FETCH_FORWARD || d == FETCH_BACKWARD;

	if (counts && count < -INT_MAX) {
		d = d == FETCH_FORWARD ? FETCH_BACKWARD : FETCH_FORWARD;
		count = FETCH_ALL;
	}
	if (counts && count > INT_MAX)
		return psprintf("%s ALL", words[d]);
	return psprintf("%s %d", words[d], (int)Max(Min(count, INT_MAX), -INT_MAX));
}

static void go(Portal portal, const char *verb, FetchDirection direction, long count)
{
	struct sql_facts facts = { .statements = 1 };
	PGresult *r;

	if (!portal || !SPI_cursor_find(portal->name))
		elog(ERROR, "invalid portal in SPI cursor operation");
	if (!spi_level())
		elog(ERROR, "SPI cursor operation called while not connected");
	SPI_processed = 0;
	SPI_tuptable = NULL;
	r = connection_run(psprintf("%s %s FROM %s", verb, direction_words(direction, count), quote_identifier(portal->name)), -1, NULL, NULL);
	PG_TRY();
	{
		spi_take(r, &facts);
	}
	PG_FINALLY();
	{
		PQclear(r);
	}
	PG_END_TRY();
}

void SPI_cursor_fetch(Portal portal, bool forward, long count)
{
	go(portal, "FETCH", forward ? FETCH_FORWARD : FETCH_BACKWARD, count);
}

void SPI_cursor_move(Portal portal, bool forward, long count)
{
	go(portal, "MOVE", forward ? FETCH_FORWARD : FETCH_BACKWARD, count);
}

void SPI_scroll_cursor_fetch(Portal portal, FetchDirection direction, long count)
{
	go(portal, "FETCH", direction, count);
}

void SPI_scroll_cursor_move(Portal portal, FetchDirection direction, long count)
{
	go(portal, "MOVE", direction, count);
}

void SPI_cursor_close(Portal portal)
{
	if (!portal || !SPI_cursor_find(portal->name))
		elog(ERROR, "invalid portal in SPI cursor operation");
	for (struct open_cursor **at = &cursors; *at; at = &(*at)->next)
		if (&(*at)->portal == portal) {
			*at = (*at)->next;
			break;
		}
	connection_command(psprintf("CLOSE %s", quote_identifier(portal->name)));
}
