/*
 * Between types.c and the files of intervals.
 */
#ifndef PGBGW_PG_TYPES_INTERVAL_H
#define PGBGW_PG_TYPES_INTERVAL_H

#include "datatype/timestamp.h"

/* types_interval.c: false for what it does not know; sql says that the text is in IntervalStyle sql_standard. */
extern bool parse_interval(const char *t, bool sql, Interval *out);

/* types_interval_text.c: in the session's IntervalStyle. */
extern Datum read_interval(const char *t);
extern char *write_interval(Datum d);

/* types_interval_text.c: in a form that a server reads alike in each style. */
extern char *give_interval(Datum d);

#endif
