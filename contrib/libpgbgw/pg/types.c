/*
 * Values of the common types. The server sends text; what a module gets by
 * SPI_getbinval is made here, in the server's own representation.
 */
#include "internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/uuid.h"

#include "types.h"
#include "types_time.h"

static void bad(const char *type, const char *text)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type %s: \"%s\"", type, text)));
}

static int64 integer(const char *text, const char *type, int64 min, int64 max)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end)
		bad(type, text);
	if (errno || v < min || v > max)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("value \"%s\" is out of range for type %s", text, type)));
	return v;
}

int16 pg_strtoint16(const char *s)
{
	return (int16)integer(s, "smallint", SHRT_MIN, SHRT_MAX);
}

int32 pg_strtoint32(const char *s)
{
	return (int32)integer(s, "integer", INT_MIN, INT_MAX);
}

int64 pg_strtoint64(const char *s)
{
	return integer(s, "bigint", INT64_MIN, INT64_MAX);
}

bool parse_bool_with_len(const char *value, size_t len, bool *result)
{
	static const struct {
		const char *word;
		size_t least;
		bool value;
	} words[] = { { "true", 1, true }, { "false", 1, false }, { "yes", 1, true }, { "no", 1, false },
		      { "on", 2, true }, { "off", 2, false }, { "1", 1, true }, { "0", 1, false } };

	for (size_t i = 0; i < lengthof(words); i++)
		if (len >= words[i].least && len <= strlen(words[i].word) && pg_strncasecmp(value, words[i].word, len) == 0) {
			if (result)
				*result = words[i].value;
			return true;
		}
	return false;
}

bool parse_bool(const char *value, bool *result)
{
	return parse_bool_with_len(value, strlen(value), result);
}

static Datum read_bool(const char *t)
{
	bool v;

	if (!parse_bool(t, &v))
		bad("boolean", t);
	return BoolGetDatum(v);
}

static char *write_bool(Datum d)
{
	return pstrdup(DatumGetBool(d) ? "t" : "f");
}

static Datum read_int2(const char *t)
{
	return Int16GetDatum(pg_strtoint16(t));
}

static char *write_int2(Datum d)
{
	return psprintf("%d", DatumGetInt16(d));
}

static Datum read_int4(const char *t)
{
	return Int32GetDatum(pg_strtoint32(t));
}

static char *write_int4(Datum d)
{
	return psprintf("%d", DatumGetInt32(d));
}

static Datum read_int8(const char *t)
{
	return Int64GetDatum(pg_strtoint64(t));
}

static char *write_int8(Datum d)
{
	return psprintf(INT64_FORMAT, DatumGetInt64(d));
}

static Datum read_oid(const char *t)
{
	return ObjectIdGetDatum((Oid)integer(t, "oid", 0, UINT_MAX));
}

static char *write_oid(Datum d)
{
	return psprintf("%u", DatumGetObjectId(d));
}

static Datum read_xid8(const char *t)
{
	return UInt64GetDatum(strtoull(t, NULL, 10));
}

static char *write_xid8(Datum d)
{
	return psprintf(UINT64_FORMAT, DatumGetUInt64(d));
}

static double real(const char *t, const char *type)
{
	char *end;
	double v = strtod(t, &end); /* NaN and Infinity too */

	if (end == t || *end)
		bad(type, t);
	return v;
}

static Datum read_float4(const char *t)
{
	return Float4GetDatum((float4)real(t, "real"));
}

static Datum read_float8(const char *t)
{
	return Float8GetDatum(real(t, "double precision"));
}

