/*
 * A module with two workers. One sums the rows of a table until it is told to
 * stop: what background workers are written for. The other, the probe, does one
 * thing after the other that a worker's code may do, writes down what it sees,
 * and ends.
 *
 * Nothing here knows of pg-bgw. The module runs inside PostgreSQL and outside of
 * it from the same file, and what it sees must be the same in both.
 */
#ifndef BGW_SPI_H
#define BGW_SPI_H

#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"

/* module.c: the parameters. */
extern int bgw_spi_naptime;
extern char *bgw_spi_database;
extern char *bgw_spi_role;
extern bool bgw_spi_flag;
extern int bgw_spi_size;
extern double bgw_spi_ratio;
extern int bgw_spi_color;
extern int bgw_spi_checked;
extern int bgw_spi_assigned; /* what the assign hook saw last */

/* module.c: entry points of the workers. */
extern PGDLLEXPORT void bgw_spi_sum_main(Datum arg);
extern PGDLLEXPORT void bgw_spi_probe_main(Datum arg);
extern PGDLLEXPORT void bgw_spi_shared_main(Datum arg);
extern PGDLLEXPORT void bgw_spi_pipeline_main(Datum arg);
extern PGDLLEXPORT void bgw_spi_child_main(Datum arg);
extern PGDLLEXPORT void bgw_spi_row_main(Datum arg);

/* probe.c: one observation. */
extern void saw(const char *subject, const char *format, ...) pg_attribute_printf(2, 3);

/* probe.c: all of them go to the table. */
extern void write_down(void);

/* probe_workers.c: registers a child that does what it is told, in this process's name; its handle. */
extern struct BackgroundWorkerHandle *child(const char *what, Datum arg, int restart_time);

/* probe_workers.c: runs try in its own PG_TRY and notes the error that it raises. */
extern void probe_error(const char *subject, void (*try)(void));

/* probe_types.c: notes the value of an expression of SQL: its type, text and bytes. */
extern void look(const char *expression);

/* child.c: what the workers of the module share in fixed memory. */
extern void request_shared(void);

/* The parts of the probe. */
extern void probe_memory(void);
extern void probe_strings(void);
extern void probe_errors(void);
extern void probe_spi(void);
extern void probe_cursors(void);
extern void probe_transactions(void);
extern void probe_aborts(void);
extern void probe_types(void);
extern void probe_values(void);
extern void probe_enums(void);
extern void probe_process(void);
extern void probe_neighbours(void);
extern void probe_parameters(void);
extern void probe_workers(void);
extern void probe_segments(void);
extern void probe_areas(void);
extern void probe_named(void);
extern void probe_queues(void);
extern void probe_together(void);
extern void probe_tables(void);
extern void probe_procedures(void);
extern void probe_rows(void);
extern void probe_edges(void);

#endif
