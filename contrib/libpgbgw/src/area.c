/*
 * Named areas. There is no lock that a worker could die with: a worker writes a
 * record of its own, and one compare-and-swap of the first empty word publishes
 * it. The words' order is that of the areas in memory, so that publishing takes
 * the memory, too. Who loses the race goes on behind the winner with the same
 * record.
 */
#include "internal.h"

#define RECORD_WORDS (sizeof(struct pgbgw_area_record) / 8)

/* A record that is this process's to write; its number or -ENOSPC. */
static int64_t take_record(struct pgi_segment *s)
{
	word32 *next = pgi_word32(s->base, PGBGW_STATE_OFFSET);
	uint32_t count = s->header.section[PGBGW_SECTION_RECORDS].count, n;

	pthread_mutex_lock(&s->mu);
	n = s->spare;
	s->spare = 0;
	pthread_mutex_unlock(&s->mu);
	if (n)
		return n - 1;
	n = atomic_load(next);
	do {
		if (n >= count)
			return pgi_fail(ENOSPC, "all %u area records of the segment are used up", count);
	} while (!atomic_compare_exchange_weak(next, &n, n + 1));
	return n;
}

/* A record that was not published is kept for the next area; a second one is lost. */
static void give_back_record(struct pgi_segment *s, uint32_t number)
{
	pthread_mutex_lock(&s->mu);
	s->spare = number + 1;
	pthread_mutex_unlock(&s->mu);
}

/* Tries to make a word the new area: 1 if it did, 0 if somebody was first. */
static int publish(struct pgi_segment *s, word64 *word, const char *name, uint64_t size, uint64_t offset)
{
	const struct pgbgw_section *data = &s->header.section[PGBGW_SECTION_DATA];
	struct pgbgw_area_record r = { .size = size, .offset = offset };
	uint64_t room = data->offset + data->length - offset, words[RECORD_WORDS], none = 0;
	int64_t number;

	if (size > room)
		return pgi_fail(ENOMEM, "cannot make area \"%s\": it has %llu bytes, the segment has %llu left", name, (unsigned long long)size,
				(unsigned long long)room);
	number = take_record(s);
	if (number < 0)
		return (int)number;
	POINT();
	memcpy(r.name, name, strlen(name));
	memcpy(words, &r, sizeof r);
	uint64_t at = s->header.section[PGBGW_SECTION_RECORDS].offset + (uint64_t)number * sizeof r;
	for (size_t i = 0; i < RECORD_WORDS; i++) {
		atomic_store(pgi_word64(s->base, at + i * 8), words[i]);
		POINT();
	}
	if (atomic_compare_exchange_strong(word, &none, (uint64_t)number + 1)) {
		POINT();
		return 1;
	}
	give_back_record(s, (uint32_t)number);
	return 0;
}

/* Copies the record that a word names and checks it; end is where its area has to begin. */
static int read_record(const struct pgi_segment *s, uint64_t word, uint64_t end, struct pgbgw_area_record *r)
{
	const struct pgbgw_section *records = &s->header.section[PGBGW_SECTION_RECORDS], *data = &s->header.section[PGBGW_SECTION_DATA];
	uint64_t words[RECORD_WORDS];

	if (word == 0 || word > records->count)
		return pgi_fail(EUCLEAN, "area record %llu of %u", (unsigned long long)word, records->count);
	for (size_t i = 0; i < RECORD_WORDS; i++)
		words[i] = atomic_load(pgi_word64(s->base, records->offset + (word - 1) * sizeof *r + i * 8));
	memcpy(r, words, sizeof *r);
	if (r->offset != end || r->size == 0 || r->size > data->offset + data->length - end)
		return pgi_fail(EUCLEAN, "area record %llu has %llu bytes at %llu, expected is %llu", (unsigned long long)word - 1,
				(unsigned long long)r->size, (unsigned long long)r->offset, (unsigned long long)end);
	if (r->name[0] == 0 || r->name[sizeof r->name - 1] != 0)
		return pgi_fail(EUCLEAN, "area record %llu has no name", (unsigned long long)word - 1);
	return 0;
}

