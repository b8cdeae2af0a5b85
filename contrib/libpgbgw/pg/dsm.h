/*
 * dsm.c's, for dsm_named.c.
 */
#ifndef PGBGW_PG_DSM_H
#define PGBGW_PG_DSM_H

#include "../pgbgw.h"

/* dsm_add makes a mapping of d, which belongs to the current resource owner. */
extern dsm_segment *dsm_add(pgbgw_dynamic *d);

#endif
