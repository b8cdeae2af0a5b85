/*
 * Between types.c and the files of numbers.
 */
#ifndef PGBGW_PG_TYPES_NUMBER_H
#define PGBGW_PG_TYPES_NUMBER_H

/* types_number.c */
extern Datum read_int2(const char *t);
extern Datum read_int4(const char *t);
extern Datum read_int8(const char *t);
extern Datum read_oid(const char *t);
extern Datum read_xid8(const char *t);
extern Datum read_float4(const char *t);
extern Datum read_float8(const char *t);
extern char *write_int2(Datum d);
extern char *write_int4(Datum d);
extern char *write_int8(Datum d);
extern char *write_oid(Datum d);
extern char *write_xid8(Datum d);
extern char *write_float4(Datum d);
extern char *write_float8(Datum d);

/* types_numeric.c */
extern Datum read_numeric(const char *t);
extern char *write_numeric(Datum d);

/* A numeric, taken apart. The digits stay where the value has them. */
struct numeric_value {
	bool special;  /* nan, or infinite with the sign of negative; nothing below counts */
	bool nan;
	bool negative;
	int weight;    /* of the first digit: it counts 10000 ** weight */
	int scale;     /* decimal digits that are shown behind the point */
	int n;
	int16 *digits; /* 0 to 9999, the first and the last are not 0 */
};

extern void numeric_open(Datum d, struct numeric_value *n);

#endif
