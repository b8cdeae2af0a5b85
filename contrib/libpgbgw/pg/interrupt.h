/*
 * SIGTERM for a worker that set no handler: between interrupt.c and who waits.
 */
#ifndef PGBGW_PG_INTERRUPT_H
#define PGBGW_PG_INTERRUPT_H

/* interrupt_start makes it the handler of SIGTERM. */
extern void interrupt_start(void);

/* interrupt_module makes a loaded library one in whose code the process may end. */
extern void interrupt_module(void *handle);

/*
 * interrupt_point ends the process when that was asked and put off. Called by the
 * functions that modules' loops are made of, where nothing is half done.
 */
extern void interrupt_point(void);

#endif
