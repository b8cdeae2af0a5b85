/*
 * Calls of functions with the interface that SQL functions have. What is called
 * is the module's own function, or a stub that says which of the server's it is.
 */
#include "internal.h"

#include "fmgr.h"

static Datum call(PGFunction func, Oid collation, const Datum *args, int n)
{
	LOCAL_FCINFO(fcinfo, 5);
	Datum result;

	InitFunctionCallInfoData(*fcinfo, NULL, n, collation, NULL, NULL);
	for (int i = 0; i < n; i++) {
		fcinfo->args[i].value = args[i];
		fcinfo->args[i].isnull = false;
	}
	result = func(fcinfo);
	if (fcinfo->isnull)
		elog(ERROR, "function %p returned NULL", (void *)func);
	return result;
}

Datum DirectFunctionCall1Coll(PGFunction func, Oid collation, Datum arg1)
{
	return call(func, collation, &arg1, 1);
}

Datum DirectFunctionCall2Coll(PGFunction func, Oid collation, Datum arg1, Datum arg2)
{
	return call(func, collation, (Datum[]){ arg1, arg2 }, 2);
}

Datum DirectFunctionCall3Coll(PGFunction func, Oid collation, Datum arg1, Datum arg2, Datum arg3)
{
	return call(func, collation, (Datum[]){ arg1, arg2, arg3 }, 3);
}

Datum DirectFunctionCall4Coll(PGFunction func, Oid collation, Datum arg1, Datum arg2, Datum arg3, Datum arg4)
{
	return call(func, collation, (Datum[]){ arg1, arg2, arg3, arg4 }, 4);
}

Datum DirectFunctionCall5Coll(PGFunction func, Oid collation, Datum arg1, Datum arg2, Datum arg3, Datum arg4, Datum arg5)
{
	return call(func, collation, (Datum[]){ arg1, arg2, arg3, arg4, arg5 }, 5);
}
