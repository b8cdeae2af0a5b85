/*
 * Between types.c and types_vector.c.
 */
#ifndef PGBGW_PG_TYPES_VECTOR_H
#define PGBGW_PG_TYPES_VECTOR_H

extern Datum read_int2vector(const char *t);
extern Datum read_oidvector(const char *t);
extern char *write_int2vector(Datum d);
extern char *write_oidvector(Datum d);

#endif
