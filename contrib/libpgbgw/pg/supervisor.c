/*
 * The control socket, as far as a module's worker needs it.
 */
#include "internal.h"

#include "supervisor.h"

void supervisor_attach(const struct pgbgw_host_worker *worker)
{
}

void supervisor_detach(void)
{
}

void segments_detach(void)
{
}
