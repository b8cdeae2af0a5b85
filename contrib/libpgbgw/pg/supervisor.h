/*
 * What this library asks of the supervisor over the worker's control socket,
 * and what it must undo at the end.
 */
#ifndef PGBGW_PG_SUPERVISOR_H
#define PGBGW_PG_SUPERVISOR_H

/* dsm.c: detaches every dynamic segment, running its callbacks. */
extern void segments_detach(void);

/* supervisor.c: attach says that this process uses the segment, detach that it no longer does (DESIGN section 5). */
extern void supervisor_attach(const struct pgbgw_host_worker *worker);
extern void supervisor_detach(void);

#endif
