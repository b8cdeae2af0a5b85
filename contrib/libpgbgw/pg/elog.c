/*
 * ereport: the stack of errors in progress, PG_TRY's other half, and the exit
 * of a process whose error nobody catches. What an error says is filled in by
 * elog_fields.c and written by elog_write.c.
 *
 * Levels and their outcome are PostgreSQL's: below ERROR the report is written
 * and the caller goes on; ERROR jumps to the innermost PG_TRY, or, where there is
 * none, is FATAL; FATAL ends the process with code 1 by proc_exit; PANIC aborts.
 */
#include "internal.h"

#include "storage/ipc.h"
#include "utils/guc.h"

#include "elog.h"

enum { STACK_MAX = 5 };

sigjmp_buf *PG_exception_stack;
ErrorContextCallback *error_context_stack;
emit_log_hook_type emit_log_hook;

static ErrorData stack[STACK_MAX];
static int depth = -1;     /* of the error in progress; -1 none */
static int recursion;      /* reports begun within reports */

ErrorData *elog_current(void)
{
	if (depth < 0) {
		depth = -1;
		ereport(ERROR, (errmsg_internal("errstart was not called")));
	}
	return &stack[depth];
}

bool in_error_recursion_trouble(void)
{
	return recursion > 2;
}

static ErrorData *push(int level)
{
	ErrorData *e;

	if (++depth >= STACK_MAX) { /* reports that fail while they are made */
		depth = -1;
		ereport(PANIC, (errmsg_internal("ERRORDATA_STACK_SIZE exceeded")));
	}
	e = &stack[depth];
	memset(e, 0, sizeof *e);
	e->elevel = level;
	e->saved_errno = errno;
	e->assoc_context = ErrorContext;
	return e;
}

/* raised returns the level that a report of level really has here and now. */
static int raised(int level)
{
	if (level < ERROR)
		return level;
	if (CritSectionCount > 0)
		return PANIC;
	if (level == ERROR && (!PG_exception_stack || ExitOnAnyError || proc_exit_inprogress))
		level = FATAL;
	for (int i = 0; i <= depth; i++)
		level = Max(level, stack[i].elevel);
	return level;
}

static int default_code(int level)
{
	return level >= ERROR ? ERRCODE_INTERNAL_ERROR : level >= WARNING ? ERRCODE_WARNING : ERRCODE_SUCCESSFUL_COMPLETION;
}

bool message_level_is_interesting(int level)
{
	return level >= ERROR || level_is_logged(level);
}

bool errstart(int level, const char *domain)
{
	bool output;
	ErrorData *e;

	level = raised(level);
	output = level_is_logged(level);
	if (level < ERROR && !output)
		return false;
	if (!ErrorContext)
		memory_start();
	if (recursion++ > 0 && level >= ERROR) {
		MemoryContextReset(ErrorContext);
		if (in_error_recursion_trouble())
			error_context_stack = NULL;
	}
	e = push(level);
	e->output_to_server = output;
	e->domain = domain;
	e->context_domain = domain;
	e->sqlerrcode = default_code(level);
	recursion--;
	return true;
}

bool errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}

static void fill_place(ErrorData *e, const char *file, int line, const char *function)
{
	const char *slash = file ? strrchr(file, '/') : NULL;

	e->filename = slash ? slash + 1 : file;
	e->lineno = line;
	e->funcname = function;
}

static void call_context_callbacks(void)
{
	for (ErrorContextCallback *c = error_context_stack; c; c = c->previous)
		c->callback(c->arg);
}

static void pop(void)
{
	free_fields(&stack[depth]);
	depth--;
	recursion--;
}

static void end_process(int level)
{
	if (level >= PANIC) {
		fflush(NULL);
		abort();
	}
	PG_exception_stack = NULL;
	fflush(NULL);
	proc_exit(1);
}

