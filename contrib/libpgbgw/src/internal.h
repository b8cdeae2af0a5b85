/*
 * What the parts of libpgbgw share. The layouts are those of pgbgw_abi.h, whose
 * contract is the documentation of Go package shm.
 */
#ifndef PGBGW_INTERNAL_H
#define PGBGW_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "../pgbgw.h"
#include "pgbgw_abi.h"

typedef _Atomic uint32_t word32;
typedef _Atomic uint64_t word64;

/*
 * A test build is told of each step of a protocol in shared memory, so that it
 * can end the process there. It also looks more often for the dead.
 */
#ifdef PGI_TEST
void pgi_test_point(void);
#define POINT() pgi_test_point()
#else
#define POINT() ((void)0)
#endif

#ifndef PGI_PATROL_NS
#define PGI_PATROL_NS INT64_C(1000000000) /* how soon the silent death of a peer is noticed */
#endif

#define PGI_NEVER INT64_MAX             /* a deadline that does not come */
#define PGI_ASK_NS INT64_C(5000000000)  /* bounds the wait for a latch, and that of a close */
#define PGI_CALL_NS INT64_C(30000000000) /* and of what the supervisor answers at once */

/* ---- error.c ---- */

/* Keeps a sentence for pgbgw_last_error and returns -error. */
int pgi_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- environment.c ---- */

enum { PGI_SEGMENT, PGI_SLOTS, PGI_CONTROL, PGI_DEATH, PGI_LATCH, PGI_KNOWN_FDS };
#define PGI_MAX_FDS 64

struct pgi_environment {
	struct pgbgw_self self; /* points into what follows */
	char name[96];
	char type[96];
	unsigned char extra[128];
	int fds[PGI_KNOWN_FDS]; /* -1: not passed */
	int others[PGI_MAX_FDS];
	int other_count;
};

/* Reads the environment and checks the descriptors. */
int pgi_environment_read(struct pgi_environment *e);
/* ---- segment.c ---- */

enum { PGI_AREAS, PGI_TRANCHES, PGI_LISTS };

struct pgi_segment {
	unsigned char *base; /* NULL: not mapped */
	struct pgbgw_segment_header header; /* a copy that was checked */
	pthread_mutex_t mu;
	uint32_t spare[PGI_LISTS]; /* 1 + a record that was taken and not published, or 0 */
};

uint32_t pgi_crc32c(const void *data, size_t n);
int pgi_sealed_size(int fd, uint64_t *size);
int pgi_check_segment(const struct pgbgw_segment_header *h, uint64_t size);
int pgi_check_slots(const struct pgbgw_slots_header *h, uint64_t size);
int pgi_map(int fd, uint64_t size, int prot, unsigned char **base);
int pgi_map_segment(int fd, struct pgi_segment *s); /* fd is not kept */
void pgi_unmap_segment(struct pgi_segment *s);
word32 *pgi_latch_word(const struct pgi_segment *s, uint32_t slot); /* NULL: it has none */
int pgi_area(struct pgi_segment *s, const char *name, size_t size, void **area);

static inline word32 *pgi_word32(unsigned char *base, uint64_t offset) { return (word32 *)(void *)(base + offset); }
static inline word64 *pgi_word64(unsigned char *base, uint64_t offset) { return (word64 *)(void *)(base + offset); }

/* ---- records.c ---- */

#define PGI_RECORD_SIZE 64

/* A list in a segment that only grows. */
struct pgi_list {
	int words, records; /* sections */
	uint64_t taken;     /* where the u32 lies that counts the records taken */
	int spare;          /* its place in the segment's spare */
	const char *what;   /* a record is, for messages */
};

word64 *pgi_list_word(const struct pgi_segment *s, const struct pgi_list *l, uint32_t i);
/* Tries to make a word a new record: 1 if it did, 0 if somebody was first, -ENOSPC. */
int pgi_list_put(struct pgi_segment *s, const struct pgi_list *l, word64 *word, const void *record);
/* Copies the record that a word names. */
int pgi_list_get(const struct pgi_segment *s, const struct pgi_list *l, uint64_t word, void *record);

/* ---- places.c ---- */

/* How many places a lock or condition variable has in so much memory; -EINVAL. */
int pgi_places_over(const void *memory, size_t size, const char *what, uint32_t *places);
/* All of a new one but for its magic number, which its maker writes last. */
void pgi_places_clear(void *memory, uint32_t places);
/* -EUCLEAN if it is not one that was made of just this memory. */
int pgi_places_check(void *memory, uint64_t magic, uint32_t places, const char *what);

/* ---- slots.c ---- */

struct pgi_slots {
	unsigned char *base; /* NULL: not mapped */
	uint32_t count;
};

int pgi_map_slots(int fd, struct pgi_slots *s);
uint32_t pgi_slots_used(const struct pgi_slots *s);
/* The table knows that the process of a party word has ended. */
bool pgi_dead(const struct pgi_slots *s, uint64_t party);
/* A registration has no process, and is not about to get one. */
bool pgi_stopped(const struct pgi_slots *s, pgbgw_handle h);

/* ---- decode.c, encode.c ---- */

