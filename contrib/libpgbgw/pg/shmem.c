/*
 * ShmemInitStruct and what is around it: named pieces of one area of the
 * segment, half of it, which every process has at the same address. Without a
 * segment the memory is private and modules of one process share it only.
 *
 * The region's head is an index under a robust mutex; a piece is never freed
 * (PostgreSQL does not either), the segment's renewal after a crash frees all.
 *
 * The head is made once, by the first launcher, also where another begins before it
 * has done (one is replaced while it is still loading), or after it died doing it.
 */
#include "internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "shared.h"
#include "segment.h"

enum {
	REGION_MAGIC = 0x70674277, /* "pgBw" */
	PIECES_MAX = 512,
};

struct piece {
	char name[SHMEM_INDEX_KEYSIZE];
	Size offset, size;
};

struct region {
	uint32 magic;
	uint32 npieces;
	Size size, used;
	int next_tranche;
	pthread_mutex_t lock;
	struct piece pieces[PIECES_MAX];
};

static struct region *region;
static Size requested;

static void init_region(struct region *r, Size size)
{
	pthread_mutexattr_t attr;

	memset(r, 0, sizeof *r);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&r->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	r->size = size;
	r->used = CACHELINEALIGN(sizeof *r);
	pg_write_barrier();
	r->magic = REGION_MAGIC;
}

/* find_area returns where in the segment the modules' area is. */
static Size find_area(struct pgi_segment *s, Size *size)
{
	char name[32];
	void *area;
	int error;

	*size = s->header.total_size / 2;
	snprintf(name, sizeof name, "postgresql %d", PG_MAJORVERSION_NUM);
	error = pgi_area(s, name, *size, &area);
	if (error < 0)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("the segment has no room for modules: %s", pgbgw_last_error()),
				errhint("Raise the segment's size.")));
	return (Size)((unsigned char *)area - s->base);
}

/* map_region maps the segment where every process has it; workers inherit that, and so need not map and check it. */
static struct region *map_region(Size *size)
{
	struct pgi_segment s = { .mu = PTHREAD_MUTEX_INITIALIZER };
	Size offset;
	void *at;
	int error;

	error = pgi_map_segment(the_host->segment, &s);
	if (error < 0)
		elog(FATAL, "cannot use the segment: %s", pgbgw_last_error());
	offset = find_area(&s, size);
	pgi_unmap_segment(&s);
	at = mmap(the_host->address, s.header.total_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, the_host->segment, 0);
	if (at != the_host->address)
		elog(FATAL, "cannot map the segment at %p: %m", the_host->address);
	pgi_inherited.base = at;
	pgi_inherited.header = s.header;
	return (struct region *)((char *)at + offset);
}

static struct region *private_region(Size *size)
{
	void *memory;

	*size = add_size(requested, 4 * 1024 * 1024);
	if (posix_memalign(&memory, 4096, *size))
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return memset(memory, 0, *size);
}

/*
 * set_alone takes (F_WRLCK) or gives back (F_UNLCK) what one process at a time has of the
 * segment: a record lock of its file, which ends with the process that has it.
 */
static void set_alone(short type)
{
	struct flock all = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(the_host->segment, F_SETLKW, &all) < 0)
		if (errno != EINTR)
			elog(FATAL, "cannot lock the segment: %m");
}

static void make_region(Size size)
{
	if (the_host->segment >= 0)
		set_alone(F_WRLCK);
	if (region->magic != REGION_MAGIC)
		init_region(region, size);
	if (the_host->segment >= 0)
		set_alone(F_UNLCK);
}

void shared_start(void)
{
	Size size;

	region = the_host->segment >= 0 ? map_region(&size) : private_region(&size);
	if (size < sizeof *region)
		elog(FATAL, "a region of %zu bytes is too small", size);
	make_region(size);
	lwlocks_create();
	procs_create();
}

static void lock_region(void)
{
	int error;

	if (!region)
		elog(ERROR, "shared memory is not there yet");
	HOLD_INTERRUPTS();
	error = pthread_mutex_lock(&region->lock);
	if (error == EOWNERDEAD) /* the index changes by single stores, npieces last: it is whole */
		error = pthread_mutex_consistent(&region->lock);
	if (error) {
		RESUME_INTERRUPTS();
		elog(ERROR, "cannot lock the index of shared memory: %s", strerror(error));
	}
}

static void unlock_region(void)
{
	pthread_mutex_unlock(&region->lock);
	RESUME_INTERRUPTS();
}

/* take returns the offset of size free bytes, or 0. */
static Size take(Size size)
{
	Size at = region->used;

	size = CACHELINEALIGN(size);
	if (size > region->size - at)
		return 0;
	region->used = at + size;
	return at;
}

/* find needs no lock: a piece is whole before it is counted. */
static struct piece *find(const char *name)
{
	uint32 n = region->npieces;

	pg_read_barrier();
	for (uint32 i = 0; i < n; i++)
		if (strncmp(region->pieces[i].name, name, SHMEM_INDEX_KEYSIZE - 1) == 0)
			return &region->pieces[i];
	return NULL;
}

static struct piece *add(const char *name, Size size)
{
	struct piece *p = &region->pieces[region->npieces];

	if (region->npieces == PIECES_MAX)
		return NULL;
	p->offset = take(size);
	if (!p->offset)
		return NULL;
	strlcpy(p->name, name, sizeof p->name);
	p->size = size;
	memset((char *)region + p->offset, 0, size);
	pg_write_barrier();
	region->npieces++;
	return p;
}

void *shared_piece(const char *name, Size wanted, Size *size)
{
	struct piece *p = find(name);

	if (!p && wanted) {
		lock_region();
		p = find(name);
		if (!p)
			p = add(name, wanted);
		unlock_region();
		if (!p)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
					errmsg("not enough shared memory for \"%s\" (%zu bytes requested)", name, wanted)));
	}
	if (!p)
		return NULL;
	*size = p->size;
	return (char *)region + p->offset;
}

void *ShmemInitStruct(const char *name, Size size, bool *foundPtr)
{
	struct piece *p;
	Size had = 0;
	bool found;

	lock_region();
	p = find(name);
	found = p != NULL;
	if (found)
		had = p->size;
	else
		p = add(name, size);
	unlock_region();
	if (!p)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("not enough shared memory for data structure \"%s\" (%zu bytes requested)", name, size)));
	if (found && had != size)
		ereport(ERROR, (errmsg("ShmemIndex entry size is wrong for data structure \"%s\": expected %zu, actual %zu", name, size, had)));
	*foundPtr = found;
	return (char *)region + p->offset;
}

void *ShmemAllocNoError(Size size)
{
	Size at;

	lock_region();
	at = take(size);
	unlock_region();
	return at ? (char *)region + at : NULL;
}

void *ShmemAlloc(Size size)
{
	void *p = ShmemAllocNoError(size);

	if (!p)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of shared memory (%zu bytes requested)", size)));
	return p;
}

bool ShmemAddrIsValid(const void *addr)
{
	return region && (const char *)addr >= (const char *)region && (const char *)addr < (const char *)region + region->size;
}

/* BGW rows of section 5: only while the hook runs. */
void RequestAddinShmemSpace(Size size)
{
#if PG_VERSION_NUM >= 150000
	if (!process_shmem_requests_in_progress)
		elog(FATAL, "cannot request additional shared memory outside shmem_request_hook");
#endif
	requested = add_size(requested, size);
}

int shared_next_tranche(int first)
{
	int id;

	lock_region();
	id = first + region->next_tranche++;
	unlock_region();
	return id;
}
