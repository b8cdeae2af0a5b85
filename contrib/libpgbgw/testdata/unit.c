/*
 * The parts of the library that need no supervisor. Arguments: what to do, and
 * for it. Standard input and output are what the test in Go compares.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mq.h"

static unsigned char input[1 << 17];

static size_t read_input(void)
{
	size_t n = fread(input, 1, sizeof input, stdin);

	if (ferror(stdin))
		exit(3);
	return n;
}

/* decode: prints the result, and what the record is when it is written again. */
static int decode(void)
{
	size_t n = read_input();
	unsigned char *exact = malloc(n ? n : 1), again[PGI_RECORD_MAX]; /* exact: so that a byte too far is found */
	struct pgi_record r;
	int result, length;

	memcpy(exact, input, n);
	result = pgi_decode(exact, n, &r);
	printf("%d %u %llu\n", result, r.type, (unsigned long long)r.id);
	if (result == 0) {
		length = pgi_encode(&r, again, sizeof again);
		for (int i = 0; i < length; i++)
			printf("%02x", again[i]);
		printf("\n");
	}
	free(exact);
	return 0;
}

/* conninfo [DATABASE [ROLE]]: into buffers of all sizes. */
static int conninfo(char **v)
{
	char full[4096], cut[4096];
	int n = pgbgw_conninfo(full, sizeof full, v[0], v[0] ? v[1] : NULL);

	if (n < 0) {
		printf("%d\n", n);
		return 0;
	}
	for (size_t size = 0; size <= (size_t)n; size++) {
		memset(cut, 'x', sizeof cut);
		if (pgbgw_conninfo(cut, size, v[0], v[0] ? v[1] : NULL) != n || cut[size] != 'x')
			return 4;
		if (size && (strlen(cut) != size - 1 || memcmp(cut, full, size - 1) != 0))
			return 5;
	}
	printf("%s\n", full);
	return 0;
}

/* environment: the result of an open, and what it says. */
static int environment(void)
{
	pgbgw_worker *w;
	int r = pgbgw_open(&w);

	printf("%d %s\n", r, r < 0 ? pgbgw_last_error() : pgbgw_get_self(w)->type);
	pgbgw_close(w);
	return 0;
}

/* ---- Attaching to anything ---- */

static uint64_t seed = 1;

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t interesting(void)
{
	static const uint64_t few[] = { 0, 1, 2, 127, 128, 4095, 4096, 1 << 20, 1 << 21, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 127 };

	return random_number() % 3 ? few[random_number() % (sizeof few / sizeof *few)] : random_number();
}

static void mutate(unsigned char *p, size_t n)
{
	for (uint64_t times = random_number() % 4; times-- > 0;) {
		size_t at = (size_t)(random_number() % n), width = (size_t)1 << random_number() % 4;
		uint64_t value = interesting();

		at &= ~(width - 1);
		memcpy(p + at, &value, width);
	}
}

/* What a worker does with a segment that it could attach. */
static void use(struct pgi_segment *s, uint64_t *areas)
{
	static const char *const names[] = { "a", "b", "hello starts", "from go" };
	void *p;

	for (uint32_t slot = 0; slot < PGBGW_MAX_SLOTS; slot += 1000) {
		word32 *word = pgi_latch_word(s, slot);

		if (word)
			pgi_set_word(word, -1);
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t size = random_number() % 4 ? 100 : (size_t)(random_number() % 4096 + 1);
		pgbgw_toc toc;
		void *chunk;

		if (pgi_area(s, names[i], size, &p) < 0)
			continue;
		++*areas;
		memset(p, 0x55, size);
		if (pgbgw_toc_open(&toc, 1, p, size) == 0 || pgbgw_toc_create(&toc, 1, p, size) == 0) {
			mutate(p, 64 < size ? 64 : size);
			(void)pgbgw_toc_lookup(&toc, 0, &chunk, &size);
			(void)pgbgw_toc_allocate(&toc, 1, &chunk);
			(void)pgbgw_toc_free(&toc);
		}
	}
}

static int memfd(const void *header, size_t size, const void *file, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || (n && pwrite(fd, file, n, 0) != (ssize_t)n) ||
	    pwrite(fd, header, PGBGW_HEADER_SIZE, 0) != PGBGW_HEADER_SIZE || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		perror("memfd");
		exit(3);
	}
	return fd;
}

/*
 * fuzz segment|slots ROUNDS: the beginning of a file is standard input. Its
 * header, and then what follows, is changed at random, half of the time with a
 * checksum that fits.
 */
