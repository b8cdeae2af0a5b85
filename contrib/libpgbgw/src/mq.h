/* One end of a queue, as the parts of it see it. */
#ifndef PGBGW_MQ_H
#define PGBGW_MQ_H

#include "internal.h"

#define LENGTH_WORD 8 /* bytes before each message */

struct pgbgw_mq {
	struct pgi_hold hold;
	unsigned char *ring;
	uint64_t size; /* bytes of the ring */
	word64 *mine, *theirs; /* party words */
	word32 *state;
	word64 *written, *read;
	uint32_t my_flag; /* of the state: this end waits */
	uint32_t their_flag;
	enum pgbgw_mq_role role;
	pgbgw_handle expected;
	bool expects;
	bool greeting; /* waits for the other end to attach, and for nothing else */
	bool broken;   /* the memory is damaged: nothing goes any more */
	int peer;      /* the eventfd that wakes the other end, or -1 */
	uint32_t vain; /* spins in a row that found nothing */

	uint64_t at;    /* where in the ring the next byte is */
	uint64_t total; /* bytes written, or taken, since the queue was made */
	uint64_t seen;  /* the sender's: of these, what the receiver can see; the receiver's: what was written when last looked at */
	uint64_t freed; /* bytes that were given back; the sender's: when last looked at */

	uint64_t done;    /* the sender's: bytes of an unfinished frame that are written */
	uint64_t pending; /* the length of its message */

	uint64_t held;    /* the receiver's: bytes of the message that was returned last */
	uint64_t want;    /* bytes it waits for */
	uint64_t length;  /* of the message that is collected, if one is */
	bool collecting;
	unsigned char *buffer;
	uint64_t have, room; /* bytes in the buffer, and its size */
};

static inline uint64_t pgi_mq_pad(uint64_t n) { return (n + 7) & ~UINT64_C(7); }

int pgi_mq_broken(pgbgw_mq *q);                           /* remembers the damage, keeps the sentence of pgi_fail */
int pgi_mq_usable(const pgbgw_mq *q);
void pgi_mq_wake(pgbgw_mq *q);                            /* the other end, if it waits */
int pgi_mq_looks(const pgbgw_mq *q);                      /* of the next spin: how often */
bool pgi_mq_found(pgbgw_mq *q, bool found);               /* what a spin came to; returns it */
bool pgi_mq_arm_end(pgbgw_mq *q);                         /* raises the flag; whether there is no other end any more */
int pgi_mq_tried(pgbgw_mq *q, bool done);                 /* what a call that must not wait does instead */
int pgi_mq_sleep(pgbgw_mq *q, bool (*arm)(void *), int64_t deadline);

/*
 * For PostgreSQL's shm_mq, where an end is given to a process first and attached
 * by it afterwards, and nobody tells the size again.
 */
size_t pgi_mq_size(void *memory); /* of a queue; one of 3,768 to 4,095 bytes is taken for a larger one */
int pgi_mq_give(pgbgw_worker *w, void *memory, enum pgbgw_mq_role role, uint64_t party); /* -EBUSY */
uint64_t pgi_mq_party(void *memory, enum pgbgw_mq_role role); /* to whom the end is given; 0: nobody */
int pgi_mq_take(pgbgw_worker *w, void *memory, enum pgbgw_mq_role role, pgbgw_mq **to); /* the end that is given to this process */
void pgi_mq_abandon(pgbgw_mq *q); /* detaches without showing what was not flushed */

bool pgi_mq_may_send(void *q); /* raises the flag, and looks for room */
void pgi_mq_publish(pgbgw_mq *q);
bool pgi_mq_may_receive(void *q);

#endif
