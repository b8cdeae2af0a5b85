/*
 * The seats. A child that shares the launcher's memory has one until it has
 * executed its program or died: the kernel then sets the seat's word to 0
 * (CLONE_CHILD_CLEARTID). Meanwhile the launcher serves the next request at
 * another seat.
 *
 * One seat is always left for the next request. When all others are taken, the
 * launcher waits some milliseconds for one of them, once for each child: a
 * program on a file system that does not answer must not stop all others. When
 * all are taken by such programs, children are made by copying (fork.c), which
 * needs no seat, until one of them is let go.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <time.h>

#include "calls.h"
#include "launcher.h"

enum { SLOW_NS = 2000000 };

static struct seat seats[SEATS];

static int is_free(struct seat *s)
{
	return atomic_load(&s->child) == 0;
}

struct seat *seat_take(void)
{
	struct seat *s = seats;

	while (!is_free(s)) /* ends: one is left */
		s++;
	return s;
}

/* await waits for the child at s, which is slow if that takes long. */
static void await(struct seat *s)
{
	struct timespec limit = { 0, SLOW_NS };

	/* Not FUTEX_PRIVATE_FLAG: the kernel wakes without it (set_tid_address(2)). */
	s->slow = call(SYS_futex, (long)&s->child, FUTEX_WAIT, SEAT_TAKEN, (long)&limit, 0) == -ETIMEDOUT;
}

int seat_left(const struct seat *than)
{
	for (;;) {
		struct seat *oldest = NULL;

		for (struct seat *s = seats; s < seats + SEATS; s++) {
			if (s == than)
				continue;
			if (is_free(s))
				return 1;
			if (!s->slow && (!oldest || s->number < oldest->number))
				oldest = s;
		}
		if (!oldest)
			return 0;
		await(oldest);
	}
}
