/*
 * Values of the common types. The server sends text; what a module gets by
 * SPI_getbinval is made here, in the server's own representation.
 */
#include "internal.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "parser/scansup.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/uuid.h"

#include "types.h"
#include "types_enum.h"
#include "types_interval.h"
#include "types_number.h"
#include "types_time.h"
#include "types_vector.h"

static void bad(const char *type, const char *text)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type %s: \"%s\"", type, text)));
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
	const char *word = t + strspn(t, " \t\n\v\f\r");
	size_t n = strlen(word);
	bool v;

	while (n > 0 && isspace((unsigned char)word[n - 1]))
		n--;
	if (!parse_bool_with_len(word, n, &v))
		bad("boolean", t);
	return BoolGetDatum(v);
}

static char *write_bool(Datum d)
{
	return pstrdup(DatumGetBool(d) ? "t" : "f");
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

	if (strlen(t) >= NAMEDATALEN) { /* not within a character */
		char *cut = pstrdup(t);

		truncate_identifier(cut, (int)strlen(cut), false);
		t = cut;
	}
	namestrcpy(n, t);
	return NameGetDatum(n);
}

static char *write_name(Datum d)
{
	return pstrdup(NameStr(*DatumGetName(d)));
}

/* Of a byte beyond ASCII servers from 16 on have \ooo. */
static Datum read_char(const char *t)
{
	unsigned byte;

	if (strlen(t) == 4 && t[0] == '\\' && strspn(t + 1, "01234567") == 3 && sscanf(t + 1, "%3o", &byte) == 1)
		return CharGetDatum((char)byte);
	return CharGetDatum(t[0]);
}

static char *write_char(Datum d)
{
	unsigned char byte = (unsigned char)DatumGetChar(d);

	return psprintf(PG_VERSION_NUM >= 160000 && byte >= 0x80 ? "\\%03o" : "%c", byte);
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

/* hex_bytes decodes pairs of digits up to the end of t, leaving out dashes; the number of bytes, or -1 when they are more than most. */
static int hex_bytes(const char *t, unsigned char *out, size_t most)
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
		if (low < 0 || (size_t)n == most)
			return -1;
		out[n++] = (unsigned char)(high << 4 | low);
		t += 2;
	}
	return n;
}

/* escaped_bytes decodes what bytea_output = escape makes: \\ and \ooo; the number of bytes, or -1. */
static int escaped_bytes(const char *t, unsigned char *out)
{
	int n = 0;

	for (; *t; n++) {
		unsigned byte;

		if (*t != '\\')
			out[n] = (unsigned char)*t++;
		else if (t[1] == '\\') {
			out[n] = '\\';
			t += 2;
		} else if (strspn(t + 1, "01234567") >= 3 && sscanf(t + 1, "%3o", &byte) == 1 && byte < 256) {
			out[n] = (unsigned char)byte;
			t += 4;
		} else
			return -1;
	}
	return n;
}

