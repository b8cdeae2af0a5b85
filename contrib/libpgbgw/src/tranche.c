/*
 * Names for locks: a list in the segment that only grows, in the way of the
 * areas, without the memory.
 */
#include "internal.h"

#define NAME_WORDS (sizeof(struct pgbgw_tranche_name) / 8)

static word64 *word_at(const struct pgi_segment *s, uint32_t i)
{
	return pgi_word64(s->base, s->header.section[PGBGW_SECTION_TRANCHE_WORDS].offset + (uint64_t)i * 8);
}

static uint64_t record_at(const struct pgi_segment *s, uint64_t number)
{
	return s->header.section[PGBGW_SECTION_TRANCHE_NAMES].offset + number * sizeof(struct pgbgw_tranche_name);
}

/* A record that is this process's to write; its number or -ENOSPC. */
static int64_t take_record(struct pgi_segment *s)
{
	word32 *next = pgi_word32(s->base, PGBGW_STATE_OFFSET + offsetof(struct pgbgw_segment_state, next_tranche));
	uint32_t count = s->header.section[PGBGW_SECTION_TRANCHE_NAMES].count, n;

	pthread_mutex_lock(&s->mu);
	n = s->spare_tranche;
	s->spare_tranche = 0;
	pthread_mutex_unlock(&s->mu);
	if (n)
		return n - 1;
	n = atomic_load(next);
	do {
		if (n >= count)
			return pgi_fail(ENOSPC, "all %u tranche names of the segment are used up", count);
	} while (!atomic_compare_exchange_weak(next, &n, n + 1));
	return n;
}

/* Tries to make a word the new name: 1 if it did, 0 if somebody was first. */
static int publish(struct pgi_segment *s, word64 *word, const char *name)
{
	struct pgbgw_tranche_name r = { { 0 } };
	uint64_t words[NAME_WORDS], none = 0;
	int64_t number = take_record(s);

	if (number < 0)
		return (int)number;
	POINT();
	memcpy(r.name, name, strlen(name));
	memcpy(words, &r, sizeof r);
	for (size_t i = 0; i < NAME_WORDS; i++)
		atomic_store(pgi_word64(s->base, record_at(s, (uint64_t)number) + i * 8), words[i]);
	POINT();
	if (atomic_compare_exchange_strong(word, &none, (uint64_t)number + 1))
		return 1;
	pthread_mutex_lock(&s->mu);
	s->spare_tranche = (uint32_t)number + 1;
	pthread_mutex_unlock(&s->mu);
	return 0;
}

/* Copies the name that a word names. */
static int read_name(const struct pgi_segment *s, uint64_t word, struct pgbgw_tranche_name *r)
{
	uint64_t words[NAME_WORDS];

	if (word == 0 || word > s->header.section[PGBGW_SECTION_TRANCHE_NAMES].count)
		return pgi_fail(EUCLEAN, "tranche name %llu", (unsigned long long)word);
	for (size_t i = 0; i < NAME_WORDS; i++)
		words[i] = atomic_load(pgi_word64(s->base, record_at(s, word - 1) + i * 8));
	memcpy(r, words, sizeof *r);
	if (r->name[0] == 0 || r->name[sizeof r->name - 1] != 0)
		return pgi_fail(EUCLEAN, "tranche name %llu is none", (unsigned long long)word - 1);
	return 0;
}

int pgbgw_tranche(pgbgw_worker *w, const char *name)
{
	struct pgbgw_tranche_name have;
	size_t n = name ? strlen(name) : 0;
	int r = pgi_inside(w);
	uint32_t count;

	if (r < 0)
		return r;
	if (n == 0 || n >= sizeof have.name)
		return pgi_fail(EINVAL, "tranche name \"%.70s\" has to have 1 to 63 bytes", name ? name : "");
	count = w->segment.header.section[PGBGW_SECTION_TRANCHE_WORDS].count;
	for (uint32_t i = 0; i < count; i++) {
		word64 *word = word_at(&w->segment, i);
		uint64_t published = atomic_load(word);

		if (published == 0) {
			if ((r = publish(&w->segment, word, name)) != 0)
				return r < 0 ? r : (int)i + 1;
			published = atomic_load(word);
		}
		if ((r = read_name(&w->segment, published, &have)) < 0)
			return r;
		if (strcmp(have.name, name) == 0)
			return (int)i + 1;
	}
	return pgi_fail(ENOSPC, "the segment has %u tranches, which is the most", count);
}

int pgbgw_tranche_name(pgbgw_worker *w, uint32_t tranche, char name[64])
{
	struct pgbgw_tranche_name have;
	int r = pgi_inside(w);

	if (r < 0)
		return r;
	if (tranche == 0 || tranche > w->segment.header.section[PGBGW_SECTION_TRANCHE_WORDS].count)
		return pgi_fail(ENOENT, "there is no tranche %u", tranche);
	uint64_t published = atomic_load(word_at(&w->segment, tranche - 1));
	if (published == 0)
		return pgi_fail(ENOENT, "nobody has registered tranche %u", tranche);
	if ((r = read_name(&w->segment, published, &have)) == 0)
		memcpy(name, have.name, sizeof have.name);
	return r;
}
