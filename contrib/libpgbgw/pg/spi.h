/*
 * SPI's state, between the files of it.
 */
#ifndef PGBGW_PG_SPI_H
#define PGBGW_PG_SPI_H

#include "libpq.h"

#include "executor/spi.h"
#include "executor/spi_priv.h"
#include "lib/ilist.h"
#include "sql.h"

/* One SPI_connect. */
struct level {
	MemoryContext procedure; /* what the procedure allocates while connected */
	MemoryContext tables;    /* its SPITupleTables */
	MemoryContext outer;     /* current before; SPI_palloc's */
	uint64 processed;        /* the outer level's results, which come back at SPI_finish */
	SPITupleTable *tuptable;
	slist_head results;      /* its SPITupleTables that were not freed */
	int result;
	int nesting;             /* of subtransactions when it was opened */
	bool nonatomic;          /* a procedure called from it may end the transaction */
};

/* spi.c: the current level, or NULL. */
extern struct level *spi_level(void);

/* spi_tuple.c: a result's rows from first on, as a table of the current level. */
extern SPITupleTable *spi_table(const PGresult *r);
extern TupleDesc spi_descriptor(const PGresult *r);

/* spi_tuple.c: the current level's tables that a subtransaction, the nesting-th, made end with it, or are its parent's. */
extern void spi_tables_of_subtransaction(int nesting, bool commit);

/* spi.c: what SPI returns for a result, with SPI_processed and SPI_tuptable set from it. */
extern int spi_take(const PGresult *r, const struct sql_facts *facts);

/* spi.c: a code below zero when the statement may not be run, else 0; an ERROR when it would write and must not. */
extern int spi_permit(const struct sql_facts *facts, bool read_only, long tcount);

/* spi.c: runs a text outside of any transaction, after transaction_step_aside. */
extern int spi_run_outside(const char *src, int nargs, const Oid *types, const char *const *values);

/* A plan: a statement prepared in the session under its name. */
struct _SPI_plan_of_session {
	char name[32];
	MemoryContext context;
	char *source;
	struct sql_facts facts;
	int nargs;
	Oid *argtypes;
	bool kept;
	bool prepared; /* in the server */
	int cursor_options;
};

/* spi_plan.c: values as text for libpq; NULL for null. */
extern const char **spi_parameters(int nargs, const Oid *types, const Datum *values, const char *nulls);

#endif
