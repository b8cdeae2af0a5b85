/*
 * Enumerations: their values, which are OIDs of pg_enum, as a worker gets them, as it
 * gives them back, and after the type has changed; and how types that are
 * seldom shown are shown.
 */
#include "bgw_spi.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

static Oid hue;
static Datum green;

static Datum value(const char *query, bool *isnull)
{
	int code = SPI_execute(query, false, 0);

	if (code != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "%s: %d", query, code);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
}

/* row is what pg_enum says of a label. */
static Oid row(const char *label)
{
	bool isnull;

	return DatumGetObjectId(value(psprintf("SELECT oid FROM pg_enum WHERE enumtypid = 'bgw_spi_hue'::regtype AND enumlabel = '%s'", label), &isnull));
}

static void see(const char *label, const char *expression)
{
	Oid want = row(label);
	bool isnull;
	Datum d = value(psprintf("SELECT %s", expression), &isnull);

	saw("enum", "%s: %d %d %s %s", expression, isnull, DatumGetObjectId(d) == want,
	    SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), SPI_gettype(SPI_tuptable->tupdesc, 1));
}

static void give(const char *query, Oid type, Datum d)
{
	int code = SPI_execute_with_args(query, 1, &type, &d, NULL, true, 0);

	saw("enum given", "%s: %d %s", query, code, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
}

static void give_wrong(void)
{
	give("SELECT $1::text", hue, ObjectIdGetDatum(1));
}

static void read_wrong(void)
{
	Oid function, parameter;

	getTypeInputInfo(hue, &function, &parameter);
	OidInputFunctionCall(function, "mauve", parameter, -1);
}

/* apart notes the error that try raises, of a subtransaction of its own. */
static void apart(const char *subject, void (*try)(void))
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	probe_error(subject, try);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

static void probe_functions(void)
{
	Oid function, parameter;
	bool varlena;
	Datum d;

	getTypeInputInfo(hue, &function, &parameter);
	d = OidInputFunctionCall(function, "blue", parameter, -1);
	saw("enum_in", "%u %d %d", function, parameter == hue, DatumGetObjectId(d) == row("blue"));
	getTypeOutputInfo(hue, &function, &varlena);
	saw("enum_out", "%u %d %s", function, varlena, OidOutputFunctionCall(function, d));
}

static void probe_array(void)
{
	Datum *elements, again[] = { row("blue"), row("red") };
	int16 length;
	bool isnull, *nulls, by_value;
	char alignment;
	int n;
	ArrayType *a = DatumGetArrayTypeP(value("SELECT ARRAY['red', NULL, 'blue']::bgw_spi_hue[]", &isnull));

	saw("enum array", "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	get_typlenbyvalalign(hue, &length, &by_value, &alignment);
	saw("enum layout", "%d %d %c", length, by_value, alignment);
	deconstruct_array(a, hue, length, by_value, alignment, &elements, &nulls, &n);
	saw("enum elements", "%d %d %d %d", n, DatumGetObjectId(elements[0]) == row("red"), nulls[1], DatumGetObjectId(elements[2]) == row("blue"));
	a = construct_array(again, 2, hue, length, by_value, alignment);
	give("SELECT $1::text", get_array_type(hue), PointerGetDatum(a));
}

static void probe_seldom(void)
{
	static const char *const shown[] = { "'1 2'::int2vector", "'3 4'::oidvector", "pg_sleep(0)" };

	for (int i = 0; i < (int)lengthof(shown); i++) {
		Oid function;
		bool varlena, isnull;
		Datum d = value(psprintf("SELECT %s", shown[i]), &isnull);

		getTypeOutputInfo(SPI_gettypeid(SPI_tuptable->tupdesc, 1), &function, &varlena);
		saw("shown", "%s: %u %d \"%s\"", shown[i], function, varlena, OidOutputFunctionCall(function, d));
	}
}

void probe_enums(void)
{
	bool isnull;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute("CREATE TYPE bgw_spi_hue AS ENUM ('red', 'green', 'blue')", false, 0);
	SPI_execute("CREATE DOMAIN bgw_spi_warm AS bgw_spi_hue", false, 0);
	hue = DatumGetObjectId(value("SELECT 'bgw_spi_hue'::regtype::oid", &isnull));
	see("green", "'green'::bgw_spi_hue");
	give("SELECT $1::text", DatumGetObjectId(value("SELECT 'bgw_spi_warm'::regtype::oid", &isnull)), ObjectIdGetDatum(row("red")));
	green = value("SELECT 'green'::bgw_spi_hue", &isnull);
	(void)value("SELECT NULL::bgw_spi_hue", &isnull);
	saw("enum", "null %d", isnull);
	give("SELECT $1::text || ($1 > 'red') || ($1 < 'blue')", hue, green);
	apart("enum given", give_wrong);
	apart("enum read", read_wrong);
	probe_functions();
	probe_array();
	SPI_execute("ALTER TYPE bgw_spi_hue RENAME VALUE 'green' TO 'verde'", false, 0);
	see("verde", "'verde'::bgw_spi_hue");
	give("SELECT $1::text", hue, green);
	probe_seldom();
	SPI_finish();
	PopActiveSnapshot();
	AbortCurrentTransaction();
}