static Datum read_bytea(const char *t)
{
	bytea *b = palloc(strlen(t) + VARHDRSZ);
	int n;

	if (t[0] == '\\' && t[1] == 'x')
		n = hex_bytes(t + 2, (unsigned char *)VARDATA(b), strlen(t) / 2);
	else
		n = escaped_bytes(t, (unsigned char *)VARDATA(b));
	if (n < 0)
		bad("bytea", t);
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

	if (hex_bytes(t, u->data, UUID_LEN) != UUID_LEN)
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

static Datum read_tid(const char *t)
{
	ItemPointer p = palloc(sizeof *p);
	unsigned block, offset;

	if (sscanf(t, "(%u,%u)", &block, &offset) != 2 || offset > PG_UINT16_MAX)
		bad("tid", t);
	ItemPointerSet(p, block, (OffsetNumber)offset);
	return PointerGetDatum(p);
}

static char *write_tid(Datum d)
{
	ItemPointer p = (ItemPointer)DatumGetPointer(d);

	return psprintf("(%u,%u)", ItemPointerGetBlockNumberNoCheck(p), ItemPointerGetOffsetNumberNoCheck(p));
}

/* What functions return that return nothing. */
static Datum read_void(const char *t)
{
	return 0;
}

static char *write_void(Datum d)
{
	return pstrdup("");
}

#define ARRAY(oid, name, alignment, element) { oid, name, -1, false, alignment, NULL, NULL, element, NULL }
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
	{ INTERVALOID, "interval", sizeof(Interval), false, TYPALIGN_DOUBLE, read_interval, write_interval, 0, give_interval },
	{ NUMERICOID, "numeric", -1, false, TYPALIGN_INT, read_numeric, write_numeric },
	{ TIDOID, "tid", sizeof(ItemPointerData), false, TYPALIGN_SHORT, read_tid, write_tid },
	{ INT2VECTOROID, "int2vector", -1, false, TYPALIGN_INT, read_int2vector, write_int2vector },
	{ OIDVECTOROID, "oidvector", -1, false, TYPALIGN_INT, read_oidvector, write_oidvector },
	{ VOIDOID, "void", 4, true, TYPALIGN_INT, read_void, write_void },
	{ JSONBOID, "jsonb", -1, false, TYPALIGN_INT, NULL, NULL },
	ARRAY(BOOLARRAYOID, "_bool", TYPALIGN_INT, BOOLOID),
	ARRAY(INT2ARRAYOID, "_int2", TYPALIGN_INT, INT2OID),
	ARRAY(INT4ARRAYOID, "_int4", TYPALIGN_INT, INT4OID),
	ARRAY(INT8ARRAYOID, "_int8", TYPALIGN_DOUBLE, INT8OID),
	ARRAY(FLOAT4ARRAYOID, "_float4", TYPALIGN_INT, FLOAT4OID),
	ARRAY(FLOAT8ARRAYOID, "_float8", TYPALIGN_DOUBLE, FLOAT8OID),
	ARRAY(OIDARRAYOID, "_oid", TYPALIGN_INT, OIDOID),
	ARRAY(TEXTARRAYOID, "_text", TYPALIGN_INT, TEXTOID),
	ARRAY(VARCHARARRAYOID, "_varchar", TYPALIGN_INT, VARCHAROID),
	ARRAY(NAMEARRAYOID, "_name", TYPALIGN_INT, NAMEOID),
	ARRAY(BYTEAARRAYOID, "_bytea", TYPALIGN_INT, BYTEAOID),
	ARRAY(UUIDARRAYOID, "_uuid", TYPALIGN_INT, UUIDOID),
	ARRAY(NUMERICARRAYOID, "_numeric", TYPALIGN_INT, NUMERICOID),
	ARRAY(DATEARRAYOID, "_date", TYPALIGN_INT, DATEOID),
	ARRAY(TIMESTAMPARRAYOID, "_timestamp", TYPALIGN_DOUBLE, TIMESTAMPOID),
	ARRAY(TIMESTAMPTZARRAYOID, "_timestamptz", TYPALIGN_DOUBLE, TIMESTAMPTZOID),
	ARRAY(INTERVALARRAYOID, "_interval", TYPALIGN_DOUBLE, INTERVALOID),
};

const struct type *type_built_in(Oid oid)
{
	for (size_t i = 0; i < lengthof(types); i++)
		if (types[i].oid == oid)
			return &types[i];
	return NULL;
}

const struct type *type_of(Oid oid)
{
	static const struct type unknown = { 0, NULL, -1, false, TYPALIGN_INT, NULL, NULL, 0, NULL };
	const struct type *t = type_built_in(oid);

	if (!t)
		t = type_asked(oid);
	return t ? t : &unknown;
}

bool type_has_value(const struct type *t)
{
	return t->in || OidIsValid(t->enumeration) || (t->element && type_has_value(type_of(t->element)));
}

void type_lacks_value(Oid oid)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("a value of the type with OID %u cannot be had outside the PostgreSQL server", oid),
			errhint("SPI_getvalue has its text; a cast in the query makes it a type that can be had.")));
}

Datum type_read(const struct type *t, const char *text)
{
	if (t->in)
		return t->in(text);
	if (OidIsValid(t->enumeration))
		return read_enum(t->enumeration, text);
	return type_has_value(t) ? array_read(t, text) : read_text(text);
}

char *type_write(const struct type *t, Datum d)
{
	if (t->out)
		return t->out(d);
	if (OidIsValid(t->enumeration))
		return write_enum(t->enumeration, d);
	return type_has_value(t) ? array_write(d, type_write) : write_text(d);
}

char *type_give(const struct type *t, Datum d)
{
	if (t->give)
		return t->give(d);
	return t->element && type_has_value(t) ? array_write(d, type_give) : type_write(t, d);
}

