/*
 * Resource owners, between resowner.c, dsm.c and xact.c.
 */
#ifndef PGBGW_PG_RESOWNER_H
#define PGBGW_PG_RESOWNER_H

#include "utils/resowner.h"

/* resowner.c: a transaction, or a subtransaction, has its own owner, which is the current one in it. */
extern void transaction_owner_push(void);
extern void transaction_owner_pop(bool commit);

/* dsm.c: detaches what belongs to owner; at a commit each is a leak, and reported. */
extern void segments_release(ResourceOwner owner, bool commit);

#endif
