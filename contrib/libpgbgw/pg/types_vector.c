/*
 * int2vector and oidvector, as catalogs have them: arrays that begin at 0, of which
 * also an empty one has its dimension, and whose text is numbers with spaces between.
 */
#include "internal.h"

#include <stdlib.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"

#include "types_vector.h"

/* new_vector has room for n elements. */
static ArrayType *new_vector(Oid element, int n, Size length)
{
	Size size = sizeof(ArrayType) + 2 * sizeof(int) + (Size)n * length;
	ArrayType *a = palloc0(size);

	SET_VARSIZE(a, size);
	a->ndim = 1;
	a->elemtype = element;
	ARR_DIMS(a)[0] = n;
	return a;
}

static int count(const char *t)
{
	int n = 0;

	while (*(t += strspn(t, " "))) {
		t += strcspn(t, " ");
		n++;
	}
	return n;
}

Datum read_int2vector(const char *t)
{
	int n = count(t);
	ArrayType *a = new_vector(INT2OID, n, sizeof(int16));
	char *next = (char *)t;

	for (int i = 0; i < n; i++)
		((int16 *)ARR_DATA_PTR(a))[i] = (int16)strtol(next, &next, 10);
	return PointerGetDatum(a);
}

Datum read_oidvector(const char *t)
{
	int n = count(t);
	ArrayType *a = new_vector(OIDOID, n, sizeof(Oid));
	char *next = (char *)t;

	for (int i = 0; i < n; i++)
		((Oid *)ARR_DATA_PTR(a))[i] = (Oid)strtoul(next, &next, 10);
	return PointerGetDatum(a);
}

static char *text_of(const ArrayType *a, bool small)
{
	StringInfoData s;

	initStringInfo(&s);
	for (int i = 0; i < ARR_DIMS(a)[0]; i++) {
		appendStringInfoString(&s, i > 0 ? " " : "");
		if (small)
			appendStringInfo(&s, "%d", ((int16 *)ARR_DATA_PTR(a))[i]);
		else
			appendStringInfo(&s, "%u", ((Oid *)ARR_DATA_PTR(a))[i]);
	}
	return s.data;
}

char *write_int2vector(Datum d)
{
	return text_of(DatumGetArrayTypeP(d), true);
}

char *write_oidvector(Datum d)
{
	return text_of(DatumGetArrayTypeP(d), false);
}
