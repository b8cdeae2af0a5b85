/*
 * What a report says: errcode, errmsg and their family. Each returns 0, since
 * ereport calls them as arguments of nothing.
 */
#include "internal.h"

#include "elog.h"

/* offsets of all strings that a report owns */
static const size_t strings[] = {
	offsetof(ErrorData, message), offsetof(ErrorData, detail), offsetof(ErrorData, detail_log),
	offsetof(ErrorData, hint), offsetof(ErrorData, context), offsetof(ErrorData, backtrace),
	offsetof(ErrorData, schema_name), offsetof(ErrorData, table_name), offsetof(ErrorData, column_name),
	offsetof(ErrorData, datatype_name), offsetof(ErrorData, constraint_name), offsetof(ErrorData, internalquery),
};

static char **string_at(ErrorData *e, size_t i)
{
	return (char **)((char *)e + strings[i]);
}

void free_fields(ErrorData *e)
{
	for (size_t i = 0; i < lengthof(strings); i++)
		if (*string_at(e, i)) {
			pfree(*string_at(e, i));
			*string_at(e, i) = NULL;
		}
}

void copy_fields(ErrorData *e, MemoryContext to)
{
	for (size_t i = 0; i < lengthof(strings); i++)
		if (*string_at(e, i))
			*string_at(e, i) = MemoryContextStrdup(to, *string_at(e, i));
	e->assoc_context = to;
}

/* set gives a field its text, after what stands there already when append is set. */
static int set(char **field, bool append, const char *format, va_list args)
{
	ErrorData *e = elog_current();
	char *text, *old = *field;

	errno = e->saved_errno; /* for %m */
	text = format_string(e->assoc_context, format, args);
	if (old && append) {
		MemoryContext before = MemoryContextSwitchTo(e->assoc_context);

		*field = psprintf("%s\n%s", old, text);
		MemoryContextSwitchTo(before);
		pfree(text);
	} else {
		*field = text;
	}
	if (old)
		pfree(old);
	return 0;
}

#define SET(field, append, format)                              \
	do {                                                    \
		va_list args_;                                  \
		va_start(args_, format);                        \
		set(&elog_current()->field, append, format, args_); \
		va_end(args_);                                  \
		return 0;                                       \
	} while (0)

/* The two forms of a plural; translations do not exist here. */
#define SET_PLURAL(field)                                       \
	do {                                                    \
		const char *format_ = n == 1 ? one : many;      \
		va_list args_;                                  \
		va_start(args_, n);                             \
		set(&elog_current()->field, false, format_, args_); \
		va_end(args_);                                  \
		return 0;                                       \
	} while (0)

int errmsg(const char *fmt, ...)
{
	elog_current()->message_id = fmt;
	SET(message, false, fmt);
}

int errmsg_internal(const char *fmt, ...)
{
	elog_current()->message_id = fmt;
	SET(message, false, fmt);
}

int errmsg_plural(const char *one, const char *many, unsigned long n, ...)
{
	elog_current()->message_id = one;
	SET_PLURAL(message);
}

int errdetail(const char *fmt, ...)
{
	SET(detail, false, fmt);
}

int errdetail_internal(const char *fmt, ...)
{
	SET(detail, false, fmt);
}

int errdetail_plural(const char *one, const char *many, unsigned long n, ...)
{
	SET_PLURAL(detail);
}

int errdetail_log(const char *fmt, ...)
{
	SET(detail_log, false, fmt);
}

int errdetail_log_plural(const char *one, const char *many, unsigned long n, ...)
{
	SET_PLURAL(detail_log);
}

int errhint(const char *fmt, ...)
{
	SET(hint, false, fmt);
}

int errhint_plural(const char *one, const char *many, unsigned long n, ...)
{
	SET_PLURAL(hint);
}

#if PG_VERSION_NUM >= 170000
int errhint_internal(const char *fmt, ...)
{
	SET(hint, false, fmt);
}
#endif

int errcontext_msg(const char *fmt, ...)
{
	SET(context, true, fmt);
}

int set_errcontext_domain(const char *domain)
{
	elog_current()->context_domain = domain;
	return 0;
}

int errcode(int sqlerrcode)
{
	elog_current()->sqlerrcode = sqlerrcode;
	return 0;
}

