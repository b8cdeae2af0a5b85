/*
 * Rows in PostgreSQL's own format. heap_getattr is inline in modules, so a row must
 * be laid out as the server lays it out: the header, the null bitmap, and the
 * values, each at its type's alignment. What a worker builds is never compressed nor
 * moved out of line.
 */
#include "internal.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "types.h"

TupleDesc CreateTemplateTupleDesc(int natts)
{
	TupleDesc d = palloc0(offsetof(struct TupleDescData, attrs) + (Size)natts * sizeof(FormData_pg_attribute));

	d->natts = natts;
	d->tdtypeid = RECORDOID;
	d->tdtypmod = -1;
	d->tdrefcount = -1;
	return d;
}

void TupleDescInitEntry(TupleDesc desc, AttrNumber number, const char *name, Oid type, int32 typmod, int attdim)
{
	Form_pg_attribute a = TupleDescAttr(desc, number - 1);
	const struct type *t = type_of(type);

	memset(a, 0, sizeof *a);
	if (name)
		namestrcpy(&a->attname, name);
	a->attnum = number;
	a->atttypid = type;
	a->atttypmod = typmod;
	a->attndims = (DIMENSIONS)attdim;
	a->attlen = t->length;
	a->attbyval = t->by_value;
	a->attalign = t->alignment;
	a->attstorage = t->length == -1 ? TYPSTORAGE_EXTENDED : TYPSTORAGE_PLAIN;
	a->attislocal = true;
	a->attcacheoff = -1;
}

TupleDesc CreateTupleDescCopy(TupleDesc desc)
{
	TupleDesc copy = CreateTemplateTupleDesc(desc->natts);

	memcpy(copy->attrs, desc->attrs, (size_t)desc->natts * sizeof copy->attrs[0]);
	for (int i = 0; i < copy->natts; i++)
		TupleDescAttr(copy, i)->attcacheoff = -1;
	copy->tdtypeid = desc->tdtypeid;
	copy->tdtypmod = desc->tdtypmod;
	return copy;
}

void FreeTupleDesc(TupleDesc desc)
{
	pfree(desc);
}

void IncrTupleDescRefCount(TupleDesc desc)
{
}

void DecrTupleDescRefCount(TupleDesc desc)
{
}

TupleDesc BlessTupleDesc(TupleDesc desc)
{
	return desc;
}

static Size size_of(Form_pg_attribute a, Datum value)
{
	return (Size)att_addlength_datum(0, a->attlen, value);
}

Size heap_compute_data_size(TupleDesc desc, CONST_17 Datum *values, CONST_17 bool *nulls)
{
	Size size = 0;

	for (int i = 0; i < desc->natts; i++) {
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (nulls[i])
			continue;
		size = att_align_datum(size, a->attalign, a->attlen, values[i]);
		size += size_of(a, values[i]);
	}
	return size;
}

static void store(char *at, Form_pg_attribute a, Datum value)
{
	if (a->attbyval)
		store_att_byval(at, value, a->attlen);
	else
		memcpy(at, DatumGetPointer(value), size_of(a, value));
}

void heap_fill_tuple(TupleDesc desc, CONST_17 Datum *values, CONST_17 bool *nulls, char *data, Size size, uint16 *infomask, bits8 *bitmap)
{
	char *start = data;

	*infomask &= (uint16)~(HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL);
	for (int i = 0; i < desc->natts; i++) {
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (bitmap && !nulls[i])
			bitmap[i >> 3] |= (bits8)(1 << (i & 7));
		if (nulls[i]) {
			*infomask |= HEAP_HASNULL;
			continue;
		}
		if (a->attlen < 0)
			*infomask |= HEAP_HASVARWIDTH;
		data = start + att_align_datum(data - start, a->attalign, a->attlen, values[i]);
		store(data, a, values[i]);
		data += size_of(a, values[i]);
	}
}

HeapTuple heap_form_tuple(TupleDesc desc, CONST_17 Datum *values, CONST_17 bool *nulls)
{
	bool any_null = false;
	Size head = offsetof(HeapTupleHeaderData, t_bits), size;
	HeapTupleHeader h;
	HeapTuple t;

	if (desc->natts > MaxTupleAttributeNumber)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
				errmsg("number of columns (%d) exceeds limit (%d)", desc->natts, MaxTupleAttributeNumber)));
	for (int i = 0; i < desc->natts; i++)
		any_null |= nulls[i];
	if (any_null)
		head += BITMAPLEN(desc->natts);
	head = MAXALIGN(head);
	size = heap_compute_data_size(desc, values, nulls);
	t = palloc0(HEAPTUPLESIZE + head + size);
	t->t_len = (uint32)(head + size);
	t->t_tableOid = InvalidOid;
	t->t_data = h = (HeapTupleHeader)((char *)t + HEAPTUPLESIZE);
	HeapTupleHeaderSetDatumLength(h, t->t_len);
	HeapTupleHeaderSetTypeId(h, desc->tdtypeid);
	HeapTupleHeaderSetTypMod(h, desc->tdtypmod);
	HeapTupleHeaderSetNatts(h, desc->natts);
	h->t_hoff = (uint8)head;
	heap_fill_tuple(desc, values, nulls, (char *)h + head, size, &h->t_infomask, any_null ? h->t_bits : NULL);
	return t;
}

