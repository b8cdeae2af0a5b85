/*
 * A configuration parameter, between guc.c, guc_value.c and guc_define.c.
 */
#ifndef PGBGW_PG_GUC_H
#define PGBGW_PG_GUC_H

#include "utils/guc.h"

enum kind { KIND_BOOL, KIND_INT, KIND_REAL, KIND_STRING, KIND_ENUM };

union value {
	bool b;
	int i; /* enum too */
	double r;
	char *s; /* malloc'd, or NULL */
};

struct parameter {
	struct parameter *next;
	char *name;
	enum kind kind;
	GucContext context;
	GucSource source;
	int flags;
	void *variable; /* the module's, of the kind's type */
	union value boot, min, max;
	const struct config_enum_entry *options;
	union {
		GucBoolCheckHook b;
		GucIntCheckHook i;
		GucRealCheckHook r;
		GucStringCheckHook s;
		GucEnumCheckHook e;
	} check;
	union {
		GucBoolAssignHook b;
		GucIntAssignHook i;
		GucRealAssignHook r;
		GucStringAssignHook s;
		GucEnumAssignHook e;
	} assign;
	GucShowHook show;
	void *extra; /* of the current value; malloc'd by the check hook */
};

/* guc.c */
extern struct parameter *parameter_find(const char *name);
extern void parameter_add(struct parameter *p);
extern void parameters_walk(void (*each)(const struct parameter *p, void *arg), void *arg);

/* guc_value.c: 0 is failure, reported at level. */
extern bool value_parse(const struct parameter *p, const char *text, union value *out, int level);
extern bool value_install(struct parameter *p, union value v, GucSource source, int level);
extern char *value_text(const struct parameter *p);

/* guc_session.c: a value is another one, or new; connection.h has guc_session_tell. */
extern void guc_session_changed(const struct parameter *p);

/* The file's value of a name, or NULL. */
extern const char *setting_find(const char *name);

#endif
