/*
 * Between types.c and types_time.c.
 */
#ifndef PGBGW_PG_TYPES_TIME_H
#define PGBGW_PG_TYPES_TIME_H

extern Datum read_date(const char *t);
extern Datum read_time(const char *t);
extern Datum read_timestamp(const char *t);
extern Datum read_timestamptz(const char *t);
extern char *write_date(Datum d);
extern char *write_time(Datum d);
extern char *write_timestamp(Datum d);
extern char *write_timestamptz(Datum d);

#endif
