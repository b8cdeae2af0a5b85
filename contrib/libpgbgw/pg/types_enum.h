/*
 * Values of enumerations: types_enum.c. A value is the OID of its row in pg_enum.
 */
#ifndef PGBGW_PG_TYPES_ENUM_H
#define PGBGW_PG_TYPES_ENUM_H

/* The value that has a label, or the label that a value has, in the enumeration of this OID. */
extern Datum read_enum(Oid enumeration, const char *label);
extern char *write_enum(Oid enumeration, Datum value);

#endif
