/*
 * What this library asks of the supervisor over the worker's control socket,
 * and what it must undo at the end.
 */
#ifndef PGBGW_PG_SUPERVISOR_H
#define PGBGW_PG_SUPERVISOR_H

/* dsm.c: detaches every dynamic segment, running its callbacks. */
extern void segments_detach(void);

#include "../pgbgw.h"

/* supervisor.c: this process as the supervisor knows it; NULL in the launcher. */
extern pgbgw_worker *the_pgbgw;

/* supervisor.c: opens the worker, then fills in what it is. */
extern void supervisor_start(BackgroundWorker *entry);

/* supervisor.c: what libpgbgw calls the worker of a module's handle. */
extern pgbgw_handle supervisor_handle(const BackgroundWorkerHandle *handle);

/* supervisor.c: the descriptor that says that the supervisor is gone; -1 none. */
extern int supervisor_death(void);

/* supervisor.c: attach says that this process uses the segment, detach that it no longer does (DESIGN section 5). */
extern void supervisor_attach(void);
extern void supervisor_detach(void);

/* bgworker.c: checks what PostgreSQL checks, reports at level and returns false, or completes the entry. */
extern bool registration_is_sane(BackgroundWorker *w, int level);

/* supervisor.c: a name as it is registered; to has BGW_MAXLEN bytes. */
extern const char *registration_text(const char *from, char *to);

/*
 * supervisor.c: the name that a worker is registered under. PostgreSQL takes one without
 * a name, as its own tests register one; here that has its type's, or else its function's.
 */
extern const char *registration_name(const BackgroundWorker *w);

/* supervisor.c: whether a name, as far as it is registered, is UTF-8 without control characters. */
extern bool registration_is_text(const char *name);

#endif
