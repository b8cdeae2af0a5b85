/*
 * The table of all workers. The supervisor writes an entry between two stores of
 * its version, odd while it does; a reader that saw two different ones starts
 * over, and after many tries takes the supervisor for dead.
 */
#include <sched.h>

#include "internal.h"

#define ENTRY_WORDS ((288 + 64) / 8) /* that layout 1.0 uses */
#define HEAD_WORDS 5                 /* version to flags */
#define YIELDS 1000
#define NAPS 500

uint32_t pgi_slots_used(const struct pgi_slots *s)
{
	uint32_t used = atomic_load(pgi_word32(s->base, PGBGW_STATE_OFFSET));

	return used < s->count ? used : s->count;
}

/* Copies the first words of an entry; false if it was being written. */
static bool try_copy(const struct pgi_slots *s, uint32_t slot, struct pgbgw_slot_entry *e, size_t count)
{
	uint64_t at = PGBGW_HEADER_ROOM + (uint64_t)slot * sizeof *e, words[ENTRY_WORDS];
	word64 *version = pgi_word64(s->base, at);

	words[0] = atomic_load(version);
	if (words[0] & 1)
		return false;
	for (size_t i = 1; i < count; i++)
		words[i] = atomic_load(pgi_word64(s->base, at + i * 8));
	if (atomic_load(version) != words[0])
		return false;
	memcpy(e, words, count * 8);
	return true;
}

static bool copy(const struct pgi_slots *s, uint32_t slot, struct pgbgw_slot_entry *e)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (int try = 0; try < YIELDS + NAPS; try++) {
		if (try_copy(s, slot, e, ENTRY_WORDS))
			return true;
		if (try < YIELDS)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
	return false;
}

static bool has_process(uint32_t state) { return state == PGBGW_STARTING || state == PGBGW_RUNNING || state == PGBGW_STOPPING; }

/* Whether a comes after b, both numbers of 24 bits. */
static bool newer(uint64_t a, uint64_t b) { return ((uint32_t)(a - b) & 0xffffff) - 1 < 0x7fffff; }

#define SERIAL UINT64_C(0xffffff)

bool pgi_dead(const struct pgi_slots *s, uint64_t party)
{
	struct pgbgw_slot_entry e;
	uint32_t slot = pgi_party_slot(party);
	uint64_t generation = party >> 16 & SERIAL, start = party >> 40;

	if (slot >= pgi_slots_used(s) || !try_copy(s, slot, &e, HEAD_WORDS))
		return false;
	if ((e.generation & SERIAL) != generation)
		return newer(e.generation & SERIAL, generation);
	if (start != 0 && (e.start & SERIAL) != start)
		return newer(e.start & SERIAL, start);
	return !has_process(e.state);
}

bool pgi_stopped(const struct pgi_slots *s, pgbgw_handle h)
{
	struct pgbgw_slot_entry e;

	if (h.slot >= pgi_slots_used(s) || !try_copy(s, h.slot, &e, HEAD_WORDS))
		return false;
	if (e.generation != h.generation)
		return e.generation > h.generation;
	return e.status == PGBGW_STOPPED && !has_process(e.state);
}

/* Maps the table when it is first asked for. */
static int table(pgbgw_worker *w)
{
	int r = pgi_usable(w);

	if (r < 0 || atomic_load(&w->slots_mapped))
		return r;
	if (w->env.fds[PGI_SLOTS] < 0)
		return pgi_fail(ENODEV, "cannot read the slot table: PGBGW_FDS names no slots");
	pthread_mutex_lock(&w->mu);
	if (!atomic_load(&w->slots_mapped) && (r = pgi_map_slots(w->env.fds[PGI_SLOTS], &w->slots)) == 0)
		atomic_store(&w->slots_mapped, true);
	pthread_mutex_unlock(&w->mu);
	return r;
}

int pgi_party_ready(pgbgw_worker *w)
{
	int r = pgi_inside(w);

	return r < 0 ? r : table(w);
}

int pgbgw_slots_max(pgbgw_worker *w)
{
	int r = table(w);
	uint32_t n;

	if (r < 0)
		return r;
	n = atomic_load(pgi_word32(w->slots.base, PGBGW_STATE_OFFSET + 4));
	return (int)(n < w->slots.count ? n : w->slots.count);
}

int pgbgw_slots_used(pgbgw_worker *w)
{
	int r = table(w);

	return r < 0 ? r : (int)pgi_slots_used(&w->slots);
}

static void text(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = 0;
}

int pgbgw_slot_get(pgbgw_worker *w, uint32_t slot, pgbgw_slot *to)
{
	struct pgbgw_slot_entry e;
	int r = table(w);

	if (r < 0)
		return r;
	memset(to, 0, sizeof *to);
	if (slot >= w->slots.count)
		return pgi_fail(ENOENT, "slot %u does not exist, the table has %u", slot, w->slots.count);
	if (slot >= pgi_slots_used(&w->slots))
		return 0; /* reading a hole would allocate it */
	if (!copy(&w->slots, slot, &e))
		return pgi_fail(EUCLEAN, "slot %u was left half written", slot);
	to->generation = e.generation;
	to->start = e.start;
	to->pid = e.pid;
	to->state = e.state;
	to->status = e.status;
	to->flags = e.flags;
	to->exit_code = e.exit_code;
	to->exit_signal = e.exit_signal;
	to->registered = e.registered;
	to->changed = e.changed;
	to->next_start = e.next_start;
	to->restarts = e.restarts;
	text(to->name, e.name, sizeof to->name);
	text(to->type, e.kind, sizeof to->type);
	text(to->segment, e.segment, sizeof to->segment);
	return 0;
}
