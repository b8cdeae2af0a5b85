/*
 * Time as the server counts it: microseconds since 2000-01-01.
 */
#include "internal.h"

#include <limits.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

#include "access/xact.h"
#include "datatype/timestamp.h"
#include "utils/timestamp.h"

#define EPOCH_SECONDS (((int64)POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

TimestampTz PgStartTime;

static TimestampTz statement_start, transaction_start;

TimestampTz GetCurrentTimestamp(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return ((int64)now.tv_sec - EPOCH_SECONDS) * USECS_PER_SEC + now.tv_usec;
}

TimestampTz time_t_to_timestamptz(pg_time_t tm)
{
	return ((TimestampTz)tm - EPOCH_SECONDS) * USECS_PER_SEC;
}

pg_time_t timestamptz_to_time_t(TimestampTz t)
{
	return (pg_time_t)(t / USECS_PER_SEC + EPOCH_SECONDS);
}

const char *timestamptz_to_str(TimestampTz t)
{
	static char text[96];
	time_t seconds = (time_t)timestamptz_to_time_t(t);
	int micros = (int)(t % USECS_PER_SEC);
	struct tm tm;
	char day[64], zone[16];

	if (micros < 0) {
		micros += USECS_PER_SEC;
		seconds--;
	}
	localtime_r(&seconds, &tm);
	strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%Z", &tm);
	snprintf(text, sizeof text, "%s.%06d %s", day, micros, zone);
	return text;
}

void TimestampDifference(TimestampTz start_time, TimestampTz stop_time, long *secs, int *microsecs)
{
	TimestampTz diff = Max(stop_time - start_time, 0);

	*secs = (long)(diff / USECS_PER_SEC);
	*microsecs = (int)(diff % USECS_PER_SEC);
}

long TimestampDifferenceMilliseconds(TimestampTz start_time, TimestampTz stop_time)
{
	TimestampTz diff;

	if (start_time >= stop_time)
		return 0;
	if (__builtin_sub_overflow(stop_time, start_time, &diff))
		return INT_MAX;
	return (long)Min((diff + 999) / 1000, (int64)INT_MAX);
}

bool TimestampDifferenceExceeds(TimestampTz start_time, TimestampTz stop_time, int msec)
{
	return stop_time - start_time >= (TimestampTz)msec * 1000;
}

void SetCurrentStatementStartTimestamp(void)
{
	statement_start = GetCurrentTimestamp();
}

TimestampTz GetCurrentStatementStartTimestamp(void)
{
	return statement_start;
}

/* transaction_started is called by xact.c: a transaction starts with its first statement. */
void transaction_started(void)
{
	transaction_start = statement_start ? statement_start : GetCurrentTimestamp();
}

TimestampTz GetCurrentTransactionStartTimestamp(void)
{
	return transaction_start;
}

#if PG_VERSION_NUM < 180000
bool pg_strong_random(void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len;
}
#endif
