/*
 * Values of configuration parameters: from text, through the check hook, into
 * the module's variable, and back to text.
 */
#include "internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "guc.h"

struct unit {
	const char *name;
	int flag;      /* GUC_UNIT_*: the base unit of the parameter */
	double factor; /* base units in one of these */
};

/* Largest first: the first that fits shows the value. */
static const struct unit units[] = {
	{ "TB", GUC_UNIT_BYTE, 1099511627776.0 }, { "GB", GUC_UNIT_BYTE, 1073741824.0 },
	{ "MB", GUC_UNIT_BYTE, 1048576.0 }, { "kB", GUC_UNIT_BYTE, 1024.0 }, { "B", GUC_UNIT_BYTE, 1.0 },
	{ "TB", GUC_UNIT_KB, 1073741824.0 }, { "GB", GUC_UNIT_KB, 1048576.0 },
	{ "MB", GUC_UNIT_KB, 1024.0 }, { "kB", GUC_UNIT_KB, 1.0 }, { "B", GUC_UNIT_KB, 1.0 / 1024 },
	{ "TB", GUC_UNIT_MB, 1048576.0 }, { "GB", GUC_UNIT_MB, 1024.0 }, { "MB", GUC_UNIT_MB, 1.0 },
	{ "kB", GUC_UNIT_MB, 1.0 / 1024 }, { "B", GUC_UNIT_MB, 1.0 / 1048576 },
	{ "TB", GUC_UNIT_BLOCKS, 1073741824.0 / (BLCKSZ / 1024) }, { "GB", GUC_UNIT_BLOCKS, 1048576.0 / (BLCKSZ / 1024) },
	{ "MB", GUC_UNIT_BLOCKS, 1024.0 / (BLCKSZ / 1024) }, { "kB", GUC_UNIT_BLOCKS, 1.0 / (BLCKSZ / 1024) },
	{ "d", GUC_UNIT_MS, 86400000.0 }, { "h", GUC_UNIT_MS, 3600000.0 }, { "min", GUC_UNIT_MS, 60000.0 },
	{ "s", GUC_UNIT_MS, 1000.0 }, { "ms", GUC_UNIT_MS, 1.0 }, { "us", GUC_UNIT_MS, 0.001 },
	{ "d", GUC_UNIT_S, 86400.0 }, { "h", GUC_UNIT_S, 3600.0 }, { "min", GUC_UNIT_S, 60.0 },
	{ "s", GUC_UNIT_S, 1.0 }, { "ms", GUC_UNIT_S, 0.001 }, { "us", GUC_UNIT_S, 0.000001 },
	{ "d", GUC_UNIT_MIN, 1440.0 }, { "h", GUC_UNIT_MIN, 60.0 }, { "min", GUC_UNIT_MIN, 1.0 },
	{ "s", GUC_UNIT_MIN, 1.0 / 60 }, { "ms", GUC_UNIT_MIN, 1.0 / 60000 },
};

static bool unit_factor(const char *text, int flags, double *factor)
{
	for (size_t i = 0; i < lengthof(units); i++)
		if (units[i].flag == (flags & (GUC_UNIT_MEMORY | GUC_UNIT_TIME)) && strcmp(units[i].name, text) == 0) {
			*factor = units[i].factor;
			return true;
		}
	return false;
}

static const char *unit_hint(int flags)
{
	if (flags & GUC_UNIT_MEMORY)
		return "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".";
	return "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";
}

bool parse_real(const char *value, double *result, int flags, const char **hintmsg)
{
	char unit[8], *end;
	double v, factor;
	size_t n;

	if (hintmsg)
		*hintmsg = NULL;
	errno = 0;
	v = strtod(value, &end);
	if (end == value || errno == ERANGE || isnan(v))
		return false;
	while (isspace((unsigned char)*end))
		end++;
	n = strcspn(end, " \t\n\r\f\v");
	if (n > 0) {
		strlcpy(unit, end, Min(n + 1, sizeof unit));
		end += n;
		while (isspace((unsigned char)*end))
			end++;
		if (*end || n >= sizeof unit || !(flags & GUC_UNIT) || !unit_factor(unit, flags, &factor)) {
			if (hintmsg && (flags & GUC_UNIT))
				*hintmsg = unit_hint(flags);
			return false;
		}
		v *= factor;
	}
	*result = v;
	return true;
}