int errcode_for_file_access(void)
{
	int code;

	switch (elog_current()->saved_errno) {
	case EPERM:
	case EACCES:
	case EROFS:
		code = ERRCODE_INSUFFICIENT_PRIVILEGE;
		break;
	case ENOENT:
		code = ERRCODE_UNDEFINED_FILE;
		break;
	case EEXIST:
		code = ERRCODE_DUPLICATE_FILE;
		break;
	case ENOTDIR:
	case EISDIR:
	case ENOTEMPTY:
		code = ERRCODE_WRONG_OBJECT_TYPE;
		break;
	case ENOSPC:
		code = ERRCODE_DISK_FULL;
		break;
	case ENOMEM:
		code = ERRCODE_OUT_OF_MEMORY;
		break;
	case ENFILE:
	case EMFILE:
		code = ERRCODE_INSUFFICIENT_RESOURCES;
		break;
	case EIO:
		code = ERRCODE_IO_ERROR;
		break;
	default:
		code = ERRCODE_INTERNAL_ERROR;
	}
	return errcode(code);
}

int errcode_for_socket_access(void)
{
	switch (elog_current()->saved_errno) {
	case ALL_CONNECTION_FAILURE_ERRNOS:
		return errcode(ERRCODE_CONNECTION_FAILURE);
	default:
		return errcode(ERRCODE_INTERNAL_ERROR);
	}
}

int errhidestmt(bool hide)
{
	elog_current()->hide_stmt = hide;
	return 0;
}

int errhidecontext(bool hide)
{
	elog_current()->hide_ctx = hide;
	return 0;
}

int errbacktrace(void)
{
	return 0; /* a core file and coredumpctl serve better */
}

int errposition(int cursorpos)
{
	elog_current()->cursorpos = cursorpos;
	return 0;
}

int internalerrposition(int cursorpos)
{
	elog_current()->internalpos = cursorpos;
	return 0;
}

static char *copied(const char *text)
{
	return text ? MemoryContextStrdup(elog_current()->assoc_context, text) : NULL;
}

int internalerrquery(const char *query)
{
	ErrorData *e = elog_current();

	if (e->internalquery)
		pfree(e->internalquery);
	e->internalquery = copied(query);
	return 0;
}

int err_generic_string(int field, const char *str)
{
	ErrorData *e = elog_current();

	switch (field) {
	case PG_DIAG_SCHEMA_NAME:
		e->schema_name = copied(str);
		break;
	case PG_DIAG_TABLE_NAME:
		e->table_name = copied(str);
		break;
	case PG_DIAG_COLUMN_NAME:
		e->column_name = copied(str);
		break;
	case PG_DIAG_DATATYPE_NAME:
		e->datatype_name = copied(str);
		break;
	case PG_DIAG_CONSTRAINT_NAME:
		e->constraint_name = copied(str);
		break;
	default:
		elog(ERROR, "unsupported ErrorData field id: %d", field);
	}
	return 0;
}

int geterrcode(void)
{
	return elog_current()->sqlerrcode;
}

int geterrposition(void)
{
	return elog_current()->cursorpos;
}

int getinternalerrposition(void)
{
	return elog_current()->internalpos;
}

#if PG_VERSION_NUM >= 160000
int geterrlevel(void)
{
	return elog_current()->elevel;
}
#endif

static int saved_errno;

void pre_format_elog_string(int errnumber, const char *domain)
{
	saved_errno = errnumber;
}

char *format_elog_string(const char *fmt, ...)
{
	va_list args;
	char *text;

	errno = saved_errno;
	va_start(args, fmt);
	text = format_string(ErrorContext, fmt, args);
	va_end(args);
	return text;
}

char *GetErrorContextStack(void)
{
	MemoryContext caller = CurrentMemoryContext;
	char *text = NULL;

	if (!errstart(LOG, NULL))
		return NULL;
	elog_current()->assoc_context = caller;
	for (ErrorContextCallback *c = error_context_stack; c; c = c->previous)
		c->callback(c->arg);
	text = elog_current()->context;
	elog_current()->context = NULL;
	elog_current()->output_to_server = false;
	errfinish(NULL, 0, NULL);
	return text;
}
