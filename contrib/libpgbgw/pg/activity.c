/*
 * What a worker tells the server about itself.
 *
 * In the server a worker has a row of pg_stat_activity for its own; here its
 * session has one, where the server itself shows state and query. What the worker
 * says that it does is its StatusText at the supervisor.
 */
#include "internal.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/ps_status.h"

#include "connection.h"
#include "supervisor.h"

bool pgstat_track_activities = true;
char *application_name;
bool update_process_title = true;

/* The words of pg_stat_activity. */
static const char *state_name(BackendState state)
{
	switch (state) {
	case STATE_RUNNING:
		return "active";
	case STATE_IDLE:
		return "idle";
	case STATE_IDLEINTRANSACTION:
		return "idle in transaction";
	case STATE_IDLEINTRANSACTION_ABORTED:
		return "idle in transaction (aborted)";
	case STATE_FASTPATH:
		return "fastpath function call";
	default:
		return "";
	}
}

/* cut is how much of n bytes of text there is room for, and not within a character. */
static size_t cut(const char *text, size_t n, size_t room)
{
	if (n <= room)
		return n;
	while (room > 0 && ((unsigned char)text[room] & 0xC0) == 0x80)
		room--;
	return room;
}

/* The supervisor is told of a change only, with as much of the text as is of use to a reader. */
void pgstat_report_activity(BackendState state, const char *cmd_str)
{
	static char told[256] RARE;
	char text[sizeof told];
	size_t at, n;

	debug_query_string = cmd_str;
	if (!pgstat_track_activities || !the_pgbgw)
		return;
	at = strlcpy(text, state_name(state), sizeof text);
	if (cmd_str && *cmd_str) {
		at += strlcpy(text + at, ": ", sizeof text - at);
		n = cut(cmd_str, strlen(cmd_str), sizeof text - at - 1);
		memcpy(text + at, cmd_str, n);
		text[at + n] = '\0';
	}
	if (strcmp(text, told) == 0)
		return;
	strcpy(told, text);
	(void)HELD(pgbgw_ready(the_pgbgw, text)); /* one that cannot be told is no error of the worker's */
}

void pgstat_report_appname(const char *appname)
{
	if (connected())
		connection_command(psprintf("SET application_name TO %s", quote_literal_cstr(appname)));
}

long pgstat_report_stat(bool force)
{
	return 0; /* the server reports what its session did */
}

void pgstat_report_xact_timestamp(TimestampTz tstamp)
{
}

/* A process's title, which nothing shows here: workers are seen by their names. */
static char title[256];

#if PG_VERSION_NUM >= 170000
void set_ps_display_with_len(const char *activity, size_t len)
{
	strlcpy(title, activity, Min(len + 1, sizeof title));
}

void set_ps_display_suffix(const char *suffix)
{
}

void set_ps_display_remove_suffix(void)
{
}
#else
void set_ps_display(const char *activity)
{
	strlcpy(title, activity, sizeof title);
}
#endif

const char *get_ps_display(int *displen)
{
	*displen = (int)strlen(title);
	return title;
}

/* Wait events registered by name (release 17) have nobody to show them to. */
#if PG_VERSION_NUM >= 170000
uint32 WaitEventExtensionNew(const char *wait_event_name)
{
	static uint32 last;

	return PG_WAIT_EXTENSION | ++last;
}
#endif