enum pgi_type {
	PGI_HELLO = 1,
	PGI_ATTACH,
	PGI_DETACH,
	PGI_READY,
	PGI_REGISTER,
	PGI_GET_PID,
	PGI_WAIT_STARTUP,
	PGI_WAIT_SHUTDOWN,
	PGI_TERMINATE,
	PGI_LATCH_OF,
	PGI_DYNAMIC_CREATE,
	PGI_DYNAMIC_ATTACH,
	PGI_DYNAMIC_DETACH,
	PGI_DYNAMIC_PIN,
	PGI_DYNAMIC_UNPIN,
	PGI_DYNAMIC_NAMED,
	PGI_DYNAMIC_READY,
	PGI_WORKER_STATE_CHANGED = 0x4001,
	PGI_ANSWER = 0x8000
};

#define PGI_RECORD_VERSION 1
#define PGI_RECORD_HEADER 16
#define PGI_RECORD_MAX 65536
#define PGI_MAX_KEY 64
#define PGI_MAX_PAIRS 64
#define PGI_MAX_LIST 1024
#define PGI_MAX_DYNAMIC 63 /* bytes of a dynamic segment's name */
#define PGI_MAX_ERRNO 4095

struct pgi_text {
	const char *at; /* no NUL at its end */
	size_t n;
};

/* A record of any type; which fields count depends on the type. */
struct pgi_record {
	uint16_t type;
	uint64_t id;
	int error; /* an errno, of an answer */
	struct pgi_text text;
	pgbgw_handle handle;
	uint32_t slot;
	uint32_t segment; /* handle of a dynamic segment */
	uint64_t size;    /* bytes of it */
	bool found;       /* it was there */
	bool done;        /* it is filled */
	uint64_t timeout_usec;
	uint64_t flags;
	struct pgi_text pairs; /* as they are on the wire */
	uint16_t pair_count;
	uint64_t start;
	uint32_t state;
	uint32_t status;
	int32_t pid;
	int32_t exit_code;
	int32_t exit_signal;
};

/*
 * Decodes one whole record; texts point into data. -EBADMSG, or with type and id
 * read -EPROTONOSUPPORT (another version) and -ENOSYS (an unknown type).
 */
int pgi_decode(const void *data, size_t n, struct pgi_record *r);

/* Encodes into at most size bytes; the length, or -EINVAL, -EMSGSIZE. */
int pgi_encode(const struct pgi_record *r, void *to, size_t size);

/* Where a record is written; after the first error (a negative errno) nothing is. */
struct pgi_writer {
	unsigned char *at;
	size_t left;
	int error;
};

void pgi_put(struct pgi_writer *w, const void *data, size_t n);
void pgi_put_number(struct pgi_writer *w, uint64_t v, size_t bytes);
void pgi_put_text(struct pgi_writer *w, struct pgi_text t); /* -EINVAL: no text */
static inline struct pgi_text pgi_text_of(const char *s) { return (struct pgi_text){ s, strlen(s) }; }
bool pgi_is_text(const char *s, size_t n); /* UTF-8 without NUL */

/* ---- worker.c ---- */

/* What a process has in shared memory that must not outlive it. */
struct pgi_hold {
	struct pgi_hold *next, **at; /* at NULL: in no list */
	pgbgw_worker *w;             /* NULL once the worker is closed */
	void (*abandon)(struct pgi_hold *h);
	const unsigned char *memory; /* where it lies */
	atomic_bool gone; /* the process has detached, or this is a fork */
};

/* Where a dynamic segment was: its address is kept from being used for something else. */
#define PGI_MAX_HOLLOWS 64

struct pgi_hollow {
	unsigned char *base;
	size_t n;
};

struct pgi_waiter; /* sleep.c */
struct pgi_call;   /* client.c */
struct pgi_events; /* client.c */

struct pgbgw_worker {
	struct pgi_environment env;
	uint64_t party; /* this process in shared memory */
	_Atomic int spins; /* looks before a sleep; below 0: nobody has asked yet */

	pthread_mutex_t mu; /* attaching, detaching, mapping; recursive: a callback of a detach may do any of it */
	struct pgi_segment segment;
	struct pgi_slots slots;
	atomic_bool slots_mapped;
	atomic_bool inside; /* the supervisor counts this process as attached */
	atomic_bool forked; /* this is a child of the worker */
	atomic_bool died;   /* the supervisor is gone */
	atomic_bool interrupted;

	_Atomic(word32 *) latch; /* where the latch's state is now */
	word32 local;            /* its place while not attached */
	atomic_flag in_latch_wait;

	pthread_mutex_t waiters_mu;
	struct pgi_waiter *waiters;

	pthread_mutex_t control_mu;
	struct pgi_call *calls;
	struct pgi_events *events;
	unsigned char *buffer; /* of who reads the socket */
	uint64_t next_id;
	bool ended; /* the socket */

	pthread_mutex_t party_mu; /* holds */
	struct pgi_hold *holds;

