/*
 * Dynamic segments that are found by name (BGW-139), which PostgreSQL has from 17 on.
 */
#include "bgw_spi.h"

#include "pgstat.h"

#include "child.h"

#if PG_VERSION_NUM < 170000

void probe_named(void)
{
}

void add_to_named(void)
{
}

#else

#include "storage/dsm_registry.h"

struct named {
	slock_t lock;
	int inits, sum;
};

enum { CHILDREN = 4 };

#if PG_VERSION_NUM >= 190000
#define FILL void *memory, void *arg
#define MORE , NULL
#else
#define FILL void *memory
#define MORE
#endif

static void init(FILL)
{
	struct named *n = memory;

	SpinLockInit(&n->lock);
	n->inits++;
	n->sum = 0;
}

static void init_fails(FILL)
{
	elog(ERROR, "it cannot be filled");
}

static struct named *get(const char *name, Size size, void (*fill)(FILL), bool *found)
{
	return GetNamedDSMSegment(name, size, fill, found MORE);
}

void add_to_named(void)
{
	bool found;
	struct named *n = get("bgw_spi sum", sizeof *n, init, &found);

	SpinLockAcquire(&n->lock);
	n->sum++;
	SpinLockRelease(&n->lock);
	NOTE(shared->done++);
}

static void without_a_name(void)
{
	bool found;

	(void)get("", 100, init, &found);
}

static void with_a_long_name(void)
{
	bool found;

	(void)get("a name of sixty-four bytes, which is one more than it may have..", 100, init, &found);
}

static void without_a_size(void)
{
	bool found;

	(void)get("bgw_spi none", 0, init, &found);
}

static void with_another_size(void)
{
	bool found;

	(void)get("bgw_spi sum", sizeof(struct named) + 1, init, &found);
}

static void that_fails(void)
{
	bool found;

	(void)get("bgw_spi failure", 100, init_fails, &found);
}

void probe_named(void)
{
	BackgroundWorkerHandle *h[CHILDREN];
	struct named *n;
	bool found, again;

	NOTE(shared->done = 0);
	for (int i = 0; i < CHILDREN; i++)
		h[i] = child("named", 0, BGW_NEVER_RESTART);
	UNTIL(s->done == CHILDREN);
	for (int i = 0; i < CHILDREN; i++)
		saw("the child", "%d", WaitForBackgroundWorkerShutdown(h[i]));
	n = get("bgw_spi sum", sizeof *n, init, &found); /* nobody has it any more, but it is pinned */
	saw("BGW-139", "%d: %d, %d", found, n->inits, n->sum);
	saw("again", "%d %d", get("bgw_spi sum", sizeof *n, init, &again) == n, again);
	n = get("bgw_spi other", 1000, NULL, &found);
	saw("another", "%d %d %d", found, n->inits, n->sum);
	probe_error("no name", without_a_name);
	probe_error("a long name", with_a_long_name);
	probe_error("no size", without_a_size);
	probe_error("another size", with_another_size);
	probe_error("filling", that_fails);
}

#endif
