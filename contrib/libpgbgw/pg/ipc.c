/*
 * The end of a process: proc_exit and the callbacks that run before it, in
 * PostgreSQL's order (before_shmem_exit, on_shmem_exit, on_proc_exit, each
 * last in first out).
 */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "storage/ipc.h"
#include "storage/lwlock.h"

#include "supervisor.h"

enum { CALLBACKS_MAX = 20 };

struct callbacks {
	struct {
		pg_on_exit_callback function;
		Datum arg;
	} at[CALLBACKS_MAX];
	int n;
};

bool proc_exit_inprogress;
bool shmem_exit_inprogress;

static struct callbacks before_shmem, on_shmem, on_proc;

static void forget_interrupts(void)
{
	InterruptPending = false;
	ProcDiePending = false;
	QueryCancelPending = false;
	InterruptHoldoffCount = 1;
	CritSectionCount = 0;
	error_context_stack = NULL;
}

/* run calls and takes off each; one that fails by ereport comes back here through proc_exit and is not called again. */
static void run(struct callbacks *c, int code)
{
	while (--c->n >= 0)
		c->at[c->n].function(code, c->at[c->n].arg);
	c->n = 0;
}

void shmem_exit(int code)
{
	shmem_exit_inprogress = true;
	LWLockReleaseAll();
	run(&before_shmem, code);
	segments_detach();
	run(&on_shmem, code);
	shmem_exit_inprogress = false;
}

static void prepare(int code)
{
	proc_exit_inprogress = true;
	forget_interrupts();
	shmem_exit(code);
	run(&on_proc, code);
}

/*
 * The supervisor is told last: from then on the end of this process is nobody
 * else's crash. A process that dies before, or by _exit, is one (BGW-061 to 063).
 */
void proc_exit(int code)
{
	if (MyProcPid != (int)getpid())
		elog(PANIC, "proc_exit() called in child process");
	prepare(code);
	if (code == 0 || code == 1)
		supervisor_detach();
	exit(code);
}

void exit_without_callbacks(int code)
{
	on_exit_reset();
	_exit(code);
}

/* A module that calls exit() itself gets its callbacks, and is a crash all the same, as in PostgreSQL. */
static void at_exit(void)
{
	if (MyProcPid == (int)getpid() && (the_worker || before_shmem.n || on_shmem.n || on_proc.n))
		prepare(-1);
}

void exit_start(void)
{
	atexit(at_exit);
}

static void add(struct callbacks *c, const char *name, pg_on_exit_callback function, Datum arg)
{
	if (c->n >= CALLBACKS_MAX)
		ereport(FATAL, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg_internal("out of %s slots", name)));
	c->at[c->n].function = function;
	c->at[c->n++].arg = arg;
}

void on_proc_exit(pg_on_exit_callback function, Datum arg)
{
	add(&on_proc, "on_proc_exit", function, arg);
}

void on_shmem_exit(pg_on_exit_callback function, Datum arg)
{
	add(&on_shmem, "on_shmem_exit", function, arg);
}

void before_shmem_exit(pg_on_exit_callback function, Datum arg)
{
	add(&before_shmem, "before_shmem_exit", function, arg);
}

void cancel_before_shmem_exit(pg_on_exit_callback function, Datum arg)
{
	int last = before_shmem.n - 1;

	if (last >= 0 && before_shmem.at[last].function == function && before_shmem.at[last].arg == arg)
		before_shmem.n--;
	else
		elog(ERROR, "before_shmem_exit callback (%p,0x%llx) is not the latest entry", (void *)function, (unsigned long long)arg);
}

void on_exit_reset(void)
{
	before_shmem.n = on_shmem.n = on_proc.n = 0;
}

void check_on_shmem_exit_lists_are_empty(void)
{
	if (before_shmem.n)
		elog(FATAL, "before_shmem_exit has been called prematurely");
	if (on_shmem.n)
		elog(FATAL, "on_shmem_exit has been called prematurely");
}
