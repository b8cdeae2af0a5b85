/* Names for locks: a list in the segment. */
#include "internal.h"

static const struct pgi_list list = { PGBGW_SECTION_TRANCHE_WORDS, PGBGW_SECTION_TRANCHE_NAMES,
				      PGBGW_STATE_OFFSET + offsetof(struct pgbgw_segment_state, next_tranche), PGI_TRANCHES, "tranche name" };
_Static_assert(sizeof(struct pgbgw_tranche_name) == PGI_RECORD_SIZE, "a record of a list");

/* Copies the name that a word names. */
static int read_name(const struct pgi_segment *s, uint64_t word, struct pgbgw_tranche_name *r)
{
	int have = pgi_list_get(s, &list, word, r);

	if (have == 0 && (r->name[0] == 0 || r->name[sizeof r->name - 1] != 0))
		return pgi_fail(EUCLEAN, "tranche name %llu is none", (unsigned long long)word - 1);
	return have;
}

int pgbgw_tranche(pgbgw_worker *w, const char *name)
{
	struct pgbgw_tranche_name mine = { { 0 } }, have;
	size_t n = name ? strlen(name) : 0;
	int r = pgi_inside(w);
	uint32_t count;

	if (r < 0)
		return r;
	if (n == 0 || n >= sizeof have.name)
		return pgi_fail(EINVAL, "tranche name \"%.70s\" has to have 1 to 63 bytes", name ? name : "");
	memcpy(mine.name, name, n);
	count = w->segment.header.section[PGBGW_SECTION_TRANCHE_WORDS].count;
	for (uint32_t i = 0; i < count; i++) {
		word64 *word = pgi_list_word(&w->segment, &list, i);
		uint64_t published = atomic_load(word);

		if (published == 0) {
			if ((r = pgi_list_put(&w->segment, &list, word, &mine)) != 0)
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
	uint64_t published = atomic_load(pgi_list_word(&w->segment, &list, tranche - 1));
	if (published == 0)
		return pgi_fail(ENOENT, "nobody has registered tranche %u", tranche);
	if ((r = read_name(&w->segment, published, &have)) == 0)
		memcpy(name, have.name, sizeof have.name);
	return r;
}
