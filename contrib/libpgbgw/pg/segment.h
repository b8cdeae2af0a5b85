/*
 * What this directory uses of libpgbgw's own headers. They come after
 * PostgreSQL's, whose names they must not meet.
 */
#ifndef PGBGW_PG_SEGMENT_H
#define PGBGW_PG_SEGMENT_H

#include "../pgbgw.h"
#include "../src/internal.h"

#endif
