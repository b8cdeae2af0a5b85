/*
 * Configuration parameters: what modules define, with values from the settings
 * file. A parameter that no module defined is a placeholder: its text can be
 * read, and a module that is loaded later finds it.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guc.h"

bool ExitOnAnyError;
char *GUC_check_errmsg_string;
char *GUC_check_errdetail_string;
char *GUC_check_errhint_string;

static struct parameter *parameters;
static char *settings;       /* the file's content */
static size_t settings_size;

struct reserved {
	struct reserved *next;
	char prefix[];
};
static struct reserved *reserved;

struct parameter *parameter_find(const char *name)
{
	for (struct parameter *p = parameters; p; p = p->next)
		if (pg_strcasecmp(p->name, name) == 0)
			return p;
	return NULL;
}

void parameter_add(struct parameter *p)
{
	p->next = parameters;
	parameters = p;
}

void parameters_walk(void (*each)(const struct parameter *p, void *arg), void *arg)
{
	for (struct parameter *p = parameters; p; p = p->next)
		each(p, arg);
}

struct settings_head {
	uint64 length, sum; /* of the text behind it */
};

static const struct settings_head *file; /* the settings' file, mapped by the launcher for all workers */

static void map_file(void)
{
	const char *path = the_host->settings_file;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *at = MAP_FAILED;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= PGBGW_SETTINGS_SIZE)
		at = mmap(NULL, PGBGW_SETTINGS_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		ereport(FATAL, (errcode_for_file_access(), errmsg("could not read the settings in \"%s\": %m", path)));
	close(fd);
	file = at;
}

static uint64 sum_of(const char *text, size_t size)
{
	uint64 sum = UINT64CONST(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ (unsigned char)text[i]) * UINT64CONST(0x100000001b3);
	return sum;
}

/* copy_file returns malloc'd content, ended by a NUL that does not count, or NULL when it is being written. */
static char *copy_file(size_t *size)
{
	struct settings_head head = *(const volatile struct settings_head *)file;
	char *data = NULL;

	if (head.length <= PGBGW_SETTINGS_SIZE - sizeof head)
		data = malloc(head.length + 1);
	if (!data)
		return NULL;
	*size = head.length;
	memcpy(data, file + 1, head.length);
	data[head.length] = 0;
	if (sum_of(data, head.length) == head.sum)
		return data;
	free(data);
	return NULL;
}

/* load replaces the settings by the file's; false when it cannot be read: the old ones stay. */
static bool load(int level)
{
	enum { TRIES = 1000 }; /* of a millisecond: who writes it has died in the middle */
	size_t size = 0;
	char *data = NULL;

	if (!file)
		return true;
	for (int i = 0; i < TRIES && !(data = copy_file(&size)); i++)
		pg_usleep(1000);
	if (!data) {
		ereport(level, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("could not read the settings in \"%s\"", the_host->settings_file),
				errdetail("Their sum is not that of the text.")));
		return false;
	}
	free(settings);
	settings = data;
	settings_size = size;
	return true;
}

const char *setting_find(const char *name)
{
	size_t n = strlen(name);

	for (const char *s = settings; s && s < settings + settings_size; s += strlen(s) + 1)
		if (strlen(s) > n && s[n] == '=' && pg_strncasecmp(s, name, n) == 0)
			return s + n + 1;
	return NULL;
}

