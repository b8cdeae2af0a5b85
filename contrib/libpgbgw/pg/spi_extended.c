/*
 * SPI's executions with options, and CALL and DO that may end transactions.
 */
#include "internal.h"

#include "executor/spi.h"
#include "nodes/params.h"
#include "storage/shmem.h"

#include "connection.h"
#include "spi.h"

ParamListInfo makeParamList(int numParams)
{
	ParamListInfo list = palloc0(add_size(offsetof(ParamListInfoData, params), mul_size((Size)numParams, sizeof(ParamExternData))));

	list->numParams = numParams;
	return list;
}

static void check_options(const SPIExecuteOptions *options)
{
	if (options->dest)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("rows given to a DestReceiver exist only inside the PostgreSQL server")));
}

/* Parameters in the form of SPI_execute_with_args. */
struct parameters {
	int n;
	Oid *types;
	Datum *values;
	char *nulls;
};

static struct parameters parameters_of(ParamListInfo list)
{
	struct parameters p = { .n = list ? list->numParams : 0 };

	if (p.n > 0 && list->paramFetch)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("parameters that a hook fetches exist only inside the PostgreSQL server")));
	p.types = palloc((Size)(p.n + 1) * sizeof *p.types);
	p.values = palloc((Size)(p.n + 1) * sizeof *p.values);
	p.nulls = palloc((Size)p.n + 1);
	for (int i = 0; i < p.n; i++) {
		p.types[i] = list->params[i].ptype;
		p.values[i] = list->params[i].value;
		p.nulls[i] = list->params[i].isnull ? 'n' : ' ';
	}
	return p;
}

/* A limit of rows, as the older functions take it. */
static long limit_of(const SPIExecuteOptions *options)
{
	return options->tcount > LONG_MAX ? LONG_MAX : (long)options->tcount;
}

/* wants_tuples raises an error when rows were asked for and none can come. */
static void wants_tuples(const SPIExecuteOptions *options, const struct sql_facts *facts)
{
	if (!options->must_return_tuples)
		return;
	if (facts->statements == 0)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("empty query does not return tuples")));
	if (facts->writes && !facts->returning)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s query does not return tuples", facts->writer)));
}

/*
 * A procedure that commits must not run within a transaction block. With
 * allow_nonatomic, in a session of SPI that is not atomic, it runs outside of one
 * where that undoes and settles nothing: see transaction_step_aside.
 */
static bool outside_of_transaction(const SPIExecuteOptions *options, const struct sql_facts *facts)
{
	const struct level *l = spi_level();

	return options->allow_nonatomic && l && l->nonatomic && facts->statements == 1 &&
	       (strcmp(facts->first, "call") == 0 || strcmp(facts->first, "do") == 0) && transaction_step_aside();
}

int SPI_execute_extended(const char *src, const SPIExecuteOptions *options)
{
	struct sql_facts facts;
	struct parameters p;

	if (!src || !options)
		return SPI_ERROR_ARGUMENT;
	if (!spi_level())
		return SPI_ERROR_UNCONNECTED;
	check_options(options);
	sql_look(src, &facts);
	wants_tuples(options, &facts);
	p = parameters_of(options->params);
	if (outside_of_transaction(options, &facts))
		return spi_run_outside(src, p.n > 0 ? p.n : -1, p.types, spi_parameters(p.n, p.types, p.values, p.nulls));
	if (p.n == 0)
		return SPI_execute(src, options->read_only, limit_of(options));
	return SPI_execute_with_args(src, p.n, p.types, p.values, p.nulls, options->read_only, limit_of(options));
}

int SPI_execute_plan_extended(SPIPlanPtr plan, const SPIExecuteOptions *options)
{
	const struct _SPI_plan_of_session *known = (const struct _SPI_plan_of_session *)plan;
	struct parameters p;

	if (!plan || !options)
		return SPI_ERROR_ARGUMENT;
	if (!spi_level())
		return SPI_ERROR_UNCONNECTED;
	check_options(options);
	wants_tuples(options, &known->facts);
	p = parameters_of(options->params);
	if (p.n < known->nargs)
		return SPI_ERROR_PARAM;
	if (outside_of_transaction(options, &known->facts))
		return spi_run_outside(known->source, p.n > 0 ? known->nargs : -1, p.types,
				       spi_parameters(known->nargs, known->argtypes, p.values, p.nulls));
	return SPI_execute_plan(plan, p.values, p.nulls, options->read_only, limit_of(options));
}

int SPI_execute_plan_with_paramlist(SPIPlanPtr plan, ParamListInfo params, bool read_only, long tcount)
{
	SPIExecuteOptions options = { .params = params, .read_only = read_only, .tcount = (uint64)Max(tcount, 0) };

	return tcount < 0 ? SPI_ERROR_ARGUMENT : SPI_execute_plan_extended(plan, &options);
}

SPIPlanPtr SPI_prepare_extended(const char *src, const SPIPrepareOptions *options)
{
	if (!src || !options) {
		SPI_result = SPI_ERROR_ARGUMENT;
		return NULL;
	}
	if (options->parserSetup)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("hooks of the parser exist only inside the PostgreSQL server")));
	return SPI_prepare_cursor(src, 0, NULL, options->cursorOptions);
}
