/*
 * The ledger: one file, mapped shared by the benchmark and by every worker of
 * every supervisor, in which a worker says when it ran its first instruction.
 * The same text is compiled into the plain workers and into the PostgreSQL
 * extension; ledger_linux.go is its Go side and checks LEDGER_MAGIC.
 *
 * Times are CLOCK_MONOTONIC nanoseconds: one clock for the whole machine, so
 * they compare between processes and containers.
 *
 * Writers: the header's wake_at is the benchmark's, everything else in it and
 * in a record is the worker's that has the record's index, but request_ns,
 * which belongs to whoever asks for that worker.
 */
#ifndef PGBGW_BENCH_LEDGER_H
#define PGBGW_BENCH_LEDGER_H

#include <stdint.h>

#define LEDGER_MAGIC 0x3144454c57474250ULL /* "PBGWLED1", little-endian */
#define LEDGER_RECORDS 2048

struct ledger_record {
	uint64_t start_ns;   /* first instruction of the newest process */
	uint64_t exit_ns;    /* just before the newest exit asked for by SIGTERM or SIGUSR2 */
	uint64_t request_ns; /* just before this worker was asked for */
	uint32_t pid;        /* the newest process, as its own pid namespace says */
	uint32_t starts;     /* processes so far; written last, release order */
	uint64_t spare[4];   /* a cache line each */
};

struct ledger {
	uint64_t magic;
	uint32_t starts;  /* of all records; futex word */
	uint32_t wake_at; /* the worker that brings starts to this value wakes */
	uint64_t spare[6];
	struct ledger_record record[LEDGER_RECORDS];
};

_Static_assert(sizeof(struct ledger_record) == 64, "ledger_record is a cache line");
_Static_assert(sizeof(struct ledger) == 64 * (LEDGER_RECORDS + 1), "ledger has no holes");

/* Wakes the benchmark; each program brings its own, with or without a libc. */
static void ledger_wake(uint32_t *word);

/*
 * Says that worker index runs as process pid since start_ns. Only the start
 * that completes what the benchmark waits for costs a wake-up.
 */
static inline void
ledger_started(struct ledger *l, uint32_t index, uint64_t start_ns, uint32_t pid)
{
	struct ledger_record *r = &l->record[index];

	r->start_ns = start_ns;
	r->pid = pid;
	__atomic_store_n(&r->starts, r->starts + 1, __ATOMIC_RELEASE);
	if (__atomic_add_fetch(&l->starts, 1, __ATOMIC_SEQ_CST) ==
	    __atomic_load_n(&l->wake_at, __ATOMIC_SEQ_CST))
		ledger_wake(&l->starts);
}

#endif
