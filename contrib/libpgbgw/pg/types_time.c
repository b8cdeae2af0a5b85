/*
 * Dates and times, from and to ISO 8601 as a session with DateStyle ISO sends them.
 */
#include "internal.h"

#include <stdlib.h>
#include <time.h>

#include "datatype/timestamp.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "types_time.h"

/* Days of the proleptic Gregorian calendar since 2000-01-01, by the usual count of 400-year eras. */
static int64 days_of(int64 y, int m, int d)
{
	int64 era, year, day;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	year = y - era * 400;
	day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + year * 365 + year / 4 - year / 100 + day - 730425;
}

static void date_of(int64 days, int64 *y, int *m, int *d)
{
	int64 z = days + 730425, era = (z >= 0 ? z : z - 146096) / 146097, day = z - era * 146097;
	int64 year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int rest = (int)(day - (365 * year + year / 4 - year / 100)), month = (5 * rest + 2) / 153;

	*d = rest - (153 * month + 2) / 5 + 1;
	*m = month < 10 ? month + 3 : month - 9;
	*y = year + era * 400 + (*m <= 2);
}

static void bad(const char *type, const char *text)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_DATETIME_FORMAT), errmsg("invalid input syntax for type %s: \"%s\"", type, text)));
}

/* parse_date takes y-m-d; BC stands at the end of the whole text. */
static const char *parse_date(const char *t, const char *type, int64 *days)
{
	long long y;
	int m, d, n;

	if (sscanf(t, "%lld-%d-%d%n", &y, &m, &d, &n) != 3 || m < 1 || m > 12 || d < 1 || d > 31)
		bad(type, t);
	if (strlen(t) > 3 && strcmp(t + strlen(t) - 3, " BC") == 0)
		y = 1 - y;
	*days = days_of(y, m, d);
	return t + n;
}

/* parse_time takes h:m:s[.f], in microseconds. */
static const char *parse_time(const char *t, const char *type, int64 *us)
{
	int h, m, s, n, scale = 100000;

	if (sscanf(t, "%d:%d:%d%n", &h, &m, &s, &n) != 3)
		bad(type, t);
	*us = ((int64)h * 3600 + m * 60 + s) * USECS_PER_SEC;
	t += n;
	if (*t == '.')
		for (t++; isdigit((unsigned char)*t); t++, scale /= 10)
			*us += (*t - '0') * scale;
	return t;
}

/* parse_zone takes +h[:m[:s]], in seconds east. */
static int parse_zone(const char *t)
{
	int h = 0, m = 0, s = 0;

	if (*t != '+' && *t != '-')
		return 0;
	sscanf(t + 1, "%d:%d:%d", &h, &m, &s);
	return (*t == '-' ? -1 : 1) * (h * 3600 + m * 60 + s);
}

Datum read_date(const char *t)
{
	int64 days;

	if (strcmp(t, "infinity") == 0)
		return DateADTGetDatum(DATEVAL_NOEND);
	if (strcmp(t, "-infinity") == 0)
		return DateADTGetDatum(DATEVAL_NOBEGIN);
	parse_date(t, "date", &days);
	return DateADTGetDatum((DateADT)days);
}

static int64 stamp(const char *t, const char *type, bool zone)
{
	int64 days, us;

	if (strcmp(t, "infinity") == 0)
		return DT_NOEND;
	if (strcmp(t, "-infinity") == 0)
		return DT_NOBEGIN;
	t = parse_date(t, type, &days);
	t = parse_time(t, type, &us);
	return days * USECS_PER_DAY + us - (zone ? parse_zone(t) * USECS_PER_SEC : 0);
}

Datum read_timestamp(const char *t)
{
	return TimestampGetDatum(stamp(t, "timestamp", false));
}

Datum read_timestamptz(const char *t)
{
	return TimestampTzGetDatum(stamp(t, "timestamp with time zone", true));
}

Datum read_time(const char *t)
{
	int64 us;

	parse_time(t, "time", &us);
	return TimeADTGetDatum(us);
}

static char *date_text(int64 days)
{
	int64 y;
	int m, d;

	date_of(days, &y, &m, &d);
	return psprintf("%04lld-%02d-%02d", (long long)(y > 0 ? y : 1 - y), m, d);
}

static char *time_text(int64 us)
{
	int64 s = us / USECS_PER_SEC;
	char *t = psprintf("%02d:%02d:%02d.%06d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60), (int)(us % USECS_PER_SEC));
	size_t n = strlen(t);

	while (t[n - 1] == '0')
		n--;
	t[n - (t[n - 1] == '.')] = 0;
	return t;
}

static const char *era(int64 days)
{
	return days < days_of(1, 1, 1) ? " BC" : "";
}

char *write_date(Datum d)
{
	DateADT v = DatumGetDateADT(d);

	if (DATE_NOT_FINITE(v))
		return pstrdup(DATE_IS_NOEND(v) ? "infinity" : "-infinity");
	return psprintf("%s%s", date_text(v), era(v));
}

char *write_timestamp(Datum d)
{
	Timestamp v = DatumGetTimestamp(d);
	int64 days = v / USECS_PER_DAY, us = v % USECS_PER_DAY;

	if (TIMESTAMP_NOT_FINITE(v))
		return pstrdup(TIMESTAMP_IS_NOEND(v) ? "infinity" : "-infinity");
	if (us < 0) {
		us += USECS_PER_DAY;
		days--;
	}
	return psprintf("%s %s%s", date_text(days), time_text(us), era(days));
}

/* In UTC: the session's zone is the server's to know. */
char *write_timestamptz(Datum d)
{
	char *t = write_timestamp(d), *bc = strstr(t, " BC");

	if (strstr(t, "infinity"))
		return t;
	return bc ? psprintf("%.*s+00 BC", (int)(bc - t), t) : psprintf("%s+00", t);
}

char *write_time(Datum d)
{
	return time_text(DatumGetTimeADT(d));
}
