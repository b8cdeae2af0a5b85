/*
 * What a wait for MyLatch has to do with LISTEN: between latch.c and notify.c.
 */
#ifndef PGBGW_PG_NOTIFY_H
#define PGBGW_PG_NOTIFY_H

/* notify_socket returns the descriptor where the server may speak unasked, or -1. */
extern int notify_socket(void);

/* notify_hear reads what it said. */
extern void notify_hear(void);

#endif
