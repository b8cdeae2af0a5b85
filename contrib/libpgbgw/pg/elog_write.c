/*
 * A report on stderr, which the supervisor joined to the journal: each line
 * carries its syslog priority as sd-daemon(3) has it, so that the journal knows
 * a FATAL from a LOG; where it goes elsewhere the prefix is left out.
 */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "utils/guc.h"

#include "elog.h"

int log_min_messages = WARNING;
int client_min_messages = NOTICE;
int log_min_error_statement = ERROR;
int Log_error_verbosity = PGERROR_DEFAULT;
char *Log_line_prefix;
int Log_destination = LOG_DESTINATION_STDERR;

/* LOG stands above ERROR and below FATAL for log_min_messages (runtime-config-logging). */
bool level_is_logged(int level)
{
	if (level == LOG || level == LOG_SERVER_ONLY)
		return log_min_messages <= ERROR || log_min_messages == LOG;
	if (level == WARNING_CLIENT_ONLY)
		return false;
	if (log_min_messages == LOG)
		return level >= FATAL;
	return level >= log_min_messages;
}

const char *error_severity(int level)
{
	switch (level) {
	case DEBUG1:
	case DEBUG2:
	case DEBUG3:
	case DEBUG4:
	case DEBUG5:
		return "DEBUG";
	case LOG:
	case LOG_SERVER_ONLY:
		return "LOG";
	case INFO:
		return "INFO";
	case NOTICE:
		return "NOTICE";
	case WARNING:
	case WARNING_CLIENT_ONLY:
		return "WARNING";
	case ERROR:
		return "ERROR";
	case FATAL:
		return "FATAL";
	default:
		return "PANIC";
	}
}

/* As PostgreSQL maps them to syslog(3). */
static int priority(int level)
{
	if (level < LOG)
		return 7;
	if (level <= INFO)
		return 6;
	if (level <= WARNING_CLIENT_ONLY)
		return 5;
	return level == ERROR ? 4 : level == FATAL ? 3 : 2;
}

char *unpack_sql_state(int code)
{
	static char text[6];

	for (int i = 0; i < 5; i++, code >>= 6)
		text[i] = PGUNSIXBIT(code);
	return text;
}

/* add_line appends one part of a report; a line break within it becomes a line of its own, indented. */
static void add_line(StringInfo out, int level, const char *label, const char *text)
{
	bool bare = !getenv("JOURNAL_STREAM");
	const char *end;

	for (; text; text = *end ? end + 1 : NULL) {
		end = strchrnul(text, '\n');
		if (!bare)
			appendStringInfo(out, "<%d>", priority(level));
		if (label)
			appendStringInfo(out, "%s:  ", label);
		else
			appendStringInfoChar(out, '\t');
		appendBinaryStringInfo(out, text, end - text);
		appendStringInfoChar(out, '\n');
		label = NULL;
	}
}

static void write_all(const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDERR_FILENO, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody to tell */
		data += n;
		size -= (size_t)n;
	}
}

void write_report(const ErrorData *e)
{
	StringInfoData out;
	char *first = e->message ? e->message : "missing error text";

	initStringInfo(&out);
	if (Log_error_verbosity >= PGERROR_VERBOSE)
		first = psprintf("%s: %s", unpack_sql_state(e->sqlerrcode), first);
	add_line(&out, e->elevel, error_severity(e->elevel), first);
	if (Log_error_verbosity >= PGERROR_DEFAULT) {
		add_line(&out, e->elevel, "DETAIL", e->detail_log ? e->detail_log : e->detail);
		add_line(&out, e->elevel, "HINT", e->hint);
		add_line(&out, e->elevel, "QUERY", e->internalquery);
		if (!e->hide_ctx)
			add_line(&out, e->elevel, "CONTEXT", e->context);
	}
	if (Log_error_verbosity >= PGERROR_VERBOSE && e->filename)
		add_line(&out, e->elevel, "LOCATION",
			 psprintf("%s, %s:%d", e->funcname ? e->funcname : "?", e->filename, e->lineno));
	unfinished++; /* the end of the process has a report of its own */
	write_all(out.data, (size_t)out.len);
	unfinished--;
	pfree(out.data);
}

void vwrite_stderr(const char *fmt, va_list ap)
{
	char text[1024];
	int n = vsnprintf(text, sizeof text, fmt, ap);

	if (n > 0)
		write_all(text, Min((size_t)n, sizeof text - 1));
}

void write_stderr(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vwrite_stderr(fmt, ap);
	va_end(ap);
}

void write_stderr_signal_safe(const char *fmt)
{
	write_all(fmt, strlen(fmt));
}
