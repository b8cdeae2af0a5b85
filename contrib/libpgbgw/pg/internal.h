/*
 * What the files of this directory share. The public face is host.h, for
 * pg-bgw-launcher, and PostgreSQL's own headers, for modules.
 *
 * This library is PostgreSQL's background worker interface for a process that
 * is not PostgreSQL. It is compiled once for each major release, against that
 * release's server headers, so every structure that a module sees has that
 * release's layout. It holds no table, no cache and no transaction of its own:
 * what needs the server asks it over libpq.
 */
#ifndef PGBGW_PG_INTERNAL_H
#define PGBGW_PG_INTERNAL_H

#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"

#include "host.h"

/* What changed between releases, and is only a matter of declaration. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h" /* out of postgres.h */
#define VOID_BYTES void
#else
#define VOID_BYTES char
#endif
#if PG_VERSION_NUM >= 170000
#define CONST_17 const
#define DIMENSIONS int16
#else
#define CONST_17
#define DIMENSIONS int32
#endif

/*
 * HELD calls something that waits by itself, for the supervisor or the server,
 * and must not be left before it has its answer: interrupts are held, and so is
 * the SIGTERM of interrupt.c, which asks for less. An ERROR that was caught within
 * has set both to 0.
 */
extern volatile uint32 unfinished; /* interrupt.c: such calls */

#define HELD(call)                                        \
	({                                                \
		uint32 held_ = InterruptHoldoffCount++;   \
		uint32 unfinished_ = unfinished++;        \
		__typeof__(call) result_ = (call);        \
		unfinished = unfinished_;                 \
		InterruptHoldoffCount = held_;            \
		result_;                                  \
	})

/*
 * Of large variables that most workers never write to: behind all others (build.sh
 * sorts by name), so that what workers do write to is on few pages.
 */
#define RARE __attribute__((section(".bss.z")))

/* memory.c */
extern void memory_start(void);
extern char *format_string(MemoryContext context, const char *format, va_list args) pg_attribute_printf(2, 0);

/* elog.c */
extern ErrorData *elog_current(void);

/* ipc.c: exit_start has exit(3) run the callbacks, in this process or its children. */
extern void exit_start(void);
extern void exit_without_callbacks(int code) pg_attribute_noreturn();

/* signals.c */
extern void signals_start(bool connection);

/* guc.c */
extern void guc_start(void);

/* latch.c */
extern void latch_start(void);

/* wait_event_set.c: makes ready what waits need, in a new process: what it inherited is closed. */
extern void waits_start(void);

/* module.c: a worker's main function, or an ERROR; and one whose library is loaded under this very name, or NULL. */
extern void *module_function(const char *library, const char *function);
extern void *loaded_function(const char *library, const char *function);

/* timestamp.c: a transaction begins with its first statement; xact.c says when. */
extern void transaction_started(void);

/* What the launcher gave; constant after pgbgw_host_preload. */
extern const struct pgbgw_host *the_host;

/* The worker that this process is, or NULL in the launcher. */
extern const struct pgbgw_host_worker *the_worker;

#endif
