/* Message queues in memory: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

/* ---- Message queues (shm_mq) ---- */

#define PGBGW_MIN_QUEUE_SIZE 64
#define PGBGW_MAX_MESSAGE 0x3fffffff

/* One end of a queue; one thread's at a time. */
typedef struct pgbgw_mq pgbgw_mq;

enum pgbgw_mq_role { PGBGW_MQ_SENDER, PGBGW_MQ_RECEIVER };

enum {
	PGBGW_MQ_NOWAIT = 1, /* -EAGAIN where it would have to wait */
	PGBGW_MQ_FLUSH = 2   /* show the message, and all before it, at once */
};

/*
 * Makes an empty queue of memory that begins at a multiple of 8: 56 bytes of
 * header, from 4,096 bytes on 384, and a ring. One process makes it, and tells
 * others of it afterwards.
 */
PGBGW_API int pgbgw_mq_create(void *memory, size_t size);

/*
 * Makes this process the queue's sender or its receiver, once in the life of
 * the queue: -EBUSY if it has or had one. To be detached.
 */
PGBGW_API int pgbgw_mq_attach(pgbgw_worker *w, void *memory, size_t size, enum pgbgw_mq_role role, pgbgw_mq **q);

/*
 * Names the worker that will attach to the other end (shm_mq_set_handle): if it
 * stops before, the queue is detached.
 */
PGBGW_API void pgbgw_mq_set_handle(pgbgw_mq *q, pgbgw_handle h);

/* 1 and the slot of the process at an end, or 0 if none has attached. */
PGBGW_API int pgbgw_mq_get_slot(const pgbgw_mq *q, enum pgbgw_mq_role role, uint32_t *slot);

/*
 * Waits until a process has attached to the other end. -EPIPE if none will;
 * -EDESTADDRREQ instead of a wait without an end, with a timeout_ms below 0 and
 * no worker named.
 */
PGBGW_API int pgbgw_mq_wait_for_attach(pgbgw_mq *q, int timeout_ms);

/*
 * Sends one message of n bytes, 0 to PGBGW_MAX_MESSAGE (-EMSGSIZE). flags are
 * PGBGW_MQ_ bits. Without PGBGW_MQ_FLUSH it is seen when more than a quarter of
 * the ring is unseen, the ring is full, at a flush or a detach. While the ring
 * is full it waits; one that is larger than the ring goes in pieces. -EPIPE if
 * the receiver has detached, ended or will never come; -EDESTADDRREQ as above.
 * After -EAGAIN and -EINTR the message is sent in part: repeat the same call
 * with the same bytes, or detach; another length is -EINPROGRESS. The own latch
 * is set when it is worth another try.
 */
PGBGW_API int pgbgw_mq_send(pgbgw_mq *q, const void *data, size_t n, unsigned flags);

/* The same of several parts, one after the other (shm_mq_sendv). */
PGBGW_API int pgbgw_mq_sendv(pgbgw_mq *q, const struct iovec *parts, size_t count, unsigned flags);

PGBGW_API int pgbgw_mq_flush(pgbgw_mq *q);

/*
 * The next message, in one block, valid until the next call with q; its sender
 * can change it at any time. -EPIPE after the last whole message of a sender
 * that has detached or ended; -EAGAIN with PGBGW_MQ_NOWAIT where there is no
 * whole message: the own latch is set when it is worth another try.
 */
PGBGW_API int pgbgw_mq_receive(pgbgw_mq *q, void **data, size_t *n, unsigned flags);

/* Shows what was sent, ends the queue and frees q. NULL is allowed. */
PGBGW_API void pgbgw_mq_detach(pgbgw_mq *q);
