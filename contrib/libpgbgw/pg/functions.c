/*
 * The input and output functions of the types that have values here, and the
 * ways to call them: by name with DirectFunctionCall, and by the OID that
 * getTypeInputInfo and getTypeOutputInfo give.
 */
#include "internal.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "asked.h"
#include "types.h"
#include "types_interval.h"

/* F(input, output, OID of the input, OID of the output, type); a type's name in C, as the server has them. */
#define TYPES(F) \
	F(boolin, boolout, F_BOOLIN, F_BOOLOUT, BOOLOID) \
	F(int2in, int2out, F_INT2IN, F_INT2OUT, INT2OID) \
	F(int4in, int4out, F_INT4IN, F_INT4OUT, INT4OID) \
	F(int8in, int8out, F_INT8IN, F_INT8OUT, INT8OID) \
	F(float4in, float4out, F_FLOAT4IN, F_FLOAT4OUT, FLOAT4OID) \
	F(float8in, float8out, F_FLOAT8IN, F_FLOAT8OUT, FLOAT8OID) \
	F(oidin, oidout, F_OIDIN, F_OIDOUT, OIDOID) \
	F(xidin, xidout, F_XIDIN, F_XIDOUT, XIDOID) \
	F(cidin, cidout, F_CIDIN, F_CIDOUT, CIDOID) \
	F(xid8in, xid8out, F_XID8IN, F_XID8OUT, XID8OID) \
	F(charin, charout, F_CHARIN, F_CHAROUT, CHAROID) \
	F(namein, nameout, F_NAMEIN, F_NAMEOUT, NAMEOID) \
	F(textin, textout, F_TEXTIN, F_TEXTOUT, TEXTOID) \
	F(varcharin, varcharout, F_VARCHARIN, F_VARCHAROUT, VARCHAROID) \
	F(bpcharin, bpcharout, F_BPCHARIN, F_BPCHAROUT, BPCHAROID) \
	F(unknownin, unknownout, F_UNKNOWNIN, F_UNKNOWNOUT, UNKNOWNOID) \
	F(cstring_in, cstring_out, F_CSTRING_IN, F_CSTRING_OUT, CSTRINGOID) \
	F(byteain, byteaout, F_BYTEAIN, F_BYTEAOUT, BYTEAOID) \
	F(uuid_in, uuid_out, F_UUID_IN, F_UUID_OUT, UUIDOID) \
	F(json_in, json_out, F_JSON_IN, F_JSON_OUT, JSONOID) \
	F(numeric_in, numeric_out, F_NUMERIC_IN, F_NUMERIC_OUT, NUMERICOID) \
	F(date_in, date_out, F_DATE_IN, F_DATE_OUT, DATEOID) \
	F(time_in, time_out, F_TIME_IN, F_TIME_OUT, TIMEOID) \
	F(timestamp_in, timestamp_out, F_TIMESTAMP_IN, F_TIMESTAMP_OUT, TIMESTAMPOID) \
	F(timestamptz_in, timestamptz_out, F_TIMESTAMPTZ_IN, F_TIMESTAMPTZ_OUT, TIMESTAMPTZOID) \
	F(interval_in, interval_out, F_INTERVAL_IN, F_INTERVAL_OUT, INTERVALOID) \
	F(tidin, tidout, F_TIDIN, F_TIDOUT, TIDOID) \
	F(int2vectorin, int2vectorout, F_INT2VECTORIN, F_INT2VECTOROUT, INT2VECTOROID) \
	F(oidvectorin, oidvectorout, F_OIDVECTORIN, F_OIDVECTOROUT, OIDVECTOROID) \
	F(void_in, void_out, F_VOID_IN, F_VOID_OUT, VOIDOID) \
	F(pg_lsn_in, pg_lsn_out, F_PG_LSN_IN, F_PG_LSN_OUT, PG_LSNOID)

/* Types that have more to write than a server writes for them: '2001-2-3', 'now', escapes of bytea. */
static bool is_lenient(Oid oid)
{
	static const Oid lenient[] = { DATEOID, TIMEOID, TIMESTAMPOID, TIMESTAMPTZOID, INTERVALOID, BYTEAOID, UUIDOID, JSONOID };

	for (size_t i = 0; i < lengthof(lenient); i++)
		if (lenient[i] == oid)
			return true;
	return false;
}

/* What a person wrote is read by the server, where it can be asked; else as the server would have written it. */
static Datum input(FunctionCallInfo fcinfo, Oid oid)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32 typmod = PG_NARGS() > 2 ? PG_GETARG_INT32(2) : -1;
	Interval *i;

	if (oid == INTERVALOID && typmod < 0) {
		i = palloc(sizeof *i);
		if (parse_interval(text, false, i))
			return IntervalPGetDatum(i);
	}
	if (can_ask() && (typmod >= 0 || is_lenient(oid)))
		return asked_value(oid, typmod, text);
	if (typmod >= 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("a value of type %s with a modifier needs a database connection and a transaction outside the PostgreSQL server",
				       type_of(oid)->name)));
	return type_read(type_of(oid), text);
}

