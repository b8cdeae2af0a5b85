/*
 * What a text of SQL is, as far as SPI must know before the server sees it.
 */
#ifndef PGBGW_PG_SQL_H
#define PGBGW_PG_SQL_H

struct sql_facts {
	int statements;
	char first[32];     /* the first word of the last statement, in lower case */
	bool transaction;   /* a statement begins, ends or marks a transaction */
	bool copy;          /* COPY from or to the client */
	bool cursor;        /* DECLARE, FETCH, MOVE or CLOSE */
	bool writes;        /* a statement is no plain reading one */
	char writer[32];    /* its first word, in upper case, for the message */
	char special[32];   /* a reading statement that is more than a query, in the same way: SHOW, SELECT FOR UPDATE; empty: none */
	bool returning;
	bool selects_into;
};

extern void sql_look(const char *text, struct sql_facts *out);

/* sql_is_query says whether the last statement is a query, as far as its first word says. */
extern bool sql_is_query(const struct sql_facts *facts);

#endif
