/* What the roles share; see role.c. */
#ifndef ROLE_H
#define ROLE_H

#include <stdatomic.h>
#include <stdlib.h>

#include "internal.h"

extern pgbgw_worker *w; /* NULL: its role has closed it */

#define MUST(call) must((call), #call)
#define CHECK(what) check((what), #what, __FILE__, __LINE__)

int must(int r, const char *what); /* ends the process if r is an error */
void check(bool ok, const char *what, const char *file, int line);
void *area(const char *name, size_t size);
void unset(void); /* takes what the supervisor has rung so far */

static inline size_t size_of(const char *s) { return (size_t)strtoull(s, NULL, 10); }

/* The roles; v are the arguments after the name. Their status is that of the process. */
int role_life(char **v);
int role_make(char **v);
int role_sender(char **v);
int role_receiver(char **v);
int role_look(char **v);
int role_locker(char **v);
int role_dies(char **v);
int role_waiter(char **v);
int role_latch(char **v);
int role_interrupted(char **v);
int role_survivor(char **v);
int role_consumer(char **v);
int role_producer(char **v);
int role_phases(char **v);
int role_tranches(char **v);
int role_dynamic(char **v);
int role_forks(char **v);
int role_registrant(char **v);
int role_repeats(char **v);
int role_hostile(char **v);

#endif