#define FUNCTIONS(in, out, oid_of_in, oid_of_out, type)                                 \
	Datum in(PG_FUNCTION_ARGS)                                                      \
	{                                                                               \
		return input(fcinfo, type);                                             \
	}                                                                               \
	Datum out(PG_FUNCTION_ARGS)                                                     \
	{                                                                               \
		PG_RETURN_CSTRING(type_write(type_of(type), PG_GETARG_DATUM(0)));       \
	}

TYPES(FUNCTIONS)

Datum array_in(PG_FUNCTION_ARGS)
{
	struct type array = { .element = PG_GETARG_OID(1) };

	if (!type_has_value(&array))
		type_lacks_value(array.element);
	return array_read(&array, PG_GETARG_CSTRING(0));
}

Datum array_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(array_write(PG_GETARG_DATUM(0), type_write));
}

static const struct function {
	Oid type, in, out;
	PGFunction call_in, call_out;
} functions[] = {
#define ROW(in, out, oid_of_in, oid_of_out, type) { type, oid_of_in, oid_of_out, in, out },
	TYPES(ROW)
	{ ANYARRAYOID, F_ARRAY_IN, F_ARRAY_OUT, array_in, array_out },
	{ ANYENUMOID, F_ENUM_IN, F_ENUM_OUT, enum_in, enum_out },
};

/* functions_of returns those of a type, or of what its values are made of: a domain's base type, a text that stands in. */
static const struct function *functions_of(Oid type)
{
	const struct type *t = type_of(type);

	for (size_t i = 0; i < lengthof(functions); i++)
		if (functions[i].type == type || (functions[i].type == ANYARRAYOID && t->element) ||
		    (functions[i].type == ANYENUMOID && OidIsValid(t->enumeration)))
			return &functions[i];
	for (size_t i = 0; i < lengthof(functions); i++) {
		const struct type *of = type_built_in(functions[i].type);

		if (t->in && of && of->in == t->in)
			return &functions[i];
	}
	return functions_of(TEXTOID);
}

void getTypeOutputInfo(Oid type, Oid *typOutput, bool *typIsVarlena)
{
	*typOutput = functions_of(type)->out;
	*typIsVarlena = type_of(type)->length == -1;
}

/* Not for a type that has no values: what a text stands in for is not made here. */
void getTypeInputInfo(Oid type, Oid *typInput, Oid *typIOParam)
{
	if (!type_has_value(type_of(type)))
		type_lacks_value(type);
	*typInput = functions_of(type)->in;
	*typIOParam = type_of(type)->element ? type_of(type)->element : type_of(type)->enumeration ? type_of(type)->enumeration : type;
}

void fmgr_info_cxt(Oid functionId, FmgrInfo *finfo, MemoryContext mcxt)
{
	memset(finfo, 0, sizeof *finfo);
	for (size_t i = 0; i < lengthof(functions) && !finfo->fn_addr; i++)
		if (functions[i].in == functionId)
			finfo->fn_addr = functions[i].call_in;
		else if (functions[i].out == functionId)
			finfo->fn_addr = functions[i].call_out;
	if (!finfo->fn_addr)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("function with OID %u exists only inside the PostgreSQL server", functionId)));
	finfo->fn_oid = functionId;
	finfo->fn_nargs = 1;
	finfo->fn_strict = true;
	finfo->fn_mcxt = mcxt;
}

void fmgr_info(Oid functionId, FmgrInfo *finfo)
{
	fmgr_info_cxt(functionId, finfo, CurrentMemoryContext);
}

Datum InputFunctionCall(FmgrInfo *flinfo, char *str, Oid typioparam, int32 typmod)
{
	return str ? DirectFunctionCall3(flinfo->fn_addr, CStringGetDatum(str), ObjectIdGetDatum(typioparam), Int32GetDatum(typmod)) : 0;
}

char *OutputFunctionCall(FmgrInfo *flinfo, Datum val)
{
	return DatumGetCString(DirectFunctionCall1(flinfo->fn_addr, val));
}

Datum OidInputFunctionCall(Oid functionId, char *str, Oid typioparam, int32 typmod)
{
	FmgrInfo f;

	fmgr_info(functionId, &f);
	return InputFunctionCall(&f, str, typioparam, typmod);
}

char *OidOutputFunctionCall(Oid functionId, Datum val)
{
	FmgrInfo f;

	fmgr_info(functionId, &f);
	return OutputFunctionCall(&f, val);
}