static char *special(double v)
{
	return pstrdup(isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

static char *write_float4(Datum d)
{
	char *text = palloc(FLOAT_SHORTEST_DECIMAL_LEN);
	float4 v = DatumGetFloat4(d);

	if (!isfinite(v))
		return special(v);
	float_to_shortest_decimal_buf(v, text);
	return text;
}

static char *write_float8(Datum d)
{
	char *text = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);
	float8 v = DatumGetFloat8(d);

	if (!isfinite(v))
		return special(v);
	double_to_shortest_decimal_buf(v, text);
	return text;
}

static Datum read_text(const char *t)
{
	return PointerGetDatum(cstring_to_text(t));
}

static char *write_text(Datum d)
{
	return text_to_cstring((text *)DatumGetPointer(d));
}

static Datum read_name(const char *t)
{
	Name n = palloc0(NAMEDATALEN);

	namestrcpy(n, t);
	return NameGetDatum(n);
}

static char *write_name(Datum d)
{
	return pstrdup(NameStr(*DatumGetName(d)));
}

static Datum read_char(const char *t)
{
	return CharGetDatum(t[0]);
}

static char *write_char(Datum d)
{
	return psprintf("%c", DatumGetChar(d));
}

static Datum read_cstring(const char *t)
{
	return CStringGetDatum(pstrdup(t));
}

static char *write_cstring(Datum d)
{
	return pstrdup(DatumGetCString(d));
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* hex_bytes decodes pairs of digits up to the end of t, leaving out dashes; the number of bytes, or -1. */
static int hex_bytes(const char *t, unsigned char *out)
{
	int n = 0;

	while (*t) {
		int high, low;

		if (*t == '-') {
			t++;
			continue;
		}
		high = hex_digit(t[0]);
		low = high < 0 ? -1 : hex_digit(t[1]);
		if (low < 0)
			return -1;
		out[n++] = (unsigned char)(high << 4 | low);
		t += 2;
	}
	return n;
}

static Datum read_bytea(const char *t)
{
	bytea *b = palloc(strlen(t) + VARHDRSZ);
	int n;

	if (t[0] != '\\' || t[1] != 'x' || (n = hex_bytes(t + 2, (unsigned char *)VARDATA(b))) < 0) {
		bad("bytea", t); /* bytea_output = escape is not read */
		return 0;
	}
	SET_VARSIZE(b, n + VARHDRSZ);
	return PointerGetDatum(b);
}

static char *hex_text(const char *prefix, const unsigned char *bytes, size_t n)
{
	size_t at = strlen(prefix);
	char *text = palloc(at + n * 2 + 1);

	strcpy(text, prefix);
	for (size_t i = 0; i < n; i++, at += 2)
		sprintf(text + at, "%02x", bytes[i]);
	return text;
}

static char *write_bytea(Datum d)
{
	bytea *b = (bytea *)pg_detoast_datum_packed((struct varlena *)DatumGetPointer(d));

	return hex_text("\\x", (unsigned char *)VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

static Datum read_uuid(const char *t)
{
	pg_uuid_t *u = palloc(sizeof *u);

	if (strlen(t) > 36 || hex_bytes(t, u->data) != UUID_LEN)
		bad("uuid", t);
	return UUIDPGetDatum(u);
}

static char *write_uuid(Datum d)
{
	const unsigned char *b = DatumGetUUIDP(d)->data;

	return psprintf("%s-%s-%s-%s-%s", hex_text("", b, 4), hex_text("", b + 4, 2), hex_text("", b + 6, 2),
			hex_text("", b + 8, 2), hex_text("", b + 10, 6));
}

static Datum read_lsn(const char *t)
{
	unsigned high, low;

	if (sscanf(t, "%X/%X", &high, &low) != 2)
		bad("pg_lsn", t);
	return UInt64GetDatum((uint64)high << 32 | low);
}

static char *write_lsn(Datum d)
{
	uint64 v = DatumGetUInt64(d);

	return psprintf("%X/%X", (unsigned)(v >> 32), (unsigned)v);
}

#define TEXTUAL(oid, name) { oid, name, -1, false, TYPALIGN_INT, read_text, write_text }

static const struct type types[] = {
	{ BOOLOID, "bool", 1, true, TYPALIGN_CHAR, read_bool, write_bool },
	{ INT2OID, "int2", 2, true, TYPALIGN_SHORT, read_int2, write_int2 },
	{ INT4OID, "int4", 4, true, TYPALIGN_INT, read_int4, write_int4 },
	{ INT8OID, "int8", 8, true, TYPALIGN_DOUBLE, read_int8, write_int8 },
	{ FLOAT4OID, "float4", 4, true, TYPALIGN_INT, read_float4, write_float4 },
	{ FLOAT8OID, "float8", 8, true, TYPALIGN_DOUBLE, read_float8, write_float8 },
	{ OIDOID, "oid", 4, true, TYPALIGN_INT, read_oid, write_oid },
	{ XIDOID, "xid", 4, true, TYPALIGN_INT, read_oid, write_oid },
	{ CIDOID, "cid", 4, true, TYPALIGN_INT, read_oid, write_oid },
	{ XID8OID, "xid8", 8, true, TYPALIGN_DOUBLE, read_xid8, write_xid8 },
	{ PG_LSNOID, "pg_lsn", 8, true, TYPALIGN_DOUBLE, read_lsn, write_lsn },
	{ CHAROID, "char", 1, true, TYPALIGN_CHAR, read_char, write_char },
	{ NAMEOID, "name", NAMEDATALEN, false, TYPALIGN_CHAR, read_name, write_name },
	{ UUIDOID, "uuid", UUID_LEN, false, TYPALIGN_CHAR, read_uuid, write_uuid },
	{ CSTRINGOID, "cstring", -2, false, TYPALIGN_CHAR, read_cstring, write_cstring },
	{ UNKNOWNOID, "unknown", -2, false, TYPALIGN_CHAR, read_cstring, write_cstring },
	{ BYTEAOID, "bytea", -1, false, TYPALIGN_INT, read_bytea, write_bytea },
	TEXTUAL(TEXTOID, "text"),
	TEXTUAL(VARCHAROID, "varchar"),
	TEXTUAL(BPCHAROID, "bpchar"),
	TEXTUAL(JSONOID, "json"),
	TEXTUAL(XMLOID, "xml"),
	{ DATEOID, "date", 4, true, TYPALIGN_INT, read_date, write_date },
	{ TIMEOID, "time", 8, true, TYPALIGN_DOUBLE, read_time, write_time },
	{ TIMESTAMPOID, "timestamp", 8, true, TYPALIGN_DOUBLE, read_timestamp, write_timestamp },
	{ TIMESTAMPTZOID, "timestamptz", 8, true, TYPALIGN_DOUBLE, read_timestamptz, write_timestamptz },
};

const struct type *type_of(Oid oid)
{
	static struct type other = { 0, "text", -1, false, TYPALIGN_INT, NULL, write_text };

	for (size_t i = 0; i < lengthof(types); i++)
		if (types[i].oid == oid)
			return &types[i];
	other.oid = oid;
	return &other;
}