bool parse_int(const char *value, int *result, int flags, const char **hintmsg)
{
	char *end;
	long long whole;
	double v;

	errno = 0;
	whole = strtoll(value, &end, 0); /* hexadecimal and octal too */
	while (isspace((unsigned char)*end))
		end++;
	if (end != value && !*end && errno == 0)
		v = (double)whole;
	else if (!parse_real(value, &v, flags, hintmsg))
		return false;
	v = rint(v);
	if (v > INT_MAX || v < INT_MIN) {
		if (hintmsg)
			*hintmsg = "Value exceeds integer range.";
		return false;
	}
	*result = (int)v;
	return true;
}



static bool enum_lookup(const struct parameter *p, const char *text, int *out)
{
	for (const struct config_enum_entry *e = p->options; e && e->name; e++)
		if (pg_strcasecmp(e->name, text) == 0) {
			*out = e->val;
			return true;
		}
	return false;
}

static const char *enum_hint(const struct parameter *p)
{
	StringInfoData s;

	initStringInfo(&s);
	for (const struct config_enum_entry *e = p->options; e && e->name; e++)
		if (!e->hidden)
			appendStringInfo(&s, "%s%s", s.len ? ", " : "Available values: ", e->name);
	appendStringInfoChar(&s, '.');
	return s.data;
}

static bool refuse(const struct parameter *p, const char *text, const char *hint, int level)
{
	if (p->kind == KIND_BOOL)
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("parameter \"%s\" requires a Boolean value", p->name)));
	else
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"%s\": \"%s\"", p->name, text),
				hint ? errhint("%s", hint) : 0));
	return false;
}

static bool in_range(const struct parameter *p, union value v, int level)
{
	if (p->kind == KIND_INT && (v.i < p->min.i || v.i > p->max.i))
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%d is outside the valid range for parameter \"%s\" (%d .. %d)", v.i, p->name, p->min.i, p->max.i)));
	else if (p->kind == KIND_REAL && (v.r < p->min.r || v.r > p->max.r))
		ereport(level, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%g is outside the valid range for parameter \"%s\" (%g .. %g)", v.r, p->name, p->min.r, p->max.r)));
	else
		return true;
	return false;
}

bool value_parse(const struct parameter *p, const char *text, union value *out, int level)
{
	const char *hint = NULL;
	bool ok = true;

	switch (p->kind) {
	case KIND_BOOL:
		ok = parse_bool(text, &out->b);
		break;
	case KIND_INT:
		ok = parse_int(text, &out->i, p->flags, &hint);
		break;
	case KIND_REAL:
		ok = parse_real(text, &out->r, p->flags, &hint);
		break;
	case KIND_STRING:
		out->s = unconstify(char *, text);
		break;
	case KIND_ENUM:
		ok = enum_lookup(p, text, &out->i);
		hint = ok ? NULL : enum_hint(p);
		break;
	}
	if (!ok)
		return refuse(p, text, hint, level);
	return in_range(p, *out, level);
}

static int check_code;

void GUC_check_errcode(int sqlerrcode)
{
	check_code = sqlerrcode;
}

/* As PostgreSQL shows a value that a check hook refuses. */
static char *refused_value(const struct parameter *p, union value v)
{
	switch (p->kind) {
	case KIND_BOOL:
		return psprintf("%d", v.b);
	case KIND_INT:
		return psprintf("%d", v.i);
	case KIND_REAL:
		return psprintf("%g", v.r);
	case KIND_STRING:
		return psprintf("\"%s\"", v.s ? v.s : "");
	case KIND_ENUM:
		for (const struct config_enum_entry *e = p->options; e && e->name; e++)
			if (e->val == v.i)
				return psprintf("\"%s\"", e->name);
	}
	return psprintf("%d", v.i);
}