/* The parameters of the server that this library itself obeys. */
static void define_own(void)
{
	static const struct config_enum_entry levels[] = {
		{ "debug5", DEBUG5, false }, { "debug4", DEBUG4, false }, { "debug3", DEBUG3, false },
		{ "debug2", DEBUG2, false }, { "debug1", DEBUG1, false }, { "debug", DEBUG2, true },
		{ "info", INFO, false }, { "notice", NOTICE, false }, { "warning", WARNING, false },
		{ "error", ERROR, false }, { "log", LOG, false }, { "fatal", FATAL, false },
		{ "panic", PANIC, false }, { NULL, 0, false },
	};
	static const struct config_enum_entry verbosity[] = {
		{ "terse", PGERROR_TERSE, false }, { "default", PGERROR_DEFAULT, false },
		{ "verbose", PGERROR_VERBOSE, false }, { NULL, 0, false },
	};

	DefineCustomEnumVariable("log_min_messages", NULL, NULL, &log_min_messages, WARNING, levels,
				 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("log_error_verbosity", NULL, NULL, &Log_error_verbosity, PGERROR_DEFAULT,
				 verbosity, PGC_SUSET, 0, NULL, NULL, NULL);
}

void guc_start(void)
{
	if (the_host->settings_file)
		map_file();
	load(FATAL);
	define_own();
}

static bool may_change(const struct parameter *p, GucContext context)
{
	if (process_shared_preload_libraries_in_progress || !the_worker)
		return true;
	return context != PGC_SIGHUP || (p->context != PGC_POSTMASTER && p->context != PGC_INTERNAL &&
					 p->context != PGC_BACKEND && p->context != PGC_SU_BACKEND);
}

static void reload_one(struct parameter *p, GucContext context)
{
	const char *text = setting_find(p->name);
	union value v = p->boot;

	if (p->source > PGC_S_FILE) /* set by the program itself */
		return;
	if (!may_change(p, context)) {
		char *now = value_text(p);

		if (text && strcmp(now, text) != 0)
			ereport(DEBUG1, (errmsg("parameter \"%s\" cannot be changed without restarting the worker", p->name)));
		return;
	}
	if (text && !value_parse(p, text, &v, LOG))
		return;
	value_install(p, v, text ? PGC_S_FILE : PGC_S_DEFAULT, LOG);
}

void ProcessConfigFile(GucContext context)
{
	if (!load(LOG))
		return;
	for (struct parameter *p = parameters; p; p = p->next)
		reload_one(p, context);
}

int set_config_option(const char *name, const char *value, GucContext context, GucSource source,
		      GucAction action, bool changeVal, int elevel, bool is_reload)
{
	struct parameter *p = parameter_find(name);
	union value v;

	if (elevel == 0)
		elevel = ERROR;
	if (!p) {
		ereport(elevel, (errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("unrecognized configuration parameter \"%s\"", name)));
		return 0;
	}
	v = p->boot;
	if (value && !value_parse(p, value, &v, elevel))
		return 0;
	if (!changeVal)
		return 1;
	return value_install(p, v, source, elevel) ? 1 : 0;
}

void SetConfigOption(const char *name, const char *value, GucContext context, GucSource source)
{
	set_config_option(name, value, context, source, GUC_ACTION_SET, true, 0, false);
}

const char *GetConfigOption(const char *name, bool missing_ok, bool restrict_privileged)
{
	struct parameter *p = parameter_find(name);
	const char *text;

	if (p)
		return value_text(p);
	text = setting_find(name);
	if (!text && !missing_ok)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("unrecognized configuration parameter \"%s\"", name)));
	return text;
}

char *GetConfigOptionByName(const char *name, const char **varname, bool missing_ok)
{
	const char *text = GetConfigOption(name, missing_ok, false);

	if (varname)
		*varname = name;
	return text ? pstrdup(text) : NULL;
}

void MarkGUCPrefixReserved(const char *className)
{
	size_t n = strlen(className);
	struct reserved *r = malloc(sizeof *r + n + 1);

	if (!r)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	memcpy(r->prefix, className, n + 1);
	r->next = reserved;
	reserved = r;
	for (const char *s = settings; s && s < settings + settings_size; s += strlen(s) + 1) {
		char *name = pnstrdup(s, strcspn(s, "="));

		if (strncmp(name, className, n) == 0 && name[n] == '.' && !parameter_find(name))
			ereport(WARNING, (errcode(ERRCODE_INVALID_NAME),
					  errmsg("invalid configuration parameter name \"%s\", removing it", name),
					  errdetail("\"%s\" is now a reserved prefix.", className)));
		pfree(name);
	}
}
