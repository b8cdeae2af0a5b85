/*
 * Results as SPITupleTables, and the functions that read them.
 */
#include "internal.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "spi.h"
#include "types.h"

TupleDesc spi_descriptor(const PGresult *r)
{
	int n = PQnfields(r);
	TupleDesc d = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
		TupleDescInitEntry(d, (AttrNumber)(i + 1), PQfname(r, i), PQftype(r, i), PQfmod(r, i), 0);
	return d;
}

/* form makes row i; the text of a type that has no values here stands in for them. */
static HeapTuple form(const PGresult *r, TupleDesc d, int i, Datum *values, bool *nulls)
{
	for (int k = 0; k < d->natts; k++) {
		const struct type *t = type_of(TupleDescAttr(d, k)->atttypid);

		nulls[k] = PQgetisnull(r, i, k);
		values[k] = nulls[k] ? 0 : type_read(t, PQgetvalue(r, i, k));
	}
	return heap_form_tuple(d, values, nulls);
}

SPITupleTable *spi_table(const PGresult *r)
{
	MemoryContext context = AllocSetContextCreate(spi_level()->tables, "SPI TupTable", ALLOCSET_DEFAULT_SIZES);
	MemoryContext rows, old = MemoryContextSwitchTo(context);
	SPITupleTable *t = palloc0(sizeof *t);
	int n = PQntuples(r);
	Datum *values;
	bool *nulls;

	t->tuptabcxt = context;
	t->subid = GetCurrentSubTransactionId();
	t->tupdesc = spi_descriptor(r);
	t->vals = palloc(((Size)n + 1) * sizeof *t->vals);
	t->numvals = (uint64)n;
	t->alloced = (uint64)n + 1;
	values = palloc(((Size)t->tupdesc->natts + 1) * sizeof *values);
	nulls = palloc(((Size)t->tupdesc->natts + 1) * sizeof *nulls);
	rows = AllocSetContextCreate(context, "SPI values", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++) {
		HeapTuple row;

		MemoryContextSwitchTo(rows);
		row = form(r, t->tupdesc, i, values, nulls);
		MemoryContextSwitchTo(context);
		t->vals[i] = heap_copytuple(row);
		MemoryContextReset(rows);
	}
	slist_push_head(&spi_level()->results, &t->next);
	MemoryContextSwitchTo(old);
	return t;
}

static void free_table(SPITupleTable *t)
{
	if (SPI_tuptable == t)
		SPI_tuptable = NULL;
	MemoryContextDelete(t->tuptabcxt);
}

/* Only what the current level has: a table that was freed, or is another level's, is left alone. */
void SPI_freetuptable(SPITupleTable *tuptable)
{
	struct level *l = spi_level();
	slist_mutable_iter i;

	if (!tuptable)
		return;
	if (l)
		slist_foreach_modify(i, &l->results)
			if (slist_container(SPITupleTable, next, i.cur) == tuptable) {
				slist_delete_current(&i);
				free_table(tuptable);
				return;
			}
	elog(WARNING, "attempt to delete invalid SPITupleTable %p", (void *)tuptable);
}

void spi_tables_of_subtransaction(int nesting, bool commit)
{
	SubTransactionId id = (SubTransactionId)(TopSubTransactionId + nesting);
	struct level *l = spi_level();
	slist_mutable_iter i;

	if (!l)
		return;
	slist_foreach_modify(i, &l->results) {
		SPITupleTable *t = slist_container(SPITupleTable, next, i.cur);

		if (t->subid < id)
			continue;
		t->subid = id - 1;
		if (!commit) {
			slist_delete_current(&i);
			free_table(t);
		}
	}
}

static bool has(TupleDesc d, int fnumber)
{
	SPI_result = fnumber >= 1 && fnumber <= d->natts ? 0 : SPI_ERROR_NOATTRIBUTE;
	return SPI_result == 0;
}

int SPI_fnumber(TupleDesc tupdesc, const char *fname)
{
	for (int i = 0; i < tupdesc->natts; i++)
		if (namestrcmp(&TupleDescAttr(tupdesc, i)->attname, fname) == 0)
			return i + 1;
	return SPI_ERROR_NOATTRIBUTE;
}

char *SPI_fname(TupleDesc tupdesc, int fnumber)
{
	return has(tupdesc, fnumber) ? pstrdup(NameStr(TupleDescAttr(tupdesc, fnumber - 1)->attname)) : NULL;
}

char *SPI_getvalue(HeapTuple tuple, TupleDesc tupdesc, int fnumber)
{
	bool null;
	Datum d;

	if (!has(tupdesc, fnumber))
		return NULL;
	d = heap_getattr(tuple, fnumber, tupdesc, &null);
	return null ? NULL : type_write(type_of(TupleDescAttr(tupdesc, fnumber - 1)->atttypid), d);
}

Datum SPI_getbinval(HeapTuple tuple, TupleDesc tupdesc, int fnumber, bool *isnull)
{
	Oid type;

	*isnull = true;
	if (!has(tupdesc, fnumber))
		return 0;
	type = TupleDescAttr(tupdesc, fnumber - 1)->atttypid;
	if (!type_has_value(type_of(type)))
		type_lacks_value(type);
	return heap_getattr(tuple, fnumber, tupdesc, isnull);
}

char *SPI_gettype(TupleDesc tupdesc, int fnumber)
{
	const struct type *t;

	if (!has(tupdesc, fnumber))
		return NULL;
	t = type_of(TupleDescAttr(tupdesc, fnumber - 1)->atttypid);
	if (!t->name) {
		SPI_result = SPI_ERROR_TYPUNKNOWN;
		return NULL;
	}
	return pstrdup(t->name);
}

Oid SPI_gettypeid(TupleDesc tupdesc, int fnumber)
{
	return has(tupdesc, fnumber) ? TupleDescAttr(tupdesc, fnumber - 1)->atttypid : InvalidOid;
}

/* in_outer runs allocations in the context that SPI_connect found. */
static MemoryContext to_outer(void)
{
	struct level *l = spi_level();

	if (!l)
		elog(ERROR, "SPI function called while not connected to SPI");
	return MemoryContextSwitchTo(l->outer);
}

void *SPI_palloc(Size size)
{
	MemoryContext old = to_outer();
	void *p = palloc(size);

	MemoryContextSwitchTo(old);
	return p;
}

void *SPI_repalloc(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

void SPI_pfree(void *pointer)
{
	pfree(pointer);
}

HeapTuple SPI_copytuple(HeapTuple tuple)
{
	MemoryContext old;
	HeapTuple copy;

	if (!tuple) {
		SPI_result = SPI_ERROR_ARGUMENT;
		return NULL;
	}
	old = to_outer();
	copy = heap_copytuple(tuple);
	MemoryContextSwitchTo(old);
	return copy;
}

void SPI_freetuple(HeapTuple tuple)
{
	heap_freetuple(tuple);
}

Datum SPI_datumTransfer(Datum value, bool typByVal, int typLen)
{
	MemoryContext old = to_outer();
	Datum d = datumCopy(value, typByVal, typLen);

	MemoryContextSwitchTo(old);
	return d;
}
