/*
 * Strings: formatting into a context, quoting for SQL, and the varlena type text.
 */
#include "internal.h"

#include "common/keywords.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

char *format_string(MemoryContext context, const char *format, va_list args)
{
	int saved = errno;
	char *text;
	va_list copy;
	int n;

	va_copy(copy, args);
	n = vsnprintf(NULL, 0, format, copy);
	va_end(copy);
	if (n < 0)
		elog(ERROR, "vsnprintf failed: %m with format string \"%s\"", format);
	text = MemoryContextAlloc(context, (Size)n + 1);
	errno = saved;
	vsnprintf(text, (size_t)n + 1, format, args);
	return text;
}

char *psprintf(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = format_string(CurrentMemoryContext, fmt, args);
	va_end(args);
	return text;
}

size_t pvsnprintf(char *buf, size_t len, const char *fmt, va_list args)
{
	int n = vsnprintf(buf, len, fmt, args);

	if (n < 0)
		elog(ERROR, "vsnprintf failed: %m with format string \"%s\"", fmt);
	return (size_t)n < len ? (size_t)n : (size_t)n + 1;
}

/* The words of SQL, with what each may be; in the order of ScanKeywords. */
#define PG_KEYWORD(name, value, category, label) category,
static const uint8 categories[] = {
#include "parser/kwlist.h"
};
#undef PG_KEYWORD

static bool needs_quotes(const char *ident)
{
	int word;

	if (!(*ident >= 'a' && *ident <= 'z') && *ident != '_')
		return true;
	for (const char *p = ident; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && *p != '_')
			return true;
	word = ScanKeywordLookup(ident, &ScanKeywords);
	return word >= 0 && categories[word] != UNRESERVED_KEYWORD;
}

bool quote_all_identifiers;

const char *quote_identifier(const char *ident)
{
	StringInfoData out;

	if (!quote_all_identifiers && !needs_quotes(ident))
		return ident;
	initStringInfo(&out);
	appendStringInfoChar(&out, '"');
	for (; *ident; ident++) {
		if (*ident == '"')
			appendStringInfoChar(&out, '"');
		appendStringInfoChar(&out, *ident);
	}
	appendStringInfoChar(&out, '"');
	return out.data;
}

char *quote_qualified_identifier(const char *qualifier, const char *ident)
{
	if (!qualifier)
		return psprintf("%s", quote_identifier(ident));
	return psprintf("%s.%s", quote_identifier(qualifier), quote_identifier(ident));
}

char *quote_literal_cstr(const char *rawstr)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, strchr(rawstr, '\\') ? "E'" : "'");
	for (; *rawstr; rawstr++) {
		if (SQL_STR_DOUBLE(*rawstr, true))
			appendStringInfoChar(&out, *rawstr);
		appendStringInfoChar(&out, *rawstr);
	}
	appendStringInfoChar(&out, '\'');
	return out.data;
}

text *cstring_to_text_with_len(const char *s, int len)
{
	text *t = palloc((Size)len + VARHDRSZ);

	SET_VARSIZE(t, len + VARHDRSZ);
	memcpy(VARDATA(t), s, (size_t)len);
	return t;
}

text *cstring_to_text(const char *s)
{
	return cstring_to_text_with_len(s, (int)strlen(s));
}

char *text_to_cstring(const text *t)
{
	text *plain = pg_detoast_datum_packed(unconstify(text *, t));

	return pnstrdup(VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
}

void text_to_cstring_buffer(const text *src, char *dst, size_t dst_len)
{
	text *plain = pg_detoast_datum_packed(unconstify(text *, src));
	size_t n = VARSIZE_ANY_EXHDR(plain);

	if (dst_len == 0)
		return;
	n = Min(n, dst_len - 1);
	memcpy(dst, VARDATA_ANY(plain), n);
	dst[n] = 0;
}

/*
 * Values come from libpq and are plain: nothing is ever compressed or kept
 * elsewhere, but a short header (one byte) may stand on a value that a module built.
 */
struct varlena *pg_detoast_datum_packed(struct varlena *datum)
{
	if (VARATT_IS_COMPRESSED(datum) || VARATT_IS_EXTERNAL(datum))
		elog(ERROR, "cannot read a compressed or external value outside the server");
	return datum;
}

struct varlena *pg_detoast_datum(struct varlena *datum)
{
	datum = pg_detoast_datum_packed(datum);
	if (VARATT_IS_SHORT(datum))
		return cstring_to_text_with_len(VARDATA_SHORT(datum), (int)VARSIZE_SHORT(datum) - VARHDRSZ_SHORT);
	return datum;
}

struct varlena *pg_detoast_datum_copy(struct varlena *datum)
{
	struct varlena *plain = pg_detoast_datum(datum), *copy;

	if (plain != datum)
		return plain;
	copy = palloc(VARSIZE(plain));
	return memcpy(copy, plain, VARSIZE(plain));
}

int namestrcmp(Name name, const char *str)
{
	if (!name || !str)
		return name ? 1 : str ? -1 : 0;
	return strncmp(NameStr(*name), str, NAMEDATALEN);
}

void namestrcpy(Name name, const char *str)
{
	memset(name, 0, NAMEDATALEN);
	strlcpy(NameStr(*name), str, NAMEDATALEN);
}

void truncate_identifier(char *ident, int len, bool warn)
{
	int n = len;

	if (len < NAMEDATALEN)
		return;
	for (n = NAMEDATALEN - 1; n > 0 && ((unsigned char)ident[n] & 0xC0) == 0x80;)
		n--; /* not within a character of UTF-8 */
	if (warn)
		ereport(NOTICE, (errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("identifier \"%s\" will be truncated to \"%.*s\"", ident, n, ident)));
	ident[n] = 0;
}

/* take_name reads one name of a list, quoted or not, and ends it with a NUL; NULL when it is none. The rest starts at *next. */
static char *take_name(char *at, char separator, bool fold, char **next)
{
	char *from, *to = at;

	if (*at != '"') {
		char *start = at;

		while (*at && *at != separator && !isspace((unsigned char)*at))
			at++;
		*next = at;
		if (at == start)
			return NULL;
		for (char *p = start; fold && p < at; p++)
			*p = (char)pg_tolower((unsigned char)*p);
		return start;
	}
	for (from = at + 1; *from && !(*from == '"' && from[1] != '"'); from++) {
		from += *from == '"'; /* doubled */
		*to++ = *from;
	}
	if (!*from)
		return NULL;
	*to = 0; /* never beyond the closing quote */
	*next = from + 1;
	return at;
}

/* split cuts a list at its commas, in place; false for a list that is not well formed. */
static bool split(char *rest, char separator, bool fold, List **out)
{
	*out = NIL;
	while (isspace((unsigned char)*rest))
		rest++;
	if (!*rest)
		return true;
	for (;;) {
		char *after, *name = take_name(rest, separator, fold, &after), mark;

		if (!name)
			return false;
		rest = after;
		while (isspace((unsigned char)*rest))
			rest++;
		mark = *rest;
		if (mark && mark != separator)
			return false;
		*after = 0;
		if (fold)
			truncate_identifier(name, (int)strlen(name), false);
		*out = lappend(*out, name);
		if (!mark)
			return true;
		for (rest++; isspace((unsigned char)*rest); rest++)
			;
	}
}

bool SplitIdentifierString(char *rawstring, char separator, List **namelist)
{
	return split(rawstring, separator, true, namelist);
}

bool SplitGUCList(char *rawstring, char separator, List **namelist)
{
	return split(rawstring, separator, false, namelist);
}
