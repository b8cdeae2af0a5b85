/*
 * Arrays that grow by one element at a time, and going through one: the
 * accumulators and iterators of utils/array.h.
 */
#include "internal.h"

#include "access/tupmacs.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

static ArrayBuildState *begin(Oid element_type, MemoryContext rcontext, bool subcontext, int size)
{
	MemoryContext context = subcontext ? AllocSetContextCreate(rcontext, "accumArrayResult", ALLOCSET_DEFAULT_SIZES) : rcontext;
	ArrayBuildState *s = MemoryContextAlloc(context, sizeof *s);

	s->mcontext = context;
	s->private_cxt = subcontext;
	s->alen = size;
	s->dvalues = MemoryContextAlloc(context, (Size)size * sizeof *s->dvalues);
	s->dnulls = MemoryContextAlloc(context, (Size)size * sizeof *s->dnulls);
	s->nelems = 0;
	s->element_type = element_type;
	get_typlenbyvalalign(element_type, &s->typlen, &s->typbyval, &s->typalign);
	return s;
}

ArrayBuildState *initArrayResult(Oid element_type, MemoryContext rcontext, bool subcontext)
{
	return begin(element_type, rcontext, subcontext, subcontext ? 64 : 8);
}

#if PG_VERSION_NUM >= 170000
ArrayBuildState *initArrayResultWithSize(Oid element_type, MemoryContext rcontext, bool subcontext, int initsize)
{
	return begin(element_type, rcontext, subcontext, Max(initsize, 1));
}
#endif

/* The value is copied: the caller's may go. */
ArrayBuildState *accumArrayResult(ArrayBuildState *s, Datum dvalue, bool disnull, Oid element_type, MemoryContext rcontext)
{
	MemoryContext old;

	if (!s)
		s = initArrayResult(element_type, rcontext, true);
	old = MemoryContextSwitchTo(s->mcontext);
	if (s->nelems >= s->alen) {
		s->alen *= 2;
		s->dvalues = repalloc(s->dvalues, (Size)s->alen * sizeof *s->dvalues);
		s->dnulls = repalloc(s->dnulls, (Size)s->alen * sizeof *s->dnulls);
	}
	if (!disnull && !s->typbyval)
		dvalue = s->typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(dvalue)) : datumCopy(dvalue, false, s->typlen);
	s->dvalues[s->nelems] = disnull ? 0 : dvalue;
	s->dnulls[s->nelems++] = disnull;
	MemoryContextSwitchTo(old);
	return s;
}

Datum makeMdArrayResult(ArrayBuildState *s, int ndims, int *dims, int *lbs, MemoryContext rcontext, bool release)
{
	MemoryContext old = MemoryContextSwitchTo(rcontext);
	ArrayType *a = construct_md_array(s->dvalues, s->dnulls, ndims, dims, lbs, s->element_type, s->typlen, s->typbyval, s->typalign);

	MemoryContextSwitchTo(old);
	if (release)
		MemoryContextDelete(s->mcontext);
	return PointerGetDatum(a);
}

Datum makeArrayResult(ArrayBuildState *s, MemoryContext rcontext)
{
	return makeMdArrayResult(s, s->nelems > 0, &s->nelems, (int[]){ 1 }, rcontext, s->private_cxt);
}

struct ArrayIteratorData {
	Datum *values;
	bool *nulls;
	int n, next;
};

/* Element by element: slices are arrays of their own, which SQL can give. */
ArrayIterator array_create_iterator(ArrayType *arr, int slice_ndim, ArrayMetaState *mstate)
{
	ArrayIterator it = palloc0(sizeof *it);
	bool by_value;
	int16 length;
	char alignment;

	if (slice_ndim != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("slices of arrays cannot be iterated over outside the PostgreSQL server")));
	if (mstate) {
		length = mstate->typlen;
		by_value = mstate->typbyval;
		alignment = mstate->typalign;
	} else
		get_typlenbyvalalign(ARR_ELEMTYPE(arr), &length, &by_value, &alignment);
	deconstruct_array(arr, ARR_ELEMTYPE(arr), length, by_value, alignment, &it->values, &it->nulls, &it->n);
	return it;
}

bool array_iterate(ArrayIterator it, Datum *value, bool *isnull)
{
	if (it->next >= it->n)
		return false;
	*value = it->values[it->next];
	*isnull = it->nulls[it->next++];
	return true;
}

void array_free_iterator(ArrayIterator it)
{
	pfree(it->values);
	pfree(it->nulls);
	pfree(it);
}
