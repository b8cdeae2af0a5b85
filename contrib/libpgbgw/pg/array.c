/*
 * Arrays in the server's layout (utils/array.h): a header with the dimensions, a
 * bitmap where an element is null, and the elements, each at its type's alignment.
 */
#include "internal.h"

#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/datum.h"

#include "types.h"

/* What an element is, as every function of arrays is told. */
struct element {
	int length;
	bool by_value;
	char alignment;
};

static void too_many(Size limit)
{
	ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("array size exceeds the maximum allowed (%d)", (int)limit)));
}

int ArrayGetNItems(int ndim, const int *dims)
{
	int64 n = 1;

	if (ndim <= 0)
		return 0;
	for (int i = 0; i < ndim; i++) {
		if (dims[i] == 0)
			return 0;
		if (dims[i] < 0 || (n *= dims[i]) > (int64)MaxArraySize)
			too_many(MaxArraySize);
	}
	return (int)n;
}

void ArrayCheckBounds(int ndim, const int *dims, const int *lb)
{
	int sum;

	for (int i = 0; i < ndim; i++)
		if (__builtin_add_overflow(dims[i], lb[i], &sum))
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("array lower bound is too large: %d", lb[i])));
}

ArrayType *construct_empty_array(Oid elmtype)
{
	ArrayType *a = palloc0(sizeof *a);

	SET_VARSIZE(a, sizeof *a);
	a->elemtype = elmtype;
	return a;
}

static Size padded(Size at, const struct element *e, Datum value)
{
	return (Size)att_align_nominal(att_addlength_datum(at, e->length, value), e->alignment);
}

/* size_of is the size of the elements, and unpacks those that come with a short header. */
static Size size_of(Datum *elems, const bool *nulls, int n, const struct element *e)
{
	Size size = 0;

	for (int i = 0; i < n; i++) {
		if (nulls && nulls[i])
			continue;
		if (e->length == -1)
			elems[i] = PointerGetDatum(PG_DETOAST_DATUM(elems[i]));
		size = padded(size, e, elems[i]);
		if (size > MaxAllocSize)
			too_many(MaxAllocSize);
	}
	return size;
}

static void store(ArrayType *a, const Datum *elems, const bool *nulls, int n, const struct element *e)
{
	bits8 *bitmap = ARR_NULLBITMAP(a);
	char *data = ARR_DATA_PTR(a);
	Size at = 0;

	for (int i = 0; i < n; i++) {
		if (nulls && nulls[i])
			continue;
		if (bitmap)
			bitmap[i / 8] |= (bits8)(1 << i % 8);
		if (e->by_value)
			store_att_byval(data + at, elems[i], e->length);
		else
			memcpy(data + at, DatumGetPointer(elems[i]), (Size)att_addlength_datum(0, e->length, elems[i]));
		at = padded(at, e, elems[i]);
	}
}

static bool any(const bool *nulls, int n)
{
	for (int i = 0; nulls && i < n; i++)
		if (nulls[i])
			return true;
	return false;
}

ArrayType *construct_md_array(Datum *elems, bool *nulls, int ndims, int *dims, int *lbs, Oid elmtype, int elmlen,
			      bool elmbyval, char elmalign)
{
	struct element e = { elmlen, elmbyval, elmalign };
	Size size, head;
	bool with_nulls;
	ArrayType *a;
	int n;

	if (ndims < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid number of dimensions: %d", ndims)));
	if (ndims > MAXDIM)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("number of array dimensions (%d) exceeds the maximum allowed (%d)", ndims, MAXDIM)));
	n = ArrayGetNItems(ndims, dims);
	ArrayCheckBounds(ndims, dims, lbs);
	if (n == 0)
		return construct_empty_array(elmtype);
	with_nulls = any(nulls, n);
	head = with_nulls ? ARR_OVERHEAD_WITHNULLS(ndims, n) : ARR_OVERHEAD_NONULLS(ndims);
	size = head + size_of(elems, nulls, n, &e);
	a = palloc0(size);
	SET_VARSIZE(a, size);
	a->ndim = ndims;
	a->dataoffset = with_nulls ? (int32)head : 0;
	a->elemtype = elmtype;
	memcpy(ARR_DIMS(a), dims, (Size)ndims * sizeof *dims);
	memcpy(ARR_LBOUND(a), lbs, (Size)ndims * sizeof *lbs);
	store(a, elems, nulls, n, &e);
	return a;
}

ArrayType *construct_array(Datum *elems, int nelems, Oid elmtype, int elmlen, bool elmbyval, char elmalign)
{
	return construct_md_array(elems, NULL, 1, &nelems, (int[]){ 1 }, elmtype, elmlen, elmbyval, elmalign);
}

/* builtin is a type whose length is known without the server. */
static const struct type *builtin(Oid elmtype, const char *function)
{
	const struct type *t = type_built_in(elmtype);

	if (!t)
		elog(ERROR, "type %u not supported by %s()", elmtype, function);
	return t;
}

ArrayType *construct_array_builtin(Datum *elems, int nelems, Oid elmtype)
{
	const struct type *t = builtin(elmtype, __func__);

	return construct_array(elems, nelems, elmtype, t->length, t->by_value, t->alignment);
}

void deconstruct_array(ArrayType *array, Oid elmtype, int elmlen, bool elmbyval, char elmalign, Datum **elemsp,
		       bool **nullsp, int *nelemsp)
{
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const bits8 *bitmap = ARR_NULLBITMAP(array);
	const char *at = ARR_DATA_PTR(array);

	*elemsp = palloc(((Size)n + 1) * sizeof **elemsp);
	if (nullsp)
		*nullsp = palloc0((Size)n + 1);
	*nelemsp = n;
	for (int i = 0; i < n; i++) {
		(*elemsp)[i] = 0;
		if (bitmap && att_isnull(i, bitmap)) {
			if (!nullsp)
				ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("null array element not allowed in this context")));
			(*nullsp)[i] = true;
			continue;
		}
		(*elemsp)[i] = fetch_att(at, elmbyval, elmlen);
		at = att_addlength_pointer(at, elmlen, at);
		at = (const char *)att_align_nominal(at, elmalign);
	}
}

void deconstruct_array_builtin(ArrayType *array, Oid elmtype, Datum **elemsp, bool **nullsp, int *nelemsp)
{
	const struct type *t = builtin(elmtype, __func__);

	deconstruct_array(array, elmtype, t->length, t->by_value, t->alignment, elemsp, nullsp, nelemsp);
}

/* A bitmap may be there without a null in it. */
bool array_contains_nulls(ArrayType *array)
{
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	for (int i = 0; ARR_HASNULL(array) && i < n; i++)
		if (att_isnull(i, ARR_NULLBITMAP(array)))
			return true;
	return false;
}
