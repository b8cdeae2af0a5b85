/* The sentence about the last failure of a thread. */
#include <stdio.h>

#include "internal.h"

static _Thread_local char last[512];

const char *pgbgw_last_error(void) { return last; }

const char *pgbgw_version(void) { return PGBGW_VERSION; }

int pgi_fail(int error, const char *format, ...)
{
	size_t n = strlen(format);
	va_list args;

	if (!strchr(format, '%') && n < sizeof last) { /* who may not wait asks often, and is often refused */
		memcpy(last, format, n + 1);
		return -error;
	}
	va_start(args, format);
	(void)vsnprintf(last, sizeof last, format, args);
	va_end(args);
	return -error;
}
