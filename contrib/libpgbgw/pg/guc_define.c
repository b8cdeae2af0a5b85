/*
 * DefineCustom…Variable: a module's own parameters (BGW rows of section 6).
 */
#include "internal.h"

#include <stdlib.h>

#include "guc.h"

#if PG_VERSION_NUM >= 160000
void *guc_malloc(int elevel, size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		ereport(elevel, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return p;
}

void *guc_realloc(int elevel, void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		ereport(elevel, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return p;
}

char *guc_strdup(int elevel, const char *src)
{
	char *p = strdup(src);

	if (!p)
		ereport(elevel, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return p;
}

void guc_free(void *ptr)
{
	free(ptr);
}
#endif

static struct parameter *begin(enum kind kind, const char *name, void *variable, GucContext context, int flags)
{
	struct parameter *p;

	/* As PostgreSQL: what only a restart can change is defined at the start or not at all. */
	if (context == PGC_POSTMASTER && !process_shared_preload_libraries_in_progress && the_worker)
		elog(FATAL, "cannot create PGC_POSTMASTER variables after startup");
	if (parameter_find(name))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("attempt to redefine parameter \"%s\"", name)));
	p = calloc(1, sizeof *p);
	if (!p || !(p->name = strdup(name)))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	p->kind = kind;
	p->variable = variable;
	p->context = context;
	p->flags = flags;
	return p;
}

/* finish gives the parameter its first value: the default, then the file's. */
static void finish(struct parameter *p)
{
	const char *text = setting_find(p->name);
	union value v;

	if (p->kind == KIND_STRING)
		*(char **)p->variable = NULL; /* a module's initial literal is not ours to free */
	if (!value_install(p, p->boot, PGC_S_DEFAULT, FATAL))
		return;
	parameter_add(p);
	if (text && value_parse(p, text, &v, WARNING))
		value_install(p, v, PGC_S_FILE, WARNING);
}

void DefineCustomBoolVariable(const char *name, const char *short_desc, const char *long_desc,
			      bool *valueAddr, bool bootValue, GucContext context, int flags,
			      GucBoolCheckHook check_hook, GucBoolAssignHook assign_hook, GucShowHook show_hook)
{
	struct parameter *p = begin(KIND_BOOL, name, valueAddr, context, flags);

	p->boot.b = bootValue;
	p->check.b = check_hook;
	p->assign.b = assign_hook;
	p->show = show_hook;
	finish(p);
}

void DefineCustomIntVariable(const char *name, const char *short_desc, const char *long_desc,
			     int *valueAddr, int bootValue, int minValue, int maxValue, GucContext context, int flags,
			     GucIntCheckHook check_hook, GucIntAssignHook assign_hook, GucShowHook show_hook)
{
	struct parameter *p = begin(KIND_INT, name, valueAddr, context, flags);

	p->boot.i = bootValue;
	p->min.i = minValue;
	p->max.i = maxValue;
	p->check.i = check_hook;
	p->assign.i = assign_hook;
	p->show = show_hook;
	finish(p);
}

void DefineCustomRealVariable(const char *name, const char *short_desc, const char *long_desc,
			      double *valueAddr, double bootValue, double minValue, double maxValue, GucContext context, int flags,
			      GucRealCheckHook check_hook, GucRealAssignHook assign_hook, GucShowHook show_hook)
{
	struct parameter *p = begin(KIND_REAL, name, valueAddr, context, flags);

	p->boot.r = bootValue;
	p->min.r = minValue;
	p->max.r = maxValue;
	p->check.r = check_hook;
	p->assign.r = assign_hook;
	p->show = show_hook;
	finish(p);
}

void DefineCustomStringVariable(const char *name, const char *short_desc, const char *long_desc,
				char **valueAddr, const char *bootValue, GucContext context, int flags,
				GucStringCheckHook check_hook, GucStringAssignHook assign_hook, GucShowHook show_hook)
{
	struct parameter *p = begin(KIND_STRING, name, valueAddr, context, flags);

	p->boot.s = unconstify(char *, bootValue);
	p->check.s = check_hook;
	p->assign.s = assign_hook;
	p->show = show_hook;
	finish(p);
}

void DefineCustomEnumVariable(const char *name, const char *short_desc, const char *long_desc,
			      int *valueAddr, int bootValue, const struct config_enum_entry *options, GucContext context, int flags,
			      GucEnumCheckHook check_hook, GucEnumAssignHook assign_hook, GucShowHook show_hook)
{
	struct parameter *p = begin(KIND_ENUM, name, valueAddr, context, flags);

	p->boot.i = bootValue;
	p->options = options;
	p->check.e = check_hook;
	p->assign.e = assign_hook;
	p->show = show_hook;
	finish(p);
}
