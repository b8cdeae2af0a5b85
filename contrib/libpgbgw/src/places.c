/*
 * What locks and condition variables have in common: they begin with a magic
 * number and a number of places, of 16 bytes each, at which processes are woken.
 */
#include "internal.h"

#define HEADER 32
#define PLACE 16

int pgi_places_over(const void *memory, size_t size, const char *what, uint32_t *places)
{
	if (size < HEADER + PLACE)
		return pgi_fail(EINVAL, "a %s of %zu bytes: %d are the least", what, size, HEADER + PLACE);
	if ((uintptr_t)memory % 8)
		return pgi_fail(EINVAL, "a %s does not begin at a multiple of 8", what);
	size = (size - HEADER) / PLACE;
	*places = size < PGBGW_MAX_PLACES ? (uint32_t)size : PGBGW_MAX_PLACES;
	return 0;
}

void pgi_places_clear(void *memory, uint32_t places)
{
	for (uint64_t at = 0; at < HEADER + (uint64_t)places * PLACE; at += 8)
		atomic_store(pgi_word64(memory, at), 0);
	POINT();
	atomic_store(pgi_word32(memory, 8), places);
	POINT();
}

int pgi_places_check(void *memory, uint64_t magic, uint32_t places, const char *what)
{
	uint64_t begins = atomic_load(pgi_word64(memory, 0));
	uint32_t have = atomic_load(pgi_word32(memory, 8)), features = atomic_load(pgi_word32(memory, 12));

	if (begins != magic)
		return pgi_fail(EUCLEAN, "no %s is here: it begins with %#llx", what, (unsigned long long)begins);
	if (have != places || features)
		return pgi_fail(EUCLEAN, "the %s has %u places and features %#x, this memory has %u", what, have, features, places);
	return 0;
}
