/*
 * Named areas: a list of records of name, size and offset. The words' order is
 * that of the areas in memory, so that publishing takes the memory, too. Who
 * loses the race goes on behind the winner with the same record.
 */
#include "internal.h"

static const struct pgi_list list = { PGBGW_SECTION_WORDS, PGBGW_SECTION_RECORDS, PGBGW_STATE_OFFSET, PGI_AREAS, "area record" };
_Static_assert(sizeof(struct pgbgw_area_record) == PGI_RECORD_SIZE, "a record of a list");

/* Tries to make a word the new area: 1 if it did, 0 if somebody was first. */
static int publish(struct pgi_segment *s, word64 *word, const char *name, uint64_t size, uint64_t offset)
{
	const struct pgbgw_section *data = &s->header.section[PGBGW_SECTION_DATA];
	struct pgbgw_area_record r = { .size = size, .offset = offset };
	uint64_t room = data->offset + data->length - offset;

	if (size > room)
		return pgi_fail(ENOMEM, "cannot make area \"%s\": it has %llu bytes, the segment has %llu left", name, (unsigned long long)size,
				(unsigned long long)room);
	memcpy(r.name, name, strlen(name));
	return pgi_list_put(s, &list, word, &r);
}

/* Copies the record that a word names and checks it; end is where its area has to begin. */
static int read_record(const struct pgi_segment *s, uint64_t word, uint64_t end, struct pgbgw_area_record *r)
{
	const struct pgbgw_section *data = &s->header.section[PGBGW_SECTION_DATA];
	int have = pgi_list_get(s, &list, word, r);

	if (have < 0)
		return have;
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
		uint64_t published = atomic_load(pgi_list_word(s, &list, i));
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
		word64 *word = pgi_list_word(s, &list, i);
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
