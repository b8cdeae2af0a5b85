/*
 * Intervals from text, in each of the four styles in which a server writes them
 * (IntervalStyle), and from what people write in the same way.
 */
#include "internal.h"

#include <limits.h>

#include "datatype/timestamp.h"
#include "utils/timestamp.h"

#include "types_interval.h"

/* An interval while it is read, wider than its fields, whose least values have no positive counterpart. */
struct sum {
	__int128 months, days, us;
	unsigned seen; /* bits of fields */
};

enum { MONTHS, DAYS, TIME };

struct unit {
	const char *name;
	char field;
	int64 factor;
	int bit; /* of seen */
};

static const struct unit units[] = {
	{ "year", MONTHS, 12, 0 }, { "yr", MONTHS, 12, 0 }, { "mon", MONTHS, 1, 1 }, { "month", MONTHS, 1, 1 },
	{ "week", DAYS, 7, 2 }, { "day", DAYS, 1, 3 }, { "hour", TIME, USECS_PER_HOUR, 4 }, { "hr", TIME, USECS_PER_HOUR, 4 },
	{ "minute", TIME, USECS_PER_MINUTE, 5 }, { "min", TIME, USECS_PER_MINUTE, 5 },
	{ "second", TIME, USECS_PER_SEC, 6 }, { "sec", TIME, USECS_PER_SEC, 6 },
};

static const struct unit seconds = { "sec", TIME, USECS_PER_SEC, 6 };

/* add puts an amount, and a fraction of it in millionths, which only seconds may have, into the sum. */
static bool add(struct sum *s, const struct unit *u, int64 amount, int64 millionths, bool minus)
{
	__int128 v = (__int128)amount * u->factor + millionths;

	if ((s->seen & 1u << u->bit) || (millionths && u->factor != USECS_PER_SEC))
		return false;
	s->seen |= 1u << u->bit;
	if (minus)
		v = -v;
	*(u->field == MONTHS ? &s->months : u->field == DAYS ? &s->days : &s->us) += v;
	return true;
}

/* digits reads a number; NULL when there is none, or it is none of 64 bits. */
static const char *digits(const char *t, int64 *v)
{
	if (!isdigit((unsigned char)*t))
		return NULL;
	for (*v = 0; isdigit((unsigned char)*t); t++)
		if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *t - '0', v))
			return NULL;
	return t;
}

/* fraction reads what stands behind a point, to six digits; NULL when there are more. */
static const char *fraction(const char *t, int64 *millionths)
{
	int n = 0;

	*millionths = 0;
	if (*t != '.')
		return t;
	for (t++; isdigit((unsigned char)*t); t++, n++)
		*millionths = *millionths * 10 + (*t - '0');
	if (n > 6)
		return NULL;
	for (; n < 6; n++)
		*millionths *= 10;
	return t;
}

static bool in_range(const struct sum *s, bool minus, Interval *out)
{
	__int128 months = minus ? -s->months : s->months, days = minus ? -s->days : s->days, us = minus ? -s->us : s->us;

	if (months < INT_MIN || months > INT_MAX || days < INT_MIN || days > INT_MAX || us < INT64_MIN || us > INT64_MAX)
		return false;
	out->month = (int32)months;
	out->day = (int32)days;
	out->time = (TimeOffset)us;
	return s->seen != 0;
}

/* parse_iso reads P1Y2M3DT4H5M6.7S behind the P. */
static bool parse_iso(const char *t, struct sum *s)
{
	static const struct {
		char letter;
		bool time;
		const struct unit *unit;
	} letters[] = { { 'Y', false, &units[0] }, { 'M', false, &units[2] }, { 'W', false, &units[4] }, { 'D', false, &units[5] },
			{ 'H', true, &units[6] }, { 'M', true, &units[8] }, { 'S', true, &units[10] } };
	bool time = false;

	while (*t) {
		int64 amount, millionths;
		const struct unit *u = NULL;
		bool minus;

		if (*t == 'T' && !time) {
			time = true;
			t++;
		}
		minus = *t == '-';
		t = digits(t + (*t == '-' || *t == '+'), &amount);
		if (!t || !(t = fraction(t, &millionths)))
			return false;
		for (size_t i = 0; i < lengthof(letters); i++)
			if (letters[i].letter == *t && letters[i].time == time)
				u = letters[i].unit;
		if (!u || !add(s, u, amount, millionths, minus))
			return false;
		t++;
	}
	return true;
}

