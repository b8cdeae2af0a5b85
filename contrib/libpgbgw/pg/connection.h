/*
 * The worker's one session with the server, between connection.c, xact.c and the files of SPI.
 */
#ifndef PGBGW_PG_CONNECTION_H
#define PGBGW_PG_CONNECTION_H

#include "libpq.h"

/* session.c: the session; NULL before it begins and after its end. */
extern PGconn *session;

/* session.c: the session, or an ERROR where there is none. */
extern PGconn *connection(void);
extern bool connected(void);

/*
 * connection_run sends a query, by the simple protocol when nparams is -1 (it
 * may then hold several statements), otherwise with parameters as text, and returns the
 * last result, never NULL; the caller clears it. An error of the server becomes
 * an ERROR with its SQLSTATE; CHECK_FOR_INTERRUPTS runs while it waits, and what
 * is running in the server is then cancelled.
 */
extern PGresult *connection_run(const char *query, int nparams, const Oid *types, const char *const *values);

/* The same for a statement prepared under a name. */
extern PGresult *connection_run_prepared(const char *name, int nparams, const char *const *values);
extern PGresult *connection_prepare(const char *name, const char *query, int nparams, const Oid *types);
extern PGresult *connection_describe(const char *name);

/* connection_wait waits for the socket or the latch, which it resets; *woken is set when it was the latch. */
extern void connection_wait(int events, bool *woken);

/* connection_notice gives a report below ERROR on; libpq calls it. */
extern void connection_notice(void *arg, const PGresult *r);

/* cancel.c: has the server cancel what it runs for c; waits until it was told, for some seconds at most. */
extern void session_cancel(PGconn *c);

/* notify.c: takes the notifications that libpq has read; sets MyLatch when there are some. */
extern void notify_take(void);

/* notify.c: takes note of what ran. */
extern void notify_saw(const PGresult *r);

/* connection_command runs a command whose result does not matter. */
extern void connection_command(const char *command);

/* guc_session.c: has the session know the module's parameters; outside of a transaction. */
extern void guc_session_tell(void);

/* identity.c: a row of database, tablespace, role and whether it is a superuser. */
extern void identity_set(const PGresult *r);

/* xact.c: begins the server's transaction where StartTransactionCommand has not yet had to. */
extern void transaction_needed(void);

/*
 * xact.c: ends the server's transaction where nothing is lost or settled by that,
 * so that the next statement, a procedure that commits, may run outside of one. False
 * when it has to run within: a subtransaction is open, or something was written.
 */
extern bool transaction_step_aside(void);

/* spi.c, spi_cursor.c: what does not outlive a transaction. */
extern void spi_transaction_ended(void);
extern void spi_cursors_forget(void);

/* spi.c, spi_cursor.c: what a subtransaction, the nesting-th, has of SPI when it ends. */
extern void spi_subtransaction_ended(int nesting, bool commit);
extern void spi_cursors_of_subtransaction(int nesting, bool commit);

#endif
