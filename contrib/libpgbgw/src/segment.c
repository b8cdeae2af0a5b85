/*
 * A segment: seals, header, mapping, named areas. What is mapped may change at
 * any time: it is read once and checked, and the header only as a copy.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* CRC-32C (Castagnoli), reflected. */
uint32_t pgi_crc32c(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t crc = ~UINT32_C(0);

	while (n--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (UINT32_C(0x82f63b78) & (0 - (crc & 1)));
	}
	return ~crc;
}

#define MAX_SIZE (UINT64_C(1) << 40)

int pgi_sealed_size(int fd, uint64_t *size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0)
		return errno == EINVAL ? pgi_fail(EUCLEAN, "it is no memfd") : pgi_fail(errno, "fcntl(F_GET_SEALS): %s", strerror(errno));
	if (!(seals & F_SEAL_SHRINK))
		return pgi_fail(EUCLEAN, "it is not sealed against shrinking");
	if (fstat(fd, &st) < 0)
		return pgi_fail(errno, "fstat: %s", strerror(errno));
	*size = (uint64_t)st.st_size;
	return 0;
}

static int read_header(int fd, void *header)
{
	ssize_t n;

	do
		n = pread(fd, header, PGBGW_HEADER_SIZE, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return pgi_fail(errno, "pread: %s", strerror(errno));
	if (n < PGBGW_HEADER_SIZE)
		return pgi_fail(EUCLEAN, "it has %zd bytes, a header has %d", n, PGBGW_HEADER_SIZE);
	return 0;
}

/* What both headers begin with. Layout 1 has no feature that has to be known. */
static int check_start(uint64_t magic, uint64_t want, uint16_t major, uint16_t minor, uint64_t features)
{
	if (magic != want)
		return pgi_fail(EUCLEAN, "the magic number is %#llx, not %#llx", (unsigned long long)magic, (unsigned long long)want);
	if (major != PGBGW_ABI_MAJOR)
		return pgi_fail(EUCLEAN, "the layout is version %u.%u, this library reads %u.x", major, minor, PGBGW_ABI_MAJOR);
	if (features >> 32)
		return pgi_fail(EUCLEAN, "it needs features %#llx, which this library does not have", (unsigned long long)(features >> 32 << 32));
	return 0;
}

static int check_section(const struct pgbgw_segment_header *h, int number)
{
	const struct pgbgw_section *s = &h->section[number];

	if (s->length == 0)
		return s->count || s->offset ? pgi_fail(EUCLEAN, "section %d is absent and has an offset or a count", number) : 0;
	if (s->offset < h->room || s->offset > h->total_size || s->length > h->total_size - s->offset)
		return pgi_fail(EUCLEAN, "section %d is outside of the segment", number);
	if (s->offset % PGBGW_AREA_ALIGN)
		return pgi_fail(EUCLEAN, "section %d is not aligned", number);
	if ((uint64_t)s->stride * s->count > s->length)
		return pgi_fail(EUCLEAN, "section %d has more entries than bytes for them", number);
	for (int i = 0; i < number; i++) {
		const struct pgbgw_section *o = &h->section[i];

		if (o->length && s->offset < o->offset + o->length && o->offset < s->offset + s->length)
			return pgi_fail(EUCLEAN, "sections %d and %d overlap", i, number);
	}
	return 0;
}

/* Two sections that may be absent together. */
static int check_tranches(const struct pgbgw_segment_header *h)
{
	const struct pgbgw_section *words = &h->section[PGBGW_SECTION_TRANCHE_WORDS], *names = &h->section[PGBGW_SECTION_TRANCHE_NAMES];

	if (words->length == 0 && names->length == 0)
		return 0;
	if (words->length == 0 || words->stride != 8 || words->count == 0 || words->count > 1 << 16)
		return pgi_fail(EUCLEAN, "the section of tranches has %u entries of %u bytes", words->count, words->stride);
	if (names->length == 0 || names->stride != 64 || names->count == 0 || names->count > 1 << 17)
		return pgi_fail(EUCLEAN, "the section of tranche names has %u entries of %u bytes", names->count, names->stride);
	return 0;
}

/* The shape of the sections that this library uses. */
static int check_known(const struct pgbgw_segment_header *h)
{
	static const struct { int number; uint32_t stride, most; } known[] = {
		{ PGBGW_SECTION_WORDS, 8, 1 << 16 }, { PGBGW_SECTION_RECORDS, 64, 1 << 17 }, { PGBGW_SECTION_LATCHES, 64, PGBGW_MAX_SLOTS },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const struct pgbgw_section *s = &h->section[known[i].number];

		if (s->length == 0 || s->stride != known[i].stride || s->count == 0 || s->count > known[i].most)
			return pgi_fail(EUCLEAN, "section %d has %u entries of %u bytes, expected are 1 to %u of %u", known[i].number, s->count,
					s->stride, known[i].most, known[i].stride);
	}
	if (h->section[PGBGW_SECTION_DATA].length == 0)
		return pgi_fail(EUCLEAN, "there is no room for areas");
	return check_tranches(h);
}

int pgi_check_segment(const struct pgbgw_segment_header *h, uint64_t size)
{
	int r = check_start(h->magic, PGBGW_SEGMENT_MAGIC, h->major, h->minor, h->features);

	if (r < 0)
		return r;
	if (h->checksum != pgi_crc32c(h, PGBGW_HEADER_SIZE - 4))
		return pgi_fail(EUCLEAN, "the header's checksum is wrong");
	if (h->total_size != size || size < PGBGW_HEADER_ROOM || size > MAX_SIZE)
		return pgi_fail(EUCLEAN, "the header says %llu bytes, the file has %llu", (unsigned long long)h->total_size, (unsigned long long)size);
	if (h->room < PGBGW_STATE_OFFSET + 4 || h->room > size)
		return pgi_fail(EUCLEAN, "the header says that it takes %u bytes", h->room);
	if (h->sections != PGBGW_SECTION_COUNT || h->incarnation == 0)
		return pgi_fail(EUCLEAN, "the header has %u sections and incarnation %llu", h->sections, (unsigned long long)h->incarnation);
	for (int i = 0; i < PGBGW_SECTION_COUNT; i++)
		if ((r = check_section(h, i)) < 0)
			return r;
	return check_known(h);
}

int pgi_check_slots(const struct pgbgw_slots_header *h, uint64_t size)
{
	int r = check_start(h->magic, PGBGW_SLOTS_MAGIC, h->major, h->minor, h->features);

	if (r < 0)
		return r;
	if (h->checksum != pgi_crc32c(h, PGBGW_HEADER_SIZE - 4))
		return pgi_fail(EUCLEAN, "the header's checksum is wrong");
	if (h->entry != sizeof(struct pgbgw_slot_entry) || h->room != PGBGW_HEADER_ROOM || h->count == 0 || h->count > PGBGW_MAX_SLOTS)
		return pgi_fail(EUCLEAN, "it has %u entries of %u bytes after %u", h->count, h->entry, h->room);
	if (size < PGBGW_HEADER_ROOM || (uint64_t)h->count * h->entry > size - PGBGW_HEADER_ROOM)
		return pgi_fail(EUCLEAN, "%u entries do not fit into %llu bytes", h->count, (unsigned long long)size);
	return 0;
}

int pgi_map(int fd, uint64_t size, int prot, unsigned char **base)
{
	void *p;

	if (size > SIZE_MAX)
		return pgi_fail(EUCLEAN, "%llu bytes cannot be mapped", (unsigned long long)size);
	p = mmap(NULL, (size_t)size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return pgi_fail(errno, "mmap: %s", strerror(errno));
	*base = p;
	return 0;
}

int pgi_map_segment(int fd, struct pgi_segment *s)
{
	uint64_t size;
	int r;

	if ((r = pgi_sealed_size(fd, &size)) < 0 || (r = read_header(fd, &s->header)) < 0 || (r = pgi_check_segment(&s->header, size)) < 0)
		return r;
	memset(s->spare, 0, sizeof s->spare);
	return pgi_map(fd, size, PROT_READ | PROT_WRITE, &s->base);
}

void pgi_unmap_segment(struct pgi_segment *s)
{
	if (s->base)
		(void)munmap(s->base, (size_t)s->header.total_size);
	s->base = NULL;
}

int pgi_map_slots(int fd, struct pgi_slots *s)
{
	struct pgbgw_slots_header h;
	uint64_t size;
	int r;

	if ((r = pgi_sealed_size(fd, &size)) < 0 || (r = read_header(fd, &h)) < 0 || (r = pgi_check_slots(&h, size)) < 0)
		return r;
	s->count = h.count;
	return pgi_map(fd, PGBGW_HEADER_ROOM + (uint64_t)h.count * h.entry, PROT_READ, &s->base);
}

word32 *pgi_latch_word(const struct pgi_segment *s, uint32_t slot)
{
	const struct pgbgw_section *l = &s->header.section[PGBGW_SECTION_LATCHES];

	return slot < l->count ? pgi_word32(s->base, l->offset + (uint64_t)slot * l->stride) : NULL;
}
