/*
 * The layout of a segment and of the slot table, version 1.0, for C.
 * The contract is the documentation of Go package shm.
 */
#ifndef PGBGW_ABI_H
#define PGBGW_ABI_H

#include <stdint.h>

#define PGBGW_ABI_MAJOR 1
#define PGBGW_ABI_MINOR 0
#define PGBGW_SEGMENT_MAGIC UINT64_C(0x4745535747424750) /* "PGBGWSEG" */
#define PGBGW_SLOTS_MAGIC UINT64_C(0x544c535747424750)   /* "PGBGWSLT" */

#define PGBGW_HEADER_ROOM 4096
#define PGBGW_HEADER_SIZE 512
#define PGBGW_STATE_OFFSET 2048
#define PGBGW_AREA_ALIGN 128
#define PGBGW_MAX_SLOTS 16384

enum {
	PGBGW_SECTION_WORDS,
	PGBGW_SECTION_RECORDS,
	PGBGW_SECTION_DATA,
	PGBGW_SECTION_LATCHES,
	PGBGW_SECTION_TRANCHE_WORDS,
	PGBGW_SECTION_TRANCHE_NAMES,
	PGBGW_SECTION_COUNT = 16
};

enum { PGBGW_LATCH_SET = 1, PGBGW_LATCH_WAITING = 2, PGBGW_LATCH_OWNED = 4, PGBGW_LATCH_TAPPED = 8 };

struct pgbgw_section {
	uint64_t offset;
	uint64_t length;
	uint32_t stride;
	uint32_t count;
};

struct pgbgw_segment_header {
	uint64_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t room;
	uint64_t features;
	uint64_t total_size;
	uint64_t incarnation;
	char name[64];
	uint32_t sections;
	uint32_t reserved0;
	struct pgbgw_section section[PGBGW_SECTION_COUNT];
	uint32_t reserved1[3];
	uint32_t checksum;
};

/* at PGBGW_STATE_OFFSET; workers write it */
struct pgbgw_segment_state {
	uint32_t next_record;
	uint32_t next_tranche;
};

struct pgbgw_area_record {
	char name[48];
	uint64_t size;
	uint64_t offset;
};

struct pgbgw_tranche_name {
	char name[64];
};

struct pgbgw_latch_cell {
	uint32_t word;
	uint32_t reserved[15];
};

struct pgbgw_slots_header {
	uint64_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t room;
	uint64_t features;
	uint32_t entry;
	uint32_t count;
	uint32_t reserved[119];
	uint32_t checksum;
};

/* at PGBGW_STATE_OFFSET; the supervisor writes it */
struct pgbgw_slots_state {
	uint32_t used;
	uint32_t max;
};

struct pgbgw_slot_entry {
	uint64_t version;
	uint64_t generation;
	uint64_t start;
	int32_t pid;
	uint32_t state;
	uint32_t status;
	uint32_t flags;
	int32_t exit_code;
	int32_t exit_signal;
	int64_t registered;
	int64_t changed;
	int64_t next_start;
	uint64_t restarts;
	uint64_t reserved0[2];
	char name[96];
	char kind[96];
	char segment[64];
	uint64_t reserved1[20];
};

/*
 * What follows lies in areas, where its users put it.
 */

#define PGBGW_QUEUE_MAGIC UINT64_C(0x31514d5747424750) /* "PGBGWMQ1" */
#define PGBGW_TOC_MAGIC UINT64_C(0x31434f5447424750)   /* "PGBGTOC1" */

#define PGBGW_LOCK_MAGIC UINT64_C(0x31574c5747424750)  /* "PGBGWLW1" */

#define PGBGW_MIN_QUEUE_SIZE 64
#define PGBGW_WIDE_QUEUE 4096
#define PGBGW_MAX_MESSAGE 0x3fffffff
#define PGBGW_TOC_ALIGN 32

enum { PGBGW_QUEUE_DETACHED = 1, PGBGW_QUEUE_SENDER_WAITS = 2, PGBGW_QUEUE_RECEIVER_WAITS = 4 };

/* the ring follows */
struct pgbgw_queue_header {
	uint64_t magic;
	uint64_t ring;
	uint64_t sender;
	uint64_t receiver;
	uint32_t state;
	uint32_t features;
	uint64_t written;
	uint64_t read;
};

/* of queues of PGBGW_WIDE_QUEUE bytes and more */
struct pgbgw_wide_queue_header {
	uint64_t magic;
	uint64_t ring;
	uint64_t sender;
	uint64_t receiver;
	uint32_t state;
	uint32_t features;
	uint64_t reserved0[11];
	uint64_t written;
	uint64_t reserved1[15];
	uint64_t read;
	uint64_t reserved2[15];
};

struct pgbgw_toc_header {
	uint64_t key;
	uint64_t magic;
	uint64_t total;
	uint64_t taken;
};

struct pgbgw_toc_entry {
	uint64_t key;
	uint64_t offset;
	uint64_t size;
	uint64_t reserved;
};

#define PGBGW_MAX_PLACES 1024

/* two arrays of uint64_t follow, places long: who waits, who shares */
struct pgbgw_lock_header {
	uint64_t magic;
	uint32_t places;
	uint32_t features;
	uint64_t holder;
	uint32_t tranche;
	uint32_t reserved;
};

#define PGBGW_CONDITION_MAGIC UINT64_C(0x3156435747424750) /* "PGBGWCV1" */
#define PGBGW_BARRIER_MAGIC UINT64_C(0x3141425747424750)   /* "PGBGWBA1" */

/* places follow */
struct pgbgw_condition_header {
	uint64_t magic;
	uint32_t places;
	uint32_t features;
	uint64_t next;
	uint64_t reserved;
};

struct pgbgw_condition_place {
	uint64_t party;
	uint64_t ticket;
};

/* a condition variable follows */
struct pgbgw_barrier_header {
	uint64_t magic;
	uint32_t size;
	uint32_t features;
	uint64_t state;
	uint64_t reserved;
};

#define PGBGW_BARRIER_PARTICIPANTS 32 /* lowest bit of 15 */
#define PGBGW_BARRIER_ARRIVED 47      /* lowest bit of 15 */
#define PGBGW_BARRIER_MASK 0x7fff
#define PGBGW_BARRIER_ELECTED (UINT64_C(1) << 62)
#define PGBGW_BARRIER_STATIC (UINT64_C(1) << 63)

#endif