static int fuzz(char **v)
{
	size_t n = read_input();
	bool slots = strcmp(v[0], "slots") == 0;
	unsigned char header[PGBGW_HEADER_SIZE], *rest = malloc(n);
	uint64_t attached = 0, areas = 0;

	for (long round = atol(v[1]); round > 0; round--) {
		size_t size = random_number() % 8 ? (size_t)(slots ? PGBGW_HEADER_ROOM + PGBGW_MAX_SLOTS * 512 : 2 << 20) : (size_t)(n + random_number() % 8192);
		struct pgi_segment s = { 0 };
		struct pgi_slots table = { 0 };
		uint32_t sum;
		int fd;

		memcpy(header, input, sizeof header);
		memcpy(rest, input, n);
		if (random_number() % 2)
			mutate(header, 496);
		mutate(rest + PGBGW_HEADER_SIZE, n - PGBGW_HEADER_SIZE);
		mutate(rest + PGBGW_HEADER_ROOM, 512);                /* the first words of areas, and entries of slots */
		mutate(rest + PGBGW_HEADER_ROOM + 1024 * 8, 3 * 64); /* the first records of areas */
		if (random_number() % 2) {
			sum = pgi_crc32c(header, PGBGW_HEADER_SIZE - 4);
			memcpy(header + PGBGW_HEADER_SIZE - 4, &sum, 4);
		}
		fd = memfd(header, size, rest, size < n ? size : n);
		if (slots && pgi_map_slots(fd, &table) == 0) {
			attached++;
			for (uint32_t slot = 0; slot < 70; slot++) {
				(void)pgi_dead(&table, slot + 1);
				(void)pgi_stopped(&table, (pgbgw_handle){ slot, random_number() });
			}
			(void)munmap(table.base, PGBGW_HEADER_ROOM + (size_t)table.count * 512);
		} else if (!slots && pgi_map_segment(fd, &s) == 0) {
			attached++;
			pthread_mutex_init(&s.mu, NULL);
			use(&s, &areas);
			pgi_unmap_segment(&s);
		}
		(void)close(fd);
	}
	free(rest);
	printf("%llu %llu\n", (unsigned long long)attached, (unsigned long long)areas);
	return 0;
}

/* header segment|slots SIZE: whether a header from standard input is accepted in a file of that size. */
static int header(char **v)
{
	union { struct pgbgw_segment_header segment; struct pgbgw_slots_header slots; } h;
	uint64_t size = strtoull(v[1], NULL, 10);
	int r;

	memset(&h, 0, sizeof h);
	memcpy(&h, input, read_input() < sizeof h ? 0 : sizeof h);
	r = strcmp(v[0], "slots") == 0 ? pgi_check_slots(&h.slots, size) : pgi_check_segment(&h.segment, size);
	printf("%d %s\n", r, r < 0 ? pgbgw_last_error() : "");
	return 0;
}

/* unread: what a request comes to when the supervisor reads nothing and somebody interrupts. */
static int unread(void)
{
	char fds[32];
	int pair[2];
	pgbgw_worker *w;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return 3;
	(void)snprintf(fds, sizeof fds, "control:%d", pair[0]);
	(void)setenv("PGBGW_FDS", fds, 1);
	if (pgbgw_open(&w) < 0)
		return 4;
	while (send(pair[0], input, 1000, MSG_DONTWAIT) == 1000)
		;
	pgbgw_interrupt(w);
	printf("%d\n", pgbgw_get_pid(w, (pgbgw_handle){ 1, 1 }, NULL));
	pgbgw_close(w);
	return 0;
}

static uint64_t machine_time = 1;

static uint64_t machine_clock(void) { return machine_time; }

/*
 * copying RING {STREAMED THROUGH}...: a sender of messages of 64 KiB on a machine
 * where a byte costs so much the one way and the other, which changes. Prints of
 * each what is kept, and whether less than a fiftieth goes the other way then.
 */
static int copying(int count, char **v)
{
	enum { SIZE = 64 << 10 };
	struct pgi_mq_copying c;

	pgi_mq_copying(&c, strtoull(v[0], NULL, 10), machine_clock);
	for (int i = 1; i + 1 < count; i += 2) {
		uint64_t cost[2] = { strtoull(v[i + 1], NULL, 10), strtoull(v[i], NULL, 10) };
		int64_t all = 4096 * c.unit, other = 0;

		for (int64_t n = 0; n < 2 * all; n += SIZE) {
			uint64_t begun = pgi_mq_begin(&c);

			machine_time += SIZE * cost[c.stream];
			other += n >= all && c.stream != c.kept ? SIZE : 0;
			pgi_mq_end(&c, begun);
			pgi_mq_copied(&c, SIZE);
			machine_time += 1 << 30; /* the sender does something else */
		}
		printf("%s %s\n", c.kept ? "streamed" : "through", other < all / 50 ? "seldom" : "often");
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "decode") == 0)
		return decode();
	if (strcmp(argv[1], "conninfo") == 0)
		return conninfo(argv + 2);
	if (strcmp(argv[1], "environment") == 0)
		return environment();
	if (strcmp(argv[1], "unread") == 0)
		return unread();
	if (strcmp(argv[1], "copying") == 0 && argc > 2)
		return copying(argc - 2, argv + 2);
	if (strcmp(argv[1], "fuzz") == 0 && argc == 4)
		return fuzz(argv + 2);
	if (strcmp(argv[1], "header") == 0 && argc == 4)
		return header(argv + 2);
	return 2;
}
