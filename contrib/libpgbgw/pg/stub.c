/*
 * Where every function of the server that this library does not have ends up;
 * build.sh makes one entry for each, which calls this with its own name.
 */
#include "internal.h"

extern void pgbgw_stub(const char *name) pg_attribute_noreturn();

void pgbgw_stub(const char *name)
{
	ereport(FATAL, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("function \"%s\" exists only inside the PostgreSQL server", name),
			errhint("\"pg-bgwctl module check\" lists what a module needs and has not here.")));
}
