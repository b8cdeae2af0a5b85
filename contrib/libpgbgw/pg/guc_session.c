/*
 * The module's parameters as its session sees them. In the server both are one; here the SQL that
 * a worker runs asks the server, by current_setting or SHOW, for what the module defined
 * in this process. So the session is told of the values, before the next transaction in it.
 */
#include "internal.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "connection.h"
#include "guc.h"

static bool stale;

void guc_session_changed(const struct parameter *p)
{
	stale |= strchr(p->name, '.') != NULL;
}

/*
 * Where the server has the module as well, it may not let a session set one: then its
 * own value holds. Each has an exception handler of its own, which costs no transaction number.
 */
static void append(const struct parameter *p, void *to)
{
	StringInfo body = to;
	const char *value = strchr(p->name, '.') ? value_text(p) : NULL;

	if (!value)
		return;
	appendStringInfo(body, "BEGIN PERFORM pg_catalog.set_config(%s, ", quote_literal_cstr(p->name));
	appendStringInfo(body, "%s, false); EXCEPTION WHEN OTHERS THEN NULL; END;", quote_literal_cstr(value));
}

void guc_session_tell(void)
{
	MemoryContext context = CurrentMemoryContext;
	StringInfoData body;

	if (!stale)
		return;
	stale = false;
	initStringInfo(&body);
	appendStringInfoString(&body, "BEGIN ");
	parameters_walk(append, &body);
	appendStringInfoString(&body, " END");
	PG_TRY();
	{
		connection_command(psprintf("DO LANGUAGE plpgsql %s", quote_literal_cstr(body.data)));
	}
	PG_CATCH();
	{
		stale = geterrcode() != ERRCODE_UNDEFINED_OBJECT && geterrcode() != ERRCODE_INSUFFICIENT_PRIVILEGE;
		if (stale) /* for the next one; a database without plpgsql goes without, and a role that may not use it */
			PG_RE_THROW();
		FlushErrorState();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	pfree(body.data);
}
