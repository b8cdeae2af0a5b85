/*
 * The types whose values this library can make from text, and text from values.
 */
#ifndef PGBGW_PG_TYPES_H
#define PGBGW_PG_TYPES_H

struct type {
	Oid oid;
	const char *name;
	int16 length;   /* bytes, -1 varlena, -2 C string */
	bool by_value;
	char alignment; /* as pg_type.typalign */
	Datum (*in)(const char *text);  /* NULL: the value cannot be had, its text can */
	char *(*out)(Datum value);
};

/* type_of never returns NULL: a type that is not known is text with that OID and no `in`. */
extern const struct type *type_of(Oid oid);

#endif