/* check runs the module's check hook, which may change the value. */
static bool check(const struct parameter *p, union value *v, void **extra, GucSource source, int level)
{
	bool ok = true;

	check_code = ERRCODE_INVALID_PARAMETER_VALUE;
	GUC_check_errmsg_string = GUC_check_errdetail_string = GUC_check_errhint_string = NULL;
	switch (p->kind) {
	case KIND_BOOL:
		ok = !p->check.b || p->check.b(&v->b, extra, source);
		break;
	case KIND_INT:
		ok = !p->check.i || p->check.i(&v->i, extra, source);
		break;
	case KIND_REAL:
		ok = !p->check.r || p->check.r(&v->r, extra, source);
		break;
	case KIND_STRING:
		ok = !p->check.s || p->check.s(&v->s, extra, source);
		break;
	case KIND_ENUM:
		ok = !p->check.e || p->check.e(&v->i, extra, source);
		break;
	}
	if (!ok)
		ereport(level, (errcode(check_code),
				GUC_check_errmsg_string ? errmsg_internal("%s", GUC_check_errmsg_string)
							: errmsg("invalid value for parameter \"%s\": %s", p->name, refused_value(p, *v)),
				GUC_check_errdetail_string ? errdetail_internal("%s", GUC_check_errdetail_string) : 0,
				GUC_check_errhint_string ? errhint("%s", GUC_check_errhint_string) : 0));
	return ok;
}

static void assign(struct parameter *p, union value v, void *extra)
{
	switch (p->kind) {
	case KIND_BOOL:
		if (p->assign.b)
			p->assign.b(v.b, extra);
		*(bool *)p->variable = v.b;
		break;
	case KIND_REAL:
		if (p->assign.r)
			p->assign.r(v.r, extra);
		*(double *)p->variable = v.r;
		break;
	case KIND_STRING:
		if (p->assign.s)
			p->assign.s(v.s, extra);
		free(*(char **)p->variable);
		*(char **)p->variable = v.s;
		break;
	case KIND_INT:
	case KIND_ENUM: /* the two kinds' hooks have one signature */
		if (p->assign.i)
			p->assign.i(v.i, extra);
		*(int *)p->variable = v.i;
		break;
	}
	if (p->extra != extra)
		free(p->extra);
	p->extra = extra;
}

bool value_install(struct parameter *p, union value v, GucSource source, int level)
{
	void *extra = NULL;

	if (p->kind == KIND_STRING && v.s) {
		v.s = strdup(v.s);
		if (!v.s)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	if (!check(p, &v, &extra, source, level)) {
		if (p->kind == KIND_STRING)
			free(v.s);
		return false;
	}
	assign(p, v, extra);
	p->source = source;
	guc_session_changed(p);
	return true;
}

/* with_unit shows whole multiples of a unit as PostgreSQL's SHOW does. */
static char *with_unit(int value, int flags)
{
	flags &= GUC_UNIT_MEMORY | GUC_UNIT_TIME;
	for (size_t i = 0; i < lengthof(units) && value > 0 && flags; i++)
		if (units[i].flag == flags && units[i].factor >= 1 && value % (int64)units[i].factor == 0)
			return psprintf("%d%s", (int)(value / units[i].factor), units[i].name);
	return psprintf("%d", value);
}

char *value_text(const struct parameter *p)
{
	if (p->show)
		return pstrdup(p->show());
	switch (p->kind) {
	case KIND_BOOL:
		return pstrdup(*(bool *)p->variable ? "on" : "off");
	case KIND_INT:
		return with_unit(*(int *)p->variable, p->flags);
	case KIND_REAL:
		return psprintf("%g", *(double *)p->variable);
	case KIND_STRING:
		return pstrdup(*(char **)p->variable ? *(char **)p->variable : "");
	case KIND_ENUM:
		for (const struct config_enum_entry *e = p->options; e && e->name; e++)
			if (e->val == *(int *)p->variable)
				return pstrdup(e->name);
	}
	return pstrdup("");
}
