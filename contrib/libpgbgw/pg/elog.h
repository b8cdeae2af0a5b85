/*
 * Between elog.c, elog_fields.c and elog_write.c.
 */
#ifndef PGBGW_PG_ELOG_H
#define PGBGW_PG_ELOG_H

/* elog_fields.c: the strings of a report, which live in its assoc_context. */
extern void free_fields(ErrorData *edata);
extern void copy_fields(ErrorData *edata, MemoryContext to);

/* elog_write.c */
extern bool level_is_logged(int level);
extern void write_report(const ErrorData *edata);

#endif
