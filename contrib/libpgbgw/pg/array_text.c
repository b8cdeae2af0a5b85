/*
 * Arrays from text and as text, as array_in and array_out of the server have it:
 * [2:3]={a,"b c",NULL}.
 */
#include "internal.h"

#include <stdlib.h>

#include "lib/stringinfo.h"
#include "utils/array.h"

#include "types.h"

struct reader {
	const char *text, *at;
	const struct type *element;
	int ndim, dims[MAXDIM], bounds[MAXDIM];
	int n, room;
	Datum *values;
	bool *nulls;
};

static void malformed(const struct reader *r) pg_attribute_noreturn();

static void malformed(const struct reader *r)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("malformed array literal: \"%s\"", r->text)));
}

static bool space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* token skips white space up to the next character, and past that when it is the one. */
static bool token(struct reader *r, char c)
{
	while (space(*r->at))
		r->at++;
	if (*r->at != c)
		return false;
	r->at++;
	return true;
}

static void append(struct reader *r, Datum value, bool null)
{
	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 16;
		r->values = r->values ? repalloc(r->values, (Size)r->room * sizeof *r->values) : palloc((Size)r->room * sizeof *r->values);
		r->nulls = r->nulls ? repalloc(r->nulls, (Size)r->room) : palloc((Size)r->room);
	}
	r->values[r->n] = value;
	r->nulls[r->n++] = null;
}

/* read_quoted reads to the closing quote. */
static void read_quoted(struct reader *r, StringInfo s)
{
	for (; *r->at != '"'; r->at++) {
		if (*r->at == '\\')
			r->at++;
		if (!*r->at)
			malformed(r);
		appendStringInfoCharMacro(s, *r->at);
	}
	r->at++;
}

/* read_plain reads to the next delimiter; white space before that is not of the value. */
static void read_plain(struct reader *r, StringInfo s)
{
	int length = 0;

	for (; *r->at != ',' && *r->at != '}'; r->at++) {
		bool escaped = *r->at == '\\';

		r->at += escaped;
		if (!*r->at || (!escaped && (*r->at == '{' || *r->at == '"')))
			malformed(r);
		appendStringInfoCharMacro(s, *r->at);
		if (escaped || !space(*r->at))
			length = s->len;
	}
	s->len = length;
	s->data[length] = '\0';
}

static void read_element(struct reader *r)
{
	StringInfoData s;
	bool quoted = token(r, '"'), null;

	initStringInfo(&s);
	if (quoted)
		read_quoted(r, &s);
	else
		read_plain(r, &s);
	if (!quoted && s.len == 0)
		malformed(r);
	null = !quoted && pg_strcasecmp(s.data, "NULL") == 0;
	append(r, null ? 0 : type_read(r->element, s.data), null);
	pfree(s.data);
}

/*
 * read_level reads what is within braces, the first of which is taken. The first
 * of each level says how long all of that level are.
 */
static void read_level(struct reader *r, int level)
{
	bool nested;
	int n = 0;

	if (level == MAXDIM)
		malformed(r);
	do {
		nested = token(r, '{');
		if (nested && r->n == 0 && n == 0 && r->ndim == level + 1)
			r->ndim++;
		if (nested == (level + 1 == r->ndim))
			malformed(r);
		if (nested)
			read_level(r, level + 1);
		else
			read_element(r);
		n++;
	} while (token(r, ','));
	if (!token(r, '}') || (r->dims[level] >= 0 && r->dims[level] != n))
		malformed(r);
	r->dims[level] = n;
}

/* read_bounds reads [1:2][0:3]= and leaves the dimensions for read_level to find the same. */
static void read_bounds(struct reader *r, int *ndim)
{
	for (*ndim = 0; token(r, '['); ++*ndim) {
		char *end;
		long first, last;

		if (*ndim == MAXDIM)
			malformed(r);
		first = strtol(r->at, &end, 10);
		last = *end == ':' ? strtol(end + 1, &end, 10) : first;
		if (*end != ']' || last < first || first < PG_INT32_MIN || last - first >= PG_INT32_MAX)
			malformed(r);
		r->bounds[*ndim] = (int)first;
		r->dims[*ndim] = (int)(last - first + 1);
		r->at = end + 1;
	}
	if (*ndim && !token(r, '='))
		malformed(r);
}

