/* A condition variable as this process has it; a barrier has one, too. */
#ifndef PGBGW_CONDITION_H
#define PGBGW_CONDITION_H

#include "internal.h"

struct pgbgw_condition {
	struct pgi_hold hold;
	unsigned char *memory;
	uint32_t places;
};

int pgi_condition_lay(pgbgw_worker *w, void *memory, size_t size, pgbgw_condition *c); /* checks, and fills c */
void pgi_condition_wake_all(pgbgw_condition *c);
void pgi_condition_abandon(struct pgi_hold *h);
int pgi_condition_sleep(pgbgw_condition_sleep *s, int64_t deadline);

#endif