/* parse_clock reads :m:s[.f] behind the hours; without seconds the parts are hours and minutes. */
static const char *parse_clock(const char *t, struct sum *s, int64 hours, bool minus)
{
	int64 minutes, secs = 0, millionths = 0;

	t = digits(t + 1, &minutes);
	if (!t || minutes > 59)
		return NULL;
	if (*t == ':' && (!(t = digits(t + 1, &secs)) || secs > 59 || !(t = fraction(t, &millionths))))
		return NULL;
	if (*t == '.' || !add(s, &units[6], hours, 0, minus) || !add(s, &units[8], minutes, 0, minus))
		return NULL;
	return add(s, &seconds, secs, millionths, minus) ? t : NULL;
}

static const struct unit *unit_named(const char *t, size_t n)
{
	for (size_t i = 0; i < lengthof(units); i++) {
		size_t length = strlen(units[i].name);

		if (n >= length && n <= length + 1 && pg_strncasecmp(t, units[i].name, length) == 0 &&
		    (n == length || t[length] == 's' || t[length] == 'S'))
			return &units[i];
	}
	return NULL;
}

static const char *spaces(const char *t)
{
	while (isspace((unsigned char)*t))
		t++;
	return t;
}

/* is_clock says whether the next thing is h:m. */
static bool is_clock(const char *t)
{
	t += *t == '-' || *t == '+';
	return t[strspn(t, "0123456789")] == ':';
}

/* parse_part reads one amount with what belongs to it; what has no unit is days before a clock, and seconds at the end. */
static const char *parse_part(const char *t, struct sum *s)
{
	bool minus = *t == '-';
	int64 amount, millionths, months;
	const struct unit *u;
	size_t n;

	t = digits(t + (*t == '-' || *t == '+'), &amount);
	if (!t)
		return NULL;
	if (*t == ':')
		return parse_clock(t, s, amount, minus);
	if (*t == '-' && (t = digits(t + 1, &months)))
		return months < 12 && add(s, &units[0], amount, 0, minus) && add(s, &units[2], months, 0, minus) ? t : NULL;
	if (!t || !(t = fraction(t, &millionths)))
		return NULL;
	t = spaces(t);
	for (n = 0; isalpha((unsigned char)t[n]);)
		n++;
	if (n == 0 && *t && !is_clock(t))
		return NULL;
	u = n ? unit_named(t, n) : *t ? &units[5] : &seconds;
	return u && add(s, u, amount, millionths, minus) ? t + n : NULL;
}

/* all_minus: in SQL's own style a minus before the first part is that of all, when no other has a sign. */
static bool all_minus(const char *t, bool sql)
{
	return sql && *t == '-' && !strpbrk(t + 1, "+") && !strstr(t + 1, " -");
}

bool parse_interval(const char *t, bool sql, Interval *out)
{
	struct sum s = { 0 };
	bool minus;

	t = spaces(t);
#ifdef INTERVAL_NOEND
	if (strcmp(t, "infinity") == 0 || strcmp(t, "-infinity") == 0) {
		if (*t == '-')
			INTERVAL_NOBEGIN(out);
		else
			INTERVAL_NOEND(out);
		return true;
	}
#endif
	if (*t == 'P')
		return parse_iso(t + 1, &s) && in_range(&s, false, out);
	if (*t == '@')
		t = spaces(t + 1);
	minus = all_minus(t, sql);
	for (t += minus; *t; t = spaces(t)) {
		if (s.seen && strcmp(t, "ago") == 0)
			return in_range(&s, !minus, out);
		t = parse_part(t, &s);
		if (!t)
			return false;
	}
	return in_range(&s, minus, out);
}