Datum array_read(const struct type *array, const char *text)
{
	struct reader r = { .text = text, .at = text, .element = type_of(array->element), .ndim = 1 };
	ArrayType *a;
	int given;

	for (int i = 0; i < MAXDIM; i++) {
		r.dims[i] = -1;
		r.bounds[i] = 1;
	}
	read_bounds(&r, &given);
	if (!token(&r, '{'))
		malformed(&r);
	if (!token(&r, '}'))
		read_level(&r, 0);
	if (!token(&r, '\0') || (given && given != r.ndim))
		malformed(&r);
	a = r.n == 0 ? construct_empty_array(array->element)
		     : construct_md_array(r.values, r.nulls, r.ndim, r.dims, r.bounds, array->element, r.element->length,
					  r.element->by_value, r.element->alignment);
	return PointerGetDatum(a);
}

static bool needs_quotes(const char *s)
{
	if (!*s || pg_strcasecmp(s, "NULL") == 0)
		return true;
	for (; *s; s++)
		if (space(*s) || strchr("\"\\{},", *s))
			return true;
	return false;
}

static void append_element(StringInfo out, const char *s)
{
	if (!needs_quotes(s)) {
		appendStringInfoString(out, s);
		return;
	}
	appendStringInfoCharMacro(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			appendStringInfoCharMacro(out, '\\');
		appendStringInfoCharMacro(out, *s);
	}
	appendStringInfoCharMacro(out, '"');
}

/* What is being written: the elements that are left. */
struct writer {
	StringInfo out;
	const struct type *element;
	char *(*write)(const struct type *t, Datum d);
	int ndim;
	const int *dims;
	const Datum *values;
	const bool *nulls;
};

static void write_level(struct writer *w, int level)
{
	appendStringInfoCharMacro(w->out, '{');
	for (int i = 0; i < w->dims[level]; i++) {
		if (i > 0)
			appendStringInfoCharMacro(w->out, ',');
		if (level + 1 < w->ndim) {
			write_level(w, level + 1);
			continue;
		}
		if (*w->nulls)
			appendStringInfoString(w->out, "NULL");
		else
			append_element(w->out, w->write(w->element, *w->values));
		w->values++;
		w->nulls++;
	}
	appendStringInfoCharMacro(w->out, '}');
}

static void write_bounds(StringInfo out, const ArrayType *a)
{
	bool usual = true;

	for (int i = 0; i < ARR_NDIM(a); i++)
		usual &= ARR_LBOUND(a)[i] == 1;
	if (usual)
		return;
	for (int i = 0; i < ARR_NDIM(a); i++)
		appendStringInfo(out, "[%d:%d]", ARR_LBOUND(a)[i], ARR_LBOUND(a)[i] + ARR_DIMS(a)[i] - 1);
	appendStringInfoCharMacro(out, '=');
}

char *array_write(Datum d, char *(*element)(const struct type *t, Datum d))
{
	ArrayType *a = DatumGetArrayTypeP(d);
	const struct type *t = type_of(ARR_ELEMTYPE(a));
	struct writer w = { .element = t, .write = element, .ndim = ARR_NDIM(a), .dims = ARR_DIMS(a) };
	StringInfoData out;
	Datum *values;
	bool *nulls;
	int n;

	if (!type_has_value(t))
		type_lacks_value(ARR_ELEMTYPE(a));
	initStringInfo(&out);
	if (ARR_NDIM(a) == 0) {
		appendStringInfoString(&out, "{}");
		return out.data;
	}
	deconstruct_array(a, ARR_ELEMTYPE(a), t->length, t->by_value, t->alignment, &values, &nulls, &n);
	w.values = values;
	w.nulls = nulls;
	w.out = &out;
	write_bounds(&out, a);
	write_level(&w, 0);
	return out.data;
}