/* Where the area after this one begins. */
static uint64_t after(const struct pgbgw_section *data, uint64_t offset, uint64_t size)
{
	uint64_t end = offset + ((size + PGBGW_AREA_ALIGN - 1) & ~(uint64_t)(PGBGW_AREA_ALIGN - 1)), limit = data->offset + data->length;

	return end < limit ? end : limit;
}

/* Finds an area, whatever its size: 1, or 0 if there is none. */
static int look_up(const struct pgi_segment *s, const char *name, uint64_t *size, uint64_t *offset)
{
	const struct pgbgw_section *words = &s->header.section[PGBGW_SECTION_WORDS], *data = &s->header.section[PGBGW_SECTION_DATA];
	struct pgbgw_area_record record;

	*offset = data->offset;
	for (uint32_t i = 0; i < words->count; i++) {
		uint64_t published = atomic_load(pgi_word64(s->base, words->offset + (uint64_t)i * 8));
		int r;

		if (published == 0)
			return 0;
		if ((r = read_record(s, published, *offset, &record)) < 0)
			return r;
		*size = record.size;
		if (strcmp(record.name, name) == 0)
			return 1;
		*offset = after(data, *offset, record.size);
	}
	return 0;
}

static int find(struct pgi_segment *s, const char *name, uint64_t size, uint64_t *offset)
{
	const struct pgbgw_section *words = &s->header.section[PGBGW_SECTION_WORDS], *data = &s->header.section[PGBGW_SECTION_DATA];
	struct pgbgw_area_record record;
	int r;

	*offset = data->offset;
	for (uint32_t i = 0; i < words->count; i++) {
		word64 *word = pgi_word64(s->base, words->offset + (uint64_t)i * 8);
		uint64_t published = atomic_load(word);

		if (published == 0) {
			r = publish(s, word, name, size, *offset);
			if (r != 0)
				return r > 0 ? 0 : r;
			published = atomic_load(word);
		}
		if ((r = read_record(s, published, *offset, &record)) < 0)
			return r;
		if (strcmp(record.name, name) == 0)
			return record.size == size ? 1 : pgi_fail(EEXIST, "cannot use area \"%s\" with %llu bytes: it has %llu", name,
								  (unsigned long long)size, (unsigned long long)record.size);
		*offset = after(data, *offset, record.size);
	}
	return pgi_fail(ENOSPC, "cannot make area \"%s\": the segment has %u areas, which is the most", name, words->count);
}

static int check_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n > 0 && n < sizeof((struct pgbgw_area_record *)0)->name ? 0 : pgi_fail(EINVAL, "area name \"%.60s\" has to have 1 to 47 bytes", name ? name : "");
}

int pgi_area(struct pgi_segment *s, const char *name, size_t size, void **area)
{
	uint64_t offset;
	int r = check_name(name);

	*area = NULL;
	if (r < 0)
		return r;
	if (size == 0)
		return pgi_fail(EINVAL, "area \"%s\" cannot have 0 bytes", name);
	r = find(s, name, size, &offset);
	*area = r < 0 ? NULL : s->base + offset;
	return r;
}

int pgbgw_area(pgbgw_worker *w, const char *name, size_t size, void **area)
{
	int r = pgi_inside(w);

	return r < 0 ? r : pgi_area(&w->segment, name, size, area);
}

int pgbgw_find_area(pgbgw_worker *w, const char *name, void **area, size_t *size)
{
	uint64_t offset, n = 0;
	int r = pgi_inside(w);

	*area = NULL;
	if (r < 0 || (r = check_name(name)) < 0)
		return r;
	r = look_up(&w->segment, name, &n, &offset);
	if (r == 1) {
		*area = w->segment.base + offset;
		*size = (size_t)n;
	}
	return r;
}
