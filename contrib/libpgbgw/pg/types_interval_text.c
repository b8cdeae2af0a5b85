/*
 * Intervals as text, in the four styles of a server (IntervalStyle), and their
 * functions for types.c.
 */
#include "internal.h"

#include "lib/stringinfo.h"
#include "datatype/timestamp.h"
#include "utils/timestamp.h"

#include "connection.h"
#include "types_interval.h"

/* The fields of an interval, as they are shown. */
struct parts {
	int64 years, months, days, hours, minutes, seconds, us;
};

static struct parts parts_of(const Interval *i)
{
	return (struct parts){
		i->month / MONTHS_PER_YEAR, i->month % MONTHS_PER_YEAR, i->day, i->time / USECS_PER_HOUR,
		i->time / USECS_PER_MINUTE % MINS_PER_HOUR, i->time / USECS_PER_SEC % SECS_PER_MINUTE, i->time % USECS_PER_SEC,
	};
}

/* The style of the session, which it reports; postgres where there is none. */
static const char *style(void)
{
	const char *reported = connected() ? PQparameterStatus(session, "IntervalStyle") : NULL;

	return reported ? reported : "postgres";
}

static void append_seconds(StringInfo s, const struct parts *p, bool two_digits)
{
	long long seconds = llabs(p->seconds), us = llabs(p->us);

	appendStringInfo(s, two_digits ? "%02lld" : "%lld", seconds);
	if (us == 0)
		return;
	appendStringInfo(s, ".%06lld", us);
	while (s->data[s->len - 1] == '0')
		s->data[--s->len] = '\0';
}

static bool time_is_negative(const struct parts *p)
{
	return p->hours < 0 || p->minutes < 0 || p->seconds < 0 || p->us < 0;
}

static bool has_time(const struct parts *p)
{
	return p->hours || p->minutes || p->seconds || p->us;
}

/* A part that follows a negative one shows its plus. */
static void append_part(StringInfo s, int64 v, const char *unit, bool *before_is_negative)
{
	if (v == 0)
		return;
	appendStringInfo(s, "%s%s%lld %s%s", s->len ? " " : "", *before_is_negative && v > 0 ? "+" : "", (long long)v,
			 unit, v == 1 ? "" : "s");
	*before_is_negative = v < 0;
}

static void write_postgres(StringInfo s, const struct parts *p)
{
	bool negative = false;

	append_part(s, p->years, "year", &negative);
	append_part(s, p->months, "mon", &negative);
	append_part(s, p->days, "day", &negative);
	if (s->len && !has_time(p))
		return;
	appendStringInfo(s, "%s%s%02lld:%02lld:", s->len ? " " : "", time_is_negative(p) ? "-" : negative ? "+" : "",
			 llabs(p->hours), llabs(p->minutes));
	append_seconds(s, p, true);
}

/* The first part's sign is that of "ago"; the others are as it makes them. */
static void append_verbose(StringInfo s, int64 v, const char *unit, bool *ago)
{
	if (v == 0)
		return;
	if (s->len == 1)
		*ago = v < 0;
	if (*ago)
		v = -v;
	appendStringInfo(s, " %lld %s%s", (long long)v, unit, v == 1 ? "" : "s");
}

static void write_verbose(StringInfo s, const struct parts *p)
{
	bool negative = p->seconds < 0 || p->us < 0, ago = false;

	appendStringInfoChar(s, '@');
	append_verbose(s, p->years, "year", &ago);
	append_verbose(s, p->months, "mon", &ago);
	append_verbose(s, p->days, "day", &ago);
	append_verbose(s, p->hours, "hour", &ago);
	append_verbose(s, p->minutes, "min", &ago);
	if (p->seconds || p->us) {
		if (s->len == 1)
			ago = negative;
		appendStringInfoString(s, negative != ago ? " -" : " ");
		append_seconds(s, p, false);
		appendStringInfo(s, " sec%s", llabs(p->seconds) != 1 || p->us ? "s" : "");
	}
	if (s->len == 1)
		appendStringInfoString(s, " 0");
	if (ago)
		appendStringInfoString(s, " ago");
}