/* walk reads the first n attributes; what lies beyond those that the row has is null. */
static void walk(HeapTuple t, TupleDesc desc, int n, Datum *values, bool *nulls)
{
	HeapTupleHeader h = t->t_data;
	const char *data = (const char *)h + h->t_hoff;
	int has = HeapTupleHeaderGetNatts(h);
	Size at = 0;

	for (int i = 0; i < n; i++) {
		Form_pg_attribute a = TupleDescAttr(desc, i);

		nulls[i] = i >= has || ((h->t_infomask & HEAP_HASNULL) && att_isnull(i, h->t_bits));
		values[i] = 0;
		if (nulls[i])
			continue;
		at = att_align_pointer(at, a->attalign, a->attlen, data + at);
		values[i] = fetchatt(a, data + at);
		at = att_addlength_pointer(at, a->attlen, data + at);
	}
}

void heap_deform_tuple(HeapTuple tuple, TupleDesc desc, Datum *values, bool *isnull)
{
	walk(tuple, desc, desc->natts, values, isnull);
}

Datum nocachegetattr(HeapTuple tuple, int attnum, TupleDesc desc)
{
	Datum *values = palloc((Size)attnum * sizeof *values), value;
	bool *nulls = palloc((Size)attnum * sizeof *nulls);

	walk(tuple, desc, attnum, values, nulls);
	value = values[attnum - 1];
	pfree(values);
	pfree(nulls);
	return value;
}

bool heap_attisnull(HeapTuple tuple, int attnum, TupleDesc desc)
{
	if (attnum > (int)HeapTupleHeaderGetNatts(tuple->t_data))
		return true;
	return attnum > 0 && HeapTupleHasNulls(tuple) && att_isnull(attnum - 1, tuple->t_data->t_bits);
}

Datum heap_getsysattr(HeapTuple tuple, int attnum, TupleDesc desc, bool *isnull)
{
	*isnull = true; /* a row that came to a client has none */
	return 0;
}

Datum getmissingattr(TupleDesc desc, int attnum, bool *isnull)
{
	*isnull = true;
	return 0;
}

#if PG_VERSION_NUM < 180000
/* Called by the inline heap_getattr of releases that check a row against its descriptor. */
void heap_datum_check(HeapTupleHeader tup, TupleDesc desc);
void heap_datum_check(HeapTupleHeader tup, TupleDesc desc)
{
}
#endif

HeapTuple heap_copytuple(HeapTuple tuple)
{
	HeapTuple t;

	if (!HeapTupleIsValid(tuple) || !tuple->t_data)
		return NULL;
	t = palloc(HEAPTUPLESIZE + tuple->t_len);
	*t = *tuple;
	t->t_data = (HeapTupleHeader)((char *)t + HEAPTUPLESIZE);
	memcpy(t->t_data, tuple->t_data, tuple->t_len);
	return t;
}

void heap_freetuple(HeapTuple htup)
{
	pfree(htup);
}

HeapTuple heap_modify_tuple(HeapTuple tuple, TupleDesc desc, CONST_17 Datum *values, CONST_17 bool *nulls, CONST_17 bool *replace)
{
	Datum *all = palloc((Size)desc->natts * sizeof *all);
	bool *all_nulls = palloc((Size)desc->natts * sizeof *all_nulls);
	HeapTuple t;

	heap_deform_tuple(tuple, desc, all, all_nulls);
	for (int i = 0; i < desc->natts; i++)
		if (replace[i]) {
			all[i] = values[i];
			all_nulls[i] = nulls[i];
		}
	t = heap_form_tuple(desc, all, all_nulls);
	pfree(all);
	pfree(all_nulls);
	return t;
}

Datum datumCopy(Datum value, bool typByVal, int typLen)
{
	Size size;
	void *copy;

	if (typByVal)
		return value;
	size = (Size)att_addlength_datum(0, typLen, value);
	copy = palloc(size);
	return PointerGetDatum(memcpy(copy, DatumGetPointer(value), size));
}

Size datumGetSize(Datum value, bool typByVal, int typLen)
{
	return typByVal ? (Size)typLen : (Size)att_addlength_datum(0, typLen, value);
}
