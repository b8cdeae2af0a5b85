/*
 * A worker in C by the documentation alone: finds the area "from go", makes the
 * area "from c", and waits for the latch of its slot. Descriptors: 3 segment,
 * 4 slots, 7 the eventfd of slot 3.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pgbgw_abi.h"

static struct pgbgw_segment_header header;
static unsigned char *base;

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* Returns the area, or NULL; as the documentation of package shm says. */
static void *area(const char *name, uint64_t size, int *found)
{
	const struct pgbgw_section *words = &header.section[PGBGW_SECTION_WORDS];
	const struct pgbgw_section *data = &header.section[PGBGW_SECTION_DATA];
	struct pgbgw_area_record *records = (void *)(base + header.section[PGBGW_SECTION_RECORDS].offset);
	_Atomic uint32_t *next = (void *)(base + PGBGW_STATE_OFFSET);
	uint64_t end = data->offset;

	for (uint32_t i = 0; i < words->count; i++) {
		_Atomic uint64_t *word = (void *)(base + words->offset + 8 * (uint64_t)i);
		uint64_t have = atomic_load(word);
		if (have == 0) {
			uint32_t n = atomic_fetch_add(next, 1);
			struct pgbgw_area_record r = { .size = size, .offset = end };
			strncpy(r.name, name, sizeof r.name - 1);
			records[n] = r;
			if (atomic_compare_exchange_strong(word, &have, (uint64_t)n + 1)) {
				*found = 0;
				return base + end;
			}
		}
		struct pgbgw_area_record r = records[have - 1];
		if (r.offset != end)
			return NULL;
		if (strcmp(r.name, name) == 0) {
			*found = 1;
			return r.size == size ? base + end : NULL;
		}
		end += (r.size + PGBGW_AREA_ALIGN - 1) / PGBGW_AREA_ALIGN * PGBGW_AREA_ALIGN;
	}
	return NULL;
}

/* Waits for the latch of slot 3. */
static void wait_latch(int event)
{
	struct pgbgw_latch_cell *cells = (void *)(base + header.section[PGBGW_SECTION_LATCHES].offset);
	_Atomic uint32_t *word = (void *)&cells[3].word;
	struct pollfd p = { .fd = event, .events = POLLIN };

	atomic_fetch_or(word, PGBGW_LATCH_OWNED);
	if (!(atomic_fetch_or(word, PGBGW_LATCH_WAITING) & PGBGW_LATCH_SET))
		poll(&p, 1, -1);
	atomic_fetch_and(word, ~(uint32_t)(PGBGW_LATCH_SET | PGBGW_LATCH_WAITING | PGBGW_LATCH_OWNED | PGBGW_LATCH_TAPPED));
}

int main(void)
{
	struct pgbgw_slots_header slots;
	struct pgbgw_slot_entry entry;
	int found;

	if (pread(3, &header, sizeof header, 0) != sizeof header || header.magic != PGBGW_SEGMENT_MAGIC)
		return fail("segment");
	base = mmap(NULL, header.total_size, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	if (base == MAP_FAILED)
		return fail("mmap");
	if (pread(4, &slots, sizeof slots, 0) != sizeof slots || slots.magic != PGBGW_SLOTS_MAGIC)
		return fail("slots");
	if (pread(4, &entry, sizeof entry, PGBGW_HEADER_ROOM + 3 * (off_t)slots.entry) != sizeof entry)
		return fail("entry");
	char *from_go = area("from go", 32, &found);
	if (!from_go || !found)
		return fail("area from go");
	char *from_c = area("from c", 200, &found);
	if (!from_c || found)
		return fail("area from c");
	snprintf(from_c, 200, "%s %s %d %s", header.name, entry.name, entry.pid, from_go);
	wait_latch(7);
	strcat(from_c, " woken");
	return 0;
}
