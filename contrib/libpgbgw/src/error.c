/* The sentence about the last failure of a thread. */
#include <stdio.h>

#include "internal.h"

static _Thread_local char last[512];

const char *pgbgw_last_error(void) { return last; }

const char *pgbgw_version(void) { return PGBGW_VERSION; }

int pgi_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(last, sizeof last, format, args);
	va_end(args);
	return -error;
}
