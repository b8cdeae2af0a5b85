/*
 * NOTIFY and LISTEN of the worker's session.
 *
 * PostgreSQL refuses LISTEN to its own workers; a client may. What is notified
 * sets MyLatch and notifyInterruptPending, as in a backend that listens, and ProcessNotifyInterrupt
 * hands it to the function that the module has put into the rendezvous variable
 * "pg_bgw_notify". A module needs no header of ours for that, and inside
 * PostgreSQL nobody reads the variable.
 */
#include "internal.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "storage/latch.h"
#include "utils/builtins.h"

#include "connection.h"
#include "notify.h"

volatile sig_atomic_t notifyInterruptPending;

typedef void (*receiver)(const char *channel, const char *payload, int32 pid);

struct note {
	struct note *next;
	PGnotify *notify; /* libpq's; freed by PQfreemem */
};
static struct note *first, **last = &first;
static bool listening; /* ever: what can be lost is worth a FATAL */
static bool gone;      /* the server has closed the session */

static receiver *of_module(void)
{
	static void **variable;

	if (!variable)
		variable = find_rendezvous_variable("pg_bgw_notify");
	return (receiver *)variable;
}

void notify_saw(const PGresult *r)
{
	listening |= strcmp(PQcmdStatus(unconstify(PGresult *, r)), "LISTEN") == 0;
}

/* Kept for the module's function; where there is none, that something came is all that is said. */
static void keep(PGnotify *n)
{
	struct note *note;

	if (!*of_module()) {
		PQfreemem(n);
		return;
	}
	note = MemoryContextAlloc(TopMemoryContext, sizeof *note);
	note->next = NULL;
	note->notify = n;
	*last = note;
	last = &note->next;
}

void notify_take(void)
{
	PGnotify *n;

	while ((n = HELD(PQnotifies(session)))) {
		listening = true;
		keep(n);
		HandleNotifyInterrupt();
	}
}

int notify_socket(void)
{
	PGTransactionStatusType s = session && !gone ? PQtransactionStatus(session) : PQTRANS_UNKNOWN;

	return s == PQTRANS_IDLE || s == PQTRANS_INTRANS || s == PQTRANS_INERROR ? PQsocket(session) : -1;
}

/* A session that only queries learns of its end by the next one; one that listens would wait for ever. */
void notify_hear(void)
{
	if (PQconsumeInput(session)) {
		notify_take();
		return;
	}
	gone = true;
	if (listening) {
		ClientConnectionLost = InterruptPending = true;
		SetLatch(MyLatch);
	}
}

/* Called where a backend's signal handler would be. */
void HandleNotifyInterrupt(void)
{
	notifyInterruptPending = true;
	SetLatch(MyLatch);
}

static void deliver(struct note *note)
{
	receiver *r = of_module();

	PG_TRY();
	{
		if (*r)
			(*r)(note->notify->relname, note->notify->extra, note->notify->be_pid);
	}
	PG_FINALLY();
	{
		PQfreemem(note->notify);
		pfree(note);
	}
	PG_END_TRY();
}

/* As in the server not within a transaction. An error of the module's function leaves the rest for the next call. */
void ProcessNotifyInterrupt(bool flush)
{
	struct note *note;

	if (IsTransactionOrTransactionBlock())
		return;
	while ((note = first)) {
		first = note->next;
		if (!first)
			last = &first;
		deliver(note);
	}
	notifyInterruptPending = false;
}

/* As in the server: queued now, delivered when the transaction commits (BGW-132). */
void Async_Notify(const char *channel, const char *payload)
{
	static const Oid types[2] = { TEXTOID, TEXTOID };
	const char *values[2] = { channel, payload ? payload : "" };

	transaction_needed();
	PQclear(connection_run("SELECT pg_catalog.pg_notify($1, $2)", 2, types, values));
}

/* In effect from the commit on. */
void Async_Listen(const char *channel)
{
	transaction_needed();
	connection_command(psprintf("LISTEN %s", quote_identifier(channel)));
}

void Async_Unlisten(const char *channel)
{
	transaction_needed();
	connection_command(psprintf("UNLISTEN %s", quote_identifier(channel)));
}

void Async_UnlistenAll(void)
{
	transaction_needed();
	connection_command("UNLISTEN *");
}
