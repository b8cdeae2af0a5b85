/*
 * Lists in a segment that only grow, of records of 64 bytes. There is no lock
 * that a worker could die with: a worker writes a record of its own, and one
 * compare-and-swap of the first empty word publishes it. Who loses the race for
 * a word keeps the record for the next one.
 */
#include "internal.h"

#define WORDS (PGI_RECORD_SIZE / 8)

word64 *pgi_list_word(const struct pgi_segment *s, const struct pgi_list *l, uint32_t i)
{
	return pgi_word64(s->base, s->header.section[l->words].offset + (uint64_t)i * 8);
}

static word64 *at(const struct pgi_segment *s, const struct pgi_list *l, uint64_t record, size_t word)
{
	return pgi_word64(s->base, s->header.section[l->records].offset + record * PGI_RECORD_SIZE + word * 8);
}

/* A record that is this process's to write; its number or -ENOSPC. */
static int64_t take(struct pgi_segment *s, const struct pgi_list *l)
{
	word32 *taken = pgi_word32(s->base, l->taken);
	uint32_t count = s->header.section[l->records].count, n;

	pthread_mutex_lock(&s->mu);
	n = s->spare[l->spare];
	s->spare[l->spare] = 0;
	pthread_mutex_unlock(&s->mu);
	if (n)
		return n - 1;
	n = atomic_load(taken);
	do {
		if (n >= count)
			return pgi_fail(ENOSPC, "all %u %ss of the segment are used up", count, l->what);
	} while (!atomic_compare_exchange_weak(taken, &n, n + 1));
	return n;
}

int pgi_list_put(struct pgi_segment *s, const struct pgi_list *l, word64 *word, const void *record)
{
	uint64_t words[WORDS], none = 0;
	int64_t number = take(s, l);

	if (number < 0)
		return (int)number;
	POINT();
	memcpy(words, record, sizeof words);
	for (size_t i = 0; i < WORDS; i++) {
		atomic_store(at(s, l, (uint64_t)number, i), words[i]);
		POINT();
	}
	if (atomic_compare_exchange_strong(word, &none, (uint64_t)number + 1)) {
		POINT();
		return 1;
	}
	pthread_mutex_lock(&s->mu);
	s->spare[l->spare] = (uint32_t)number + 1; /* for the next one; a second is lost */
	pthread_mutex_unlock(&s->mu);
	return 0;
}

int pgi_list_get(const struct pgi_segment *s, const struct pgi_list *l, uint64_t word, void *record)
{
	uint64_t words[WORDS];

	if (word == 0 || word > s->header.section[l->records].count)
		return pgi_fail(EUCLEAN, "%s %llu of %u", l->what, (unsigned long long)word, s->header.section[l->records].count);
	for (size_t i = 0; i < WORDS; i++)
		words[i] = atomic_load(at(s, l, word - 1, i));
	memcpy(record, words, sizeof words);
	return 0;
}
