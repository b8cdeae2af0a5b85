/*
 * What a worker tells the server about itself.
 *
 * In the server a worker has a row of pg_stat_activity for its own; here its
 * session has one, where the server itself shows state and query.
 */
#include "internal.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/ps_status.h"

#include "connection.h"

bool pgstat_track_activities = true;
char *application_name;
bool update_process_title = true;

void pgstat_report_activity(BackendState state, const char *cmd_str)
{
	debug_query_string = cmd_str;
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