static void append_letter(StringInfo s, int64 v, char letter)
{
	if (v)
		appendStringInfo(s, "%lld%c", (long long)v, letter);
}

static void write_iso(StringInfo s, const struct parts *p)
{
	appendStringInfoChar(s, 'P');
	append_letter(s, p->years, 'Y');
	append_letter(s, p->months, 'M');
	append_letter(s, p->days, 'D');
	if (has_time(p) || s->len == 1)
		appendStringInfoChar(s, 'T');
	append_letter(s, p->hours, 'H');
	append_letter(s, p->minutes, 'M');
	if (p->seconds || p->us || s->data[s->len - 1] == 'T') {
		appendStringInfoString(s, p->seconds < 0 || p->us < 0 ? "-" : "");
		append_seconds(s, p, false);
		appendStringInfoChar(s, 'S');
	}
}

/* SQL knows months or a time, of one sign; what is neither is shown with a sign before each part. */
static void write_sql(StringInfo s, const struct parts *p)
{
	bool months = p->years || p->months, time = p->days || has_time(p);
	bool negative = p->years < 0 || p->months < 0 || p->days < 0 || time_is_negative(p);
	bool positive = p->years > 0 || p->months > 0 || p->days > 0 || (has_time(p) && !time_is_negative(p));

	if (!months && !time)
		appendStringInfoChar(s, '0');
	else if ((negative && positive) || (months && time)) {
		appendStringInfo(s, "%c%lld-%lld %c%lld %c%lld:%02lld:", p->years < 0 || p->months < 0 ? '-' : '+', llabs(p->years),
				 llabs(p->months), p->days < 0 ? '-' : '+', llabs(p->days), time_is_negative(p) ? '-' : '+',
				 llabs(p->hours), llabs(p->minutes));
		append_seconds(s, p, true);
	} else {
		appendStringInfoString(s, negative ? "-" : "");
		if (months)
			appendStringInfo(s, "%lld-%lld", llabs(p->years), llabs(p->months));
		if (p->days)
			appendStringInfo(s, "%lld ", llabs(p->days));
		if (time) {
			appendStringInfo(s, "%lld:%02lld:", llabs(p->hours), llabs(p->minutes));
			append_seconds(s, p, true);
		}
	}
}

Datum read_interval(const char *t)
{
	Interval *i = palloc(sizeof *i);

	if (!parse_interval(t, strcmp(style(), "sql_standard") == 0, i))
		ereport(ERROR, (errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				errmsg("invalid input syntax for type %s: \"%s\"", "interval", t)));
	return IntervalPGetDatum(i);
}

/* A sign before each part: where one has none, SQL's style takes that of the first to be of all. */
char *give_interval(Datum d)
{
	const Interval *i = DatumGetIntervalP(d);
	struct parts p = parts_of(i);

#ifdef INTERVAL_NOEND
	if (INTERVAL_NOT_FINITE(i))
		return pstrdup(INTERVAL_IS_NOEND(i) ? "infinity" : "-infinity");
#endif
	return psprintf("%+lld years %+lld mons %+lld days %c%lld:%02lld:%02lld.%06lld", (long long)p.years, (long long)p.months,
			(long long)p.days, time_is_negative(&p) ? '-' : '+', llabs(p.hours), llabs(p.minutes), llabs(p.seconds), llabs(p.us));
}

char *write_interval(Datum d)
{
	static const struct {
		const char *name;
		void (*write)(StringInfo s, const struct parts *p);
	} styles[] = { { "postgres_verbose", write_verbose }, { "iso_8601", write_iso }, { "sql_standard", write_sql } };
	void (*write)(StringInfo s, const struct parts *p) = write_postgres;
	const Interval *i = DatumGetIntervalP(d);
	struct parts p = parts_of(i);
	StringInfoData s;

#ifdef INTERVAL_NOEND
	if (INTERVAL_NOT_FINITE(i))
		return pstrdup(INTERVAL_IS_NOEND(i) ? "infinity" : "-infinity");
#endif
	for (size_t k = 0; k < lengthof(styles); k++)
		if (strcmp(style(), styles[k].name) == 0)
			write = styles[k].write;
	initStringInfo(&s);
	write(&s, &p);
	return s.data;
}