void errfinish(const char *filename, int lineno, const char *funcname)
{
	ErrorData *e = elog_current();
	MemoryContext old;
	int level = e->elevel;

	recursion++;
	fill_place(e, filename, lineno, funcname);
	old = MemoryContextSwitchTo(ErrorContext);
	call_context_callbacks();
	if (level == ERROR) {
		/* The catcher starts with nothing held; the report stays on the stack for it. */
		InterruptHoldoffCount = 0;
		QueryCancelHoldoffCount = 0;
		CritSectionCount = 0;
		unfinished = 0;
		recursion--;
		PG_RE_THROW();
	}
	EmitErrorReport();
	pop();
	MemoryContextSwitchTo(old);
	if (level >= FATAL)
		end_process(level);
	CHECK_FOR_INTERRUPTS();
}

void pg_re_throw(void)
{
	if (PG_exception_stack)
		siglongjmp(*PG_exception_stack, 1);
	/* Nobody catches what was caught before: it ends the process after all. */
	elog_current()->elevel = FATAL;
	stack[depth].output_to_server = level_is_logged(FATAL);
	stack[depth].output_to_client = false;
	error_context_stack = NULL;
	errfinish(stack[depth].filename, stack[depth].lineno, stack[depth].funcname);
	pg_unreachable();
}

void EmitErrorReport(void)
{
	ErrorData *e = elog_current();
	MemoryContext old = MemoryContextSwitchTo(e->assoc_context);

	recursion++;
	if (e->output_to_server && emit_log_hook)
		emit_log_hook(e);
	if (e->output_to_server)
		write_report(e);
	MemoryContextSwitchTo(old);
	recursion--;
}

ErrorData *CopyErrorData(void)
{
	ErrorData *copy = palloc(sizeof *copy);

	*copy = *elog_current();
	copy_fields(copy, CurrentMemoryContext);
	return copy;
}

void FreeErrorData(ErrorData *edata)
{
	free_fields(edata);
	pfree(edata);
}

void FlushErrorState(void)
{
	depth = -1;
	recursion = 0;
	MemoryContextReset(ErrorContext);
}

/* again puts a copy of e on the stack, in ErrorContext. */
static ErrorData *again(const ErrorData *e)
{
	ErrorData *copy = push(e->elevel);

	recursion++;
	*copy = *e;
	copy_fields(copy, ErrorContext);
	return copy;
}

void ReThrowError(ErrorData *edata)
{
	again(edata);
	recursion--;
	PG_RE_THROW();
}

void ThrowErrorData(ErrorData *edata)
{
	ErrorData *e;

	if (!errstart(edata->elevel, edata->domain))
		return;
	e = elog_current();
	edata->elevel = e->elevel;
	edata->output_to_server = e->output_to_server;
	depth--;
	again(edata);
	recursion--;
	errfinish(edata->filename, edata->lineno, edata->funcname);
}

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"

bool errsave_start(struct Node *context, const char *domain)
{
	ErrorSaveContext *save = (ErrorSaveContext *)context;
	ErrorData *e;

	if (!context || !IsA(context, ErrorSaveContext))
		return errstart(ERROR, domain);
	save->error_occurred = true;
	if (!save->details_wanted)
		return false;
	e = push(LOG); /* a level that ends nothing; errsave_finish makes it an error */
	e->domain = e->context_domain = domain;
	e->sqlerrcode = ERRCODE_INTERNAL_ERROR;
	e->assoc_context = CurrentMemoryContext;
	return true;
}

void errsave_finish(struct Node *context, const char *filename, int lineno, const char *funcname)
{
	ErrorSaveContext *save = (ErrorSaveContext *)context;
	ErrorData *e = elog_current();

	if (e->elevel >= ERROR) {
		errfinish(filename, lineno, funcname);
		pg_unreachable();
	}
	fill_place(e, filename, lineno, funcname);
	e->elevel = ERROR;
	save->error_data = palloc(sizeof *e);
	*save->error_data = *e;
	depth--;
}
#endif
