/*
 * Procedures that end transactions, called as in the server: under a portal, in an SPI session
 * that is not atomic; executions with options; and names that are looked up.
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "nodes/params.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

static void execute(const char *sql)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute(sql, false, 0);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static const char procedure[] = "CREATE TABLE probe_steps (n integer);"
				"CREATE PROCEDURE probe_steps_do(most integer) LANGUAGE plpgsql AS $$ BEGIN"
				"  FOR i IN 1..most LOOP"
				"    INSERT INTO probe_steps VALUES (i);"
				"    IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;"
				"  END LOOP; END $$";

/* call_procedure calls what ends transactions, after a query that only reads. */
static void call_procedure(const char *sql)
{
	SPIExecuteOptions options = { .allow_nonatomic = true };
	Portal portal;
	int code;

	SetCurrentStatementStartTimestamp();
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	portal = CreateNewPortal();
	portal->visible = false;
	portal->resowner = CurrentResourceOwner;
	ActivePortal = portal;
	PortalContext = portal->portalContext;
	StartTransactionCommand();
	EnsurePortalSnapshotExists();
	saw("looked first", "%s", SPI_result_code_string(SPI_execute("SELECT count(*) FROM probe_steps", true, 0)));
	code = SPI_execute_extended(sql, &options);
	saw(sql, "%s", SPI_result_code_string(code));
	SPI_finish();
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	CommitTransactionCommand();
	portal->status = PORTAL_DONE; /* some releases refuse to drop one that never was defined */
	PortalDrop(portal, false);
	ActivePortal = NULL;
	PortalContext = NULL;
}

static void probe_parameters_of_options(void)
{
	ParamListInfo params = makeParamList(2);
	SPIExecuteOptions options = { .params = params, .read_only = true, .tcount = 2 };
	Oid types[2] = { INT4OID, TEXTOID };
	SPIPlanPtr plan;

	params->params[0] = (ParamExternData){ .value = Int32GetDatum(3), .pflags = PARAM_FLAG_CONST, .ptype = INT4OID };
	params->params[1] = (ParamExternData){ .value = CStringGetTextDatum("x"), .pflags = PARAM_FLAG_CONST, .ptype = TEXTOID };
	saw("with options", "%s " UINT64_FORMAT,
	    SPI_result_code_string(SPI_execute_extended("SELECT i, $2 FROM generate_series(1, $1) i", &options)), SPI_processed);
	plan = SPI_prepare("SELECT $1 + 1, $2 || 'y'", 2, types);
	options.tcount = 0;
	saw("a plan", "%s", SPI_result_code_string(SPI_execute_plan_extended(plan, &options)));
	saw("its row", "%s %s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
	    SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	saw("with a list", "%s", SPI_result_code_string(SPI_execute_plan_with_paramlist(plan, params, true, 0)));
}

static void wants_rows(void)
{
	SPIExecuteOptions options = { .must_return_tuples = true };

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		SPI_execute_extended("CREATE TABLE probe_rowless ()", &options);
	}
	PG_CATCH();
	{
		RollbackAndReleaseCurrentSubTransaction();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void no_database(void)
{
	get_database_oid("no such database", false);
}

static void no_role(void)
{
	get_role_oid("no such role", false);
}

static void no_schema(void)
{
	get_namespace_oid("no such schema", false);
}

static void probe_names(void)
{
	Oid schema = get_namespace_oid("public", false), steps = get_relname_relid("probe_steps", schema);

	saw("database", "%s", get_database_name(MyDatabaseId));
	saw("its number", "%d", get_database_oid(get_database_name(MyDatabaseId), false) == MyDatabaseId);
	saw("user", "%d", get_role_oid(GetUserNameFromId(GetUserId(), false), false) == GetUserId());
	saw("superuser", "%d", superuser_arg(GetUserId()));
	saw("relation", "%s.%s %c", get_namespace_name(get_rel_namespace(steps)), get_rel_name(steps), get_rel_relkind(steps));
	saw("none", "%u %u %u %u", get_database_oid("no such database", true), get_role_oid("no such role", true),
	    get_namespace_oid("no such schema", true), get_relname_relid("no such relation", schema));
	saw("none by number", "%d %d %d", get_rel_name(1) == NULL, get_namespace_name(1) == NULL, GetUserNameFromId(1, true) == NULL);
	saw("extension", "%d %u", OidIsValid(get_extension_oid("plpgsql", false)), get_extension_oid("no such extension", true));
	probe_error("no database", no_database);
	probe_error("no role", no_role);
	probe_error("no schema", no_schema);
}

static Datum add(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(PG_GETARG_INT32(0) + PG_GETARG_INT32(1));
}

void probe_procedures(void)
{
	execute(procedure);
	call_procedure("CALL probe_steps_do(7)");
	call_procedure("DO $$ BEGIN INSERT INTO probe_steps VALUES (100); COMMIT; END $$");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_execute("SELECT string_agg(n::text, ' ' ORDER BY n) FROM probe_steps", true, 0);
	saw("what was committed", "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_execute("SELECT concat_ws(' ', current_setting('bgw_spi.naptime'), current_setting('bgw_spi.size'),"
		    " current_setting('bgw_spi.color'), current_setting('bgw_spi.ratio'), current_setting('bgw_spi.flag'))", true, 0);
	saw("parameters in SQL", "%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	probe_parameters_of_options();
	probe_error("no rows", wants_rows);
	probe_names();
	saw("a function", "%d", DatumGetInt32(DirectFunctionCall2(add, Int32GetDatum(40), Int32GetDatum(2))));
	saw("cache", "%d", CacheMemoryContext && MemoryContextGetParent(CacheMemoryContext) == TopMemoryContext);
	saw("recovery", "%d", RecoveryInProgress());
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}
