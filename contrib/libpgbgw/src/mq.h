/* One end of a queue, as the parts of it see it. */
#ifndef PGBGW_MQ_H
#define PGBGW_MQ_H

#include "internal.h"

#define LENGTH_WORD 8 /* bytes before each message */
#define MQ_STAGE 4096 /* bytes that are written to the ring at once: they stay in the first cache */
#define MQ_SPIN 0x80000000u /* with PGBGW_MQ_NOWAIT: the caller sleeps next, so a spin comes first */

/* How a sender makes its long copies: see mq_copy.c. */
struct pgi_mq_copying {
	uint64_t (*clock)(void); /* in any unit, never 0; NULL: nothing is streamed */
	bool stream;             /* long copies are streams at the moment */
	bool kept;               /* and are between the trials */
	bool timed;              /* this step of a trial is measured */
	int step;                /* of a trial; 0: between trials */
	int64_t unit;            /* bytes of a step */
	int64_t hold;            /* units between trials */
	int64_t left;            /* bytes until the next step */
	uint64_t spent;          /* in this step */
	uint64_t least[2];       /* time of a unit: as it is kept, and the other way */
};

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
	bool untold;   /* the other end may see more than when it was last woken */
	bool greeting; /* waits for the other end to attach, and for nothing else */
	bool broken;   /* the memory is damaged: nothing goes any more */
	int peer;      /* the eventfd that wakes the other end, or -1 */
	uint32_t vain; /* spins in a row that found nothing */

	uint64_t at;    /* where in the ring the next byte is; its size is its beginning, too */
	uint64_t limit; /* up to where whole messages need a look at nothing else, see pgi_mq_extend; 0: all need one */
	uint64_t total; /* bytes written, or taken, since the queue was made */
	uint64_t seen;  /* the sender's: of these, what the receiver can see; the receiver's: what was written when last looked at */
	uint64_t freed; /* bytes that were given back; the sender's: when last looked at */

	uint64_t done;    /* the sender's: bytes of an unfinished frame that are written */
	uint64_t pending; /* the length of its message */

	uint64_t want;    /* the receiver's: bytes it waits for */
	uint64_t length;  /* of the message that is collected, if one is */
	bool collecting;
	unsigned char *buffer;
	uint64_t have, room; /* bytes in the buffer, and its size */
	bool rested;         /* the wait before began with a rest: see rest in mq_receive.c */
	uint32_t skip;       /* waits without one that are left */
	uint32_t idle;       /* how many there were before */

	struct pgi_mq_copying copying; /* the sender's */
	bool unfenced;   /* and some of it was streamed since the last publish */
	uint64_t staged; /* the sender's: bytes before at that are here, and not yet in the ring */
	unsigned char stage[MQ_STAGE];
};

static inline uint64_t pgi_mq_pad(uint64_t n) { return (n + 7) & ~UINT64_C(7); }
static inline bool pgi_mq_spins(unsigned flags) { return !(flags & PGBGW_MQ_NOWAIT) || flags & MQ_SPIN; }

/* Called before what takes time, and with its result after it. */
static inline uint64_t pgi_mq_begin(const struct pgi_mq_copying *c) { return c->timed ? c->clock() : 0; }

static inline void pgi_mq_end(struct pgi_mq_copying *c, uint64_t begun)
{
	uint64_t took = begun ? c->clock() - begun : 0;

	if (c->timed && took < UINT64_C(1) << 40) /* or it went back, on another CPU */
		c->spent += took;
}

/* What pgi_mq_usable says, where there is nothing to say. */
static inline bool pgi_mq_ready(const pgbgw_mq *q)
{
	return q->hold.w && !atomic_load(&q->hold.w->forked) && !atomic_load(&q->hold.gone) && !q->broken;
}

/*
 * Sets the limit: there are bytes to use, free or written, and untold of them
 * were used since the other end was told. Up to it they are in one piece, and
 * none makes it time to tell the other end.
 */
static inline void pgi_mq_extend(pgbgw_mq *q, uint64_t there, uint64_t untold)
{
	uint64_t quarter = q->size / 4 & ~UINT64_C(7), n = untold < quarter ? quarter - untold : 0;

	n = n < there ? n : there;
	n = n < q->size - q->at ? n : q->size - q->at;
	q->limit = q->at + (n < PGBGW_MAX_MESSAGE ? n : PGBGW_MAX_MESSAGE);
}

/*
 * How much of a message is copied before the other end is shown what was: a
 * little more than a quarter of the ring, a multiple of 8. Both ends copy at once
 * then.
 */
static inline uint64_t pgi_mq_piece(const pgbgw_mq *q) { return (q->size / 4 & ~UINT64_C(7)) + 8; }

/* Goes on by n bytes, at most a turn of the ring. */
static inline void pgi_mq_move(pgbgw_mq *q, uint64_t n)
{
	q->total += n;
	q->at += n;
	if (q->at >= q->size)
		q->at -= q->size;
}

int pgi_mq_broken(pgbgw_mq *q);                           /* remembers the damage, keeps the sentence of pgi_fail */
int pgi_mq_usable(const pgbgw_mq *q);
void pgi_mq_tell(pgbgw_mq *q);                            /* wakes the other end, if it waits and was shown something */
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

void pgi_mq_copying(struct pgi_mq_copying *c, uint64_t ring, uint64_t (*clock)(void)); /* begins */
void pgi_mq_copied(struct pgi_mq_copying *c, uint64_t n); /* told of each copy that could be a stream */
uint64_t (*pgi_mq_clock(void))(void); /* the CPU's, or NULL where a stream is no use */
void pgi_mq_copy(pgbgw_mq *q, unsigned char *to, const void *from, uint64_t n, bool more); /* more: it need not be seen at once */
void pgi_mq_fence(pgbgw_mq *q); /* what was copied is there for all to see */

bool pgi_mq_may_send(void *q); /* raises the flag, and looks for room */
void pgi_mq_publish(pgbgw_mq *q);
bool pgi_mq_may_receive(void *q);

#endif