	pthread_mutex_t dynamic_mu;
	struct pgbgw_dynamic *dynamics; /* the newest first */
	struct pgi_hollow hollows[PGI_MAX_HOLLOWS];
	unsigned next_hollow;
	pthread_mutex_t naming_mu; /* recursive: who fills one may ask for another */
	_Atomic int *bells; /* by slot: 1 + its eventfd, or 0 */
	_Atomic uint32_t bells_end; /* above all slots that have one */
};

/*
 * Of a process that the launcher has forked and nobody executed a program in since.
 * pgi_launched: its descriptors are as the supervisor made them, and need no look;
 * nobody is greeted. pgi_counted: the supervisor counts it as attached (attach =
 * "always"), as it does from its first instruction on, until it hears that it has
 * detached. pgi_inherited: the segment, mapped and checked by the launcher.
 */
extern bool pgi_launched, pgi_counted;
extern struct pgi_segment pgi_inherited;
/* Has a child of fork(2) noted: once in a process and those that it forks. */
void pgi_watch_forks(void);

/* Looks before a sleep that are worth it; not below 0. */
int pgi_spins(pgbgw_worker *w);
/* Fails in a forked child. */
int pgi_usable(const pgbgw_worker *w);
/* Fails unless attached. */
int pgi_inside(const pgbgw_worker *w);

/* ---- sleep.c ---- */

int64_t pgi_now(void); /* CLOCK_MONOTONIC, in nanoseconds */
int64_t pgi_deadline(int timeout_ms); /* below 0: PGI_NEVER */

struct pollfd;
/* A thread's place among those that sleep; NULL where there is no memory or descriptor. */
struct pgi_waiter *pgi_waiter_take(pgbgw_worker *w);
void pgi_waiter_give_back(pgbgw_worker *w, struct pgi_waiter *me);
/*
 * Sleeps until something happened to this process, the deadline has passed, or
 * what the caller polls is there. Takes rings and records. 0 or -errno.
 */
int pgi_sleep(pgbgw_worker *w, struct pgi_waiter *me, struct pollfd *more, int64_t deadline);
/* Wakes all other threads that sleep. */
void pgi_poke_others(pgbgw_worker *w, struct pgi_waiter *me);
void pgi_waiters_free(pgbgw_worker *w);

enum { PGI_PATROL = 1, PGI_DEAF = 2 }; /* look for the dead; do not heed pgbgw_interrupt */
/* Why to stop waiting, other than for what is waited for; 0: nothing. */
int pgi_cause(const pgbgw_worker *w, int64_t deadline, int how);
/*
 * Waits until arm says that it is done; it makes whoever brings what is waited
 * for ring, and then looks. 0, -EINTR, -ECONNRESET, -ETIMEDOUT, -errno.
 */
int pgi_wait(pgbgw_worker *w, bool (*arm)(void *), void *arg, int64_t deadline, int how);

static inline void pgi_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- latch.c ---- */

void pgi_ring_fd(int fd);
void pgi_set_word(word32 *word, int fd);
/* Makes the owner of a slot's latch, whose eventfd is fd, look at whatever it
 * waits for. Counts as a set. */
void pgi_wake(pgbgw_worker *w, uint32_t slot, int fd);
void pgi_latch_move(pgbgw_worker *w, word32 *to);
bool pgi_drain_bell(pgbgw_worker *w);

/* ---- party.c ---- */

static inline uint32_t pgi_party_slot(uint64_t party) { return (uint32_t)(party & 0xffff) - 1; }
uint64_t pgi_party(const struct pgbgw_self *self);
/* What is needed to wait for others in shared memory; -ENOTCONN unless attached. */
int pgi_party_ready(pgbgw_worker *w);
/* The eventfd of a slot, or a negative errno. Kept by the worker. */
int pgi_bell(pgbgw_worker *w, uint32_t slot);
/* Wakes the process of a party word; 0 is nobody. */
void pgi_ring(pgbgw_worker *w, uint64_t party);
int pgi_hold_add(pgbgw_worker *w, struct pgi_hold *h);
void pgi_hold_remove(struct pgi_hold *h);
void pgi_abandon_all(pgbgw_worker *w, bool closing);
/* Gives up what lies in n bytes of memory. */
void pgi_abandon_within(pgbgw_worker *w, const unsigned char *memory, size_t n);
void pgi_bells_close(pgbgw_worker *w);

/* ---- dynamic.c ---- */

void pgi_dynamics_leave(pgbgw_worker *w); /* all of them, the newest first */

/* ---- client.c ---- */

/* What came back; fd is the caller's, or -1. */
struct pgi_answer {
	pgbgw_handle handle;
	uint32_t status;
	int32_t pid;
	uint32_t segment;
	uint64_t size;
	bool found;
	int fd;
};

/* Sends a request and waits for its answer. answer may be NULL. */
int pgi_call(pgbgw_worker *w, struct pgi_record *request, struct pgi_answer *answer, int64_t deadline, int how);
/* Sends a request whose answer nobody waits for: 0, or -EAGAIN while the supervisor does not read, or -errno. */
int pgi_tell(pgbgw_worker *w, struct pgi_record *request);
/* Takes what has come; whether somebody may have waited for it. */
bool pgi_client_read(pgbgw_worker *w);
void pgi_client_free(pgbgw_worker *w);

#endif
