/*
 * Values of which the server is asked: asked.c.
 */
#ifndef PGBGW_PG_ASKED_H
#define PGBGW_PG_ASKED_H

#include "libpq.h"

/* Whether there is a session, and a transaction of it. */
extern bool can_ask(void);

/*
 * asked_of runs a query of this library's own about an object, its one parameter; the
 * caller clears the result. NULL: there is no session, or it takes no query now.
 */
extern PGresult *asked_of(const char *query, Oid object);

/* asked_value has the server read a text as it reads one of a person, and apply a modifier (-1: none). */
extern Datum asked_value(Oid oid, int32 typmod, const char *written);

#endif
