/*
 * The types whose values this library can make from text, and text from values.
 */
#ifndef PGBGW_PG_TYPES_H
#define PGBGW_PG_TYPES_H

struct type {
	Oid oid;
	const char *name; /* NULL: not known */
	int16 length;     /* bytes, -1 varlena, -2 C string */
	bool by_value;
	char alignment;   /* as pg_type.typalign */
	Datum (*in)(const char *text);
	char *(*out)(Datum value);
	Oid element;      /* of an array; then there is no in and out */
	char *(*give)(Datum value); /* the text for the server; NULL: as out */
	Oid enumeration;  /* whose values these are; then there is no in and out */
};

/*
 * type_of never returns NULL: of a type that is not known the server is asked once. One that
 * has no value here is of the length of its text, which stands in for its value.
 */
extern const struct type *type_of(Oid oid);

/* type_built_in is NULL for a type of which the server would be asked. */
extern const struct type *type_built_in(Oid oid);

/* Whether values can be had, not just their text: of the type itself, or of an array's elements. */
extern bool type_has_value(const struct type *t);

/* type_lacks_value raises the error for one that has none. */
extern void type_lacks_value(Oid oid) pg_attribute_noreturn();

/* The value of a text that the server has written; for a type without values the text itself. */
extern Datum type_read(const struct type *t, const char *text);
extern char *type_write(const struct type *t, Datum d);

/* The text by which a value is given to the server, as a parameter. */
extern char *type_give(const struct type *t, Datum d);

/* array_text.c */
extern Datum array_read(const struct type *array, const char *text);
extern char *array_write(Datum d, char *(*element)(const struct type *t, Datum d));

/* asked.c: what the server says of a type; NULL where it cannot be asked. */
extern const struct type *type_asked(Oid oid);

#endif
