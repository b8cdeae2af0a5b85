/*
 * Reads the vectors of shm/testdata/vectors, each argument a file: memory that
 * has to be accepted or refused. The format is in the documentation of package
 * shm. Prints how many there were.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define ROOM (1 << 16) /* bytes that a vector gives, at most */

struct vector {
	const char *file;
	char kind[16];
	uint64_t size, key;
	unsigned char begin[ROOM]; /* of what there is */
	size_t given;
	bool accept;
};

static pgbgw_worker worker;
static struct pgi_segment segment;
static int failures;

static void fail(const struct vector *v, const char *what)
{
	fprintf(stderr, "%s: %s (%s)\n", v->file, what, pgbgw_last_error());
	failures++;
}

/* A worker that is attached, as far as those need it that are opened here. */
static void be_attached(void)
{
	static unsigned char table[PGBGW_HEADER_ROOM] __attribute__((aligned(8))); /* without slots */

	worker.slots.base = table;
	worker.env.self.handle.slot = 3;
	worker.env.fds[PGI_LATCH] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	worker.party = 4;
	pthread_mutex_init(&worker.party_mu, NULL);
	atomic_store(&worker.slots_mapped, true);
	atomic_store(&worker.inside, true);
}

static int open_file(const struct vector *v)
{
	int fd = memfd_create("vector", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t n = v->given < v->size ? v->given : (size_t)v->size;

	if (fd < 0 || ftruncate(fd, (off_t)v->size) < 0 || pwrite(fd, v->begin, n, 0) != (ssize_t)n ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		perror(v->file);
		exit(3);
	}
	return fd;
}

static int attach(const struct vector *v)
{
	struct pgi_slots slots = { 0 };
	int fd = open_file(v), r;

	if (strcmp(v->kind, "segment") == 0) {
		pgi_unmap_segment(&segment);
		r = pgi_map_segment(fd, &segment);
	} else {
		r = pgi_map_slots(fd, &slots);
		if (r == 0) {
			for (uint32_t slot = 0; slot < 70; slot++)
				(void)pgi_dead(&slots, slot + 1);
			(void)munmap(slots.base, PGBGW_HEADER_ROOM + (size_t)slots.count * sizeof(struct pgbgw_slot_entry));
		}
	}
	(void)close(fd);
	return r;
}

static int open_memory(const struct vector *v)
{
	pgbgw_condition *c = NULL;
	pgbgw_barrier *b = NULL;
	pgbgw_lwlock *l = NULL;
	pgbgw_mq *q = NULL;
	pgbgw_toc toc;
	void *memory = NULL;
	int r = -1;

	if (posix_memalign(&memory, 128, (size_t)v->size) != 0)
		exit(3);
	memset(memory, 0, (size_t)v->size);
	memcpy(memory, v->begin, v->given < v->size ? v->given : (size_t)v->size);
	if (strcmp(v->kind, "queue") == 0)
		r = pgbgw_mq_attach(&worker, memory, (size_t)v->size, PGBGW_MQ_RECEIVER, &q);
	else if (strcmp(v->kind, "lock") == 0)
		r = pgbgw_lwlock_open(&worker, memory, (size_t)v->size, &l);
	else if (strcmp(v->kind, "condition") == 0)
		r = pgbgw_condition_open(&worker, memory, (size_t)v->size, &c);
	else if (strcmp(v->kind, "barrier") == 0)
		r = pgbgw_barrier_open(&worker, memory, (size_t)v->size, &b);
	else if (strcmp(v->kind, "toc") == 0)
		r = pgbgw_toc_open(&toc, v->key, memory, (size_t)v->size);
	else
		fail(v, "an unknown kind");
	pgbgw_mq_detach(q);
	pgbgw_lwlock_close(l);
	pgbgw_condition_close(c);
	pgbgw_barrier_close(b);
	free(memory);
	return r;
}

static void try(const struct vector *v)
{
	bool file = strcmp(v->kind, "segment") == 0 || strcmp(v->kind, "slots") == 0;
	int r = file ? attach(v) : open_memory(v);

	if (v->accept ? r != 0 : r >= 0)
		fail(v, v->accept ? "is refused" : "is accepted");
}

/* at N: HEX */
static void bytes(struct vector *v, char *line)
{
	char *at = strchr(line, ':');
	uint64_t offset = strtoull(line, NULL, 10);

	for (at++; *at && *at != '\n';) {
		char *end;
		unsigned long b = strtoul(at, &end, 16);

		if (end == at)
			break;
		if (offset >= ROOM) {
			fail(v, "it gives bytes further on than this test has room for");
			exit(3);
		}
		v->begin[offset++] = (unsigned char)b;
		at = end;
	}
	if (offset > v->given)
		v->given = (size_t)offset;
}

/* area NAME SIZE N, or error: the name may have spaces */
static void look_up(const struct vector *v, char *line)
{
	char *last = strrchr(line, ' '), *size;
	void *area;
	int r;

	*last++ = 0;
	size = strrchr(line, ' ');
	*size++ = 0;
	r = segment.base ? pgi_area(&segment, line, (size_t)strtoull(size, NULL, 10), &area) : -1;
	if (strncmp(last, "error", 5) == 0) {
		if (r >= 0)
			fail(v, "an area is found that should not be");
	} else if (r < 0 || (uint64_t)((unsigned char *)area - segment.base) != strtoull(last, NULL, 10)) {
		fail(v, "an area is not where it should be");
	}
}

static void read_vector(const char *file)
{
	static struct vector v;
	char line[1024];
	FILE *f = fopen(file, "r");

	if (!f) {
		perror(file);
		exit(3);
	}
	memset(&v, 0, sizeof v);
	v.file = file;
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "kind ", 5) == 0)
			(void)snprintf(v.kind, sizeof v.kind, "%.15s", line + 5);
		else if (strncmp(line, "size ", 5) == 0)
			v.size = strtoull(line + 5, NULL, 0);
		else if (strncmp(line, "key ", 4) == 0)
			v.key = strtoull(line + 4, NULL, 0);
		else if (strncmp(line, "at ", 3) == 0)
			bytes(&v, line + 3);
		else if (strcmp(line, "accept") == 0 || strcmp(line, "refuse") == 0) {
			v.accept = line[0] == 'a';
			try(&v);
		} else if (strncmp(line, "area ", 5) == 0)
			look_up(&v, line + 5);
		else if (line[0] && line[0] != '#')
			fail(&v, line);
	}
	(void)fclose(f);
}

int main(int argc, char **argv)
{
	be_attached();
	for (int i = 1; i < argc; i++)
		read_vector(argv[i]);
	printf("%d\n", argc - 1);
	return failures ? 4 : 0;
}
