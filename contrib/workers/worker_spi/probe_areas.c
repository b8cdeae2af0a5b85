/*
 * Areas of shared memory that grow (dsa), and hash tables in them that workers
 * share (dshash).
 */
#include "bgw_spi.h"

#include "access/xact.h"
#include "lib/dshash.h"
#include "pgstat.h"
#include "utils/dsa.h"
#include "utils/memutils.h"

#include "child.h"

enum { PIECES = 2000, KEYS = 3000, CHILDREN = 4 };

static dsa_area *area;
static dsa_handle handle;

/* A piece's size, and the byte that it is full of, by its number. */
static Size size_of(int i)
{
	static const Size sizes[] = { 1, 7, 8, 24, 100, 128, 129, 500, 1024, 1025, 3000, 8192, 8193, 40000 };

	return sizes[i % lengthof(sizes)];
}

static bool is_full_of(const unsigned char *at, Size n, int byte)
{
	for (Size i = 0; i < n; i++)
		if (at[i] != (unsigned char)byte)
			return false;
	return true;
}

static void fill(dsa_pointer *pieces, int i)
{
	pieces[i] = dsa_allocate(area, size_of(i));
	memset(dsa_get_address(area, pieces[i]), i, size_of(i));
}

static int damaged(const dsa_pointer *pieces)
{
	int n = 0;

	for (int i = 0; i < PIECES; i++)
		n += !is_full_of(dsa_get_address(area, pieces[i]), size_of(i), i);
	return n;
}

/* Each piece keeps what is in it, whatever becomes of the others. */
static void probe_pieces(void)
{
	dsa_pointer *pieces = palloc(PIECES * sizeof *pieces), large;
	int unaligned = 0;

	for (int i = 0; i < PIECES; i++) {
		fill(pieces, i);
		unaligned += (uintptr_t)dsa_get_address(area, pieces[i]) % MAXIMUM_ALIGNOF != 0;
	}
	saw("pieces", "%d damaged, %d unaligned", damaged(pieces), unaligned);
	for (int round = 2; round < 9; round++) {
		for (int i = 0; i < PIECES; i++)
			if (i % round == 0)
				dsa_free(area, pieces[i]);
		for (int i = PIECES; --i >= 0;)
			if (i % round == 0)
				fill(pieces, i);
		dsa_trim(area);
	}
	saw("pieces, again", "%d damaged", damaged(pieces));
	large = dsa_allocate0(area, 5000000);
	saw("a large one", "%d, %d damaged", is_full_of(dsa_get_address(area, large), 5000000, 0), damaged(pieces));
	dsa_free(area, large);
	for (int i = 0; i < PIECES; i++)
		dsa_free(area, pieces[i]);
	dsa_trim(area);
	saw("nothing", "%d", dsa_get_address(area, InvalidDsaPointer) == NULL);
	pfree(pieces);
}

static void allocate_too_much(void)
{
	(void)dsa_allocate(area, 50000000);
}

static void allocate_what_cannot_be(void)
{
	(void)dsa_allocate(area, MaxAllocSize + 1);
}

static void pin(void)
{
	dsa_pin(area);
}

static void unpin(void)
{
	dsa_unpin(area);
}

static void attach(void)
{
	area = dsa_attach(handle);
}

static void probe_limits(void)
{
	dsa_set_size_limit(area, 8 * 1024 * 1024);
	saw("beyond the limit", "%d", DsaPointerIsValid(dsa_allocate_extended(area, 50000000, DSA_ALLOC_NO_OOM)));
	probe_error("beyond the limit", allocate_too_much);
	probe_error("beyond any", allocate_what_cannot_be);
	dsa_set_size_limit(area, (size_t)-1);
	saw("no limit", "%d", DsaPointerIsValid(dsa_allocate_extended(area, 50000000, DSA_ALLOC_NO_OOM)));
}

/* An area is there as long as somebody has it, or it is pinned. */
static void probe_life(int tranche)
{
	dsa_pointer p = dsa_allocate(area, 100);

	memset(dsa_get_address(area, p), 'x', 100);
	dsa_pin(area);
	probe_error("pinned twice", pin);
	dsa_detach(area);
	attach();
	saw("pinned", "%d", is_full_of(dsa_get_address(area, p), 100, 'x'));
	dsa_unpin(area);
	probe_error("unpinned twice", unpin);
	dsa_detach(area);
	probe_error("gone", attach);
	StartTransactionCommand();
	area = dsa_create(tranche);
	handle = dsa_get_handle(area);
	AbortCurrentTransaction();
	probe_error("gone with its transaction", attach);
	StartTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	area = dsa_create(tranche);
	handle = dsa_get_handle(area);
	dsa_pin_mapping(area);
	p = dsa_allocate(area, 3000000);
	AbortCurrentTransaction();
	saw("kept beyond it", "%d", dsa_get_address(area, p) != NULL);
	dsa_detach(area);
}

void free_piece(Datum arg)
{
	dsa_area *a = dsa_attach(DatumGetUInt32(arg));

	dsa_free(a, (dsa_pointer)shared->table);
	dsa_detach(a);
}

/* shared_mappings counts what this process has of memory that it shares. */
static int shared_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	int n = 0;

	while (maps && fgets(line, sizeof line, maps))
		n += strstr(line, " rw-s ") != NULL;
	if (maps)
		fclose(maps);
	return n;
}

/* What others free is not kept here, nor is it needed here to be given back. */
static void probe_given_back(int tranche)
{
	int before = 0;
	dsa_pointer p;

	area = dsa_create(tranche);
	handle = dsa_get_handle(area);
	for (int i = 0; i < 5; i++) {
		p = dsa_allocate(area, 6000000);
		memset(dsa_get_address(area, p), i, 6000000);
		if (i == 1)
			before = shared_mappings();
		NOTE(shared->table = p);
		(void)WaitForBackgroundWorkerShutdown(child("free", UInt32GetDatum(handle), BGW_NEVER_RESTART));
	}
	p = dsa_allocate(area, 6000000);
	saw("mappings", "%d more", shared_mappings() - before);
	dsa_free(area, p);
	dsa_free(area, dsa_allocate(area, 2000000));
	dsa_pin(area);
	dsa_detach(area);
	attach();
	dsa_trim(area);
	saw("trimmed", "%d", DsaPointerIsValid(dsa_allocate(area, 2000000)));
	dsa_unpin(area);
	dsa_detach(area);
}

static void probe_place(int tranche)
{
	Size size = dsa_minimum_size() + 100000;
	dsm_segment *seg = dsm_create(size, 0);
	dsa_pointer p, q;

	area = dsa_create_in_place(dsm_segment_address(seg), size, tranche, seg);
	p = dsa_allocate0(area, 1000);
	q = dsa_allocate0(area, 1000000);
	saw("in place", "%d %d", is_full_of(dsa_get_address(area, p), 1000, 0), is_full_of(dsa_get_address(area, q), 1000000, 0));
	dsa_detach(area);
	area = dsa_attach_in_place(dsm_segment_address(seg), NULL);
	saw("in place, again", "%d", is_full_of(dsa_get_address(area, q), 1000000, 0));
	dsa_release_in_place(dsm_segment_address(seg));
	dsa_detach(area);
	dsm_detach(seg);
}

struct entry {
	int key;
	int times;
	char text[20];
};

static const dshash_parameters parameters = {
	.key_size = sizeof(int), .entry_size = sizeof(struct entry), .compare_function = dshash_memcmp, .hash_function = dshash_memhash,
#if PG_VERSION_NUM >= 170000
	.copy_function = dshash_memcpy,
#endif
};

/* count has each key once more. */
static void count(dshash_table *t)
{
	for (int key = 0; key < KEYS; key++) {
		bool found;
		struct entry *e = dshash_find_or_insert(t, &key, &found);

		e->times = found ? e->times + 1 : 1;
		snprintf(e->text, sizeof e->text, "key %d", key);
		dshash_release_lock(t, e);
	}
}

/* A child: what it finds is what others have left, at another address. */
void count_in_table(Datum arg)
{
	dsa_area *a = dsa_attach(DatumGetUInt32(arg));
	dshash_table *t = dshash_attach(a, &parameters, (dshash_table_handle)shared->table, NULL);

	NOTE(shared->starts++);
	UNTIL(s->starts == CHILDREN);
	count(t);
	dshash_detach(t);
	dsa_detach(a);
	NOTE(shared->done++);
}

#if PG_VERSION_NUM >= 150000
/* go_through notes what is in the table, and deletes what is odd. */
static void go_through(dshash_table *t, bool delete)
{
	dshash_seq_status s;
	struct entry *e;
	int n = 0, times = 0, wrong = 0;
	int64 keys = 0;

	dshash_seq_init(&s, t, delete);
	while ((e = dshash_seq_next(&s))) {
		n++;
		times += e->times;
		keys += e->key;
		wrong += strcmp(e->text, psprintf("key %d", e->key)) != 0;
		if (delete && e->key % 2)
			dshash_delete_current(&s);
	}
	dshash_seq_term(&s);
	saw("entries", "%d, %d times, keys " INT64_FORMAT ", %d wrong", n, times, keys, wrong);
}
#else
static void go_through(dshash_table *t, bool delete)
{
}
#endif

static void probe_table(int tranche)
{
	dshash_parameters p = parameters;
	BackgroundWorkerHandle *h[CHILDREN];
	dshash_table *t;
	int key = 10;
	struct entry *e;

	p.tranche_id = tranche;
	t = dshash_create(area, &p, NULL);
	NOTE(shared->table = dshash_get_hash_table_handle(t); shared->starts = shared->done = 0);
	saw("none", "%d %d", dshash_find(t, &key, false) == NULL, dshash_delete_key(t, &key));
	for (int i = 0; i < CHILDREN; i++)
		h[i] = child("table", UInt32GetDatum(handle), BGW_NEVER_RESTART);
	UNTIL(s->starts == CHILDREN);
	count(t);
	UNTIL(s->done == CHILDREN);
	for (int i = 0; i < CHILDREN; i++)
		saw("the child", "%d", WaitForBackgroundWorkerShutdown(h[i]));
	go_through(t, true);
	go_through(t, false);
	e = dshash_find(t, &key, true);
	saw("found", "%d %d %s", e->key, e->times, e->text);
	dshash_delete_entry(t, e);
	key = 12;
	saw("deleted", "%d", dshash_delete_key(t, &key));
	saw("deleted again", "%d", dshash_delete_key(t, &key));
	count(t);
	go_through(t, false);
	dshash_destroy(t);
}

static dshash_table *full;
static int filled;

static void fill_table(void)
{
	for (;;) {
		bool found;
		struct entry *e = dshash_find_or_insert(full, &filled, &found);

		e->times = ~filled;
		dshash_release_lock(full, e);
		filled++;
	}
}

static int wrong_entries(int step)
{
	int wrong = 0;

	for (int key = 0; key < filled; key += step) {
		struct entry *e = dshash_find(full, &key, false);

		wrong += !e || e->times != ~key;
		if (e)
			dshash_release_lock(full, e);
	}
	return wrong;
}

/* Where no memory is left nothing is lost, and what is given back is of use. */
static void probe_exhausted(int tranche)
{
	dshash_parameters p = parameters;
	int before;

	p.tranche_id = tranche;
	area = dsa_create(tranche);
	dsa_set_size_limit(area, 3 * 1024 * 1024);
	full = dshash_create(area, &p, NULL);
	probe_error("a table without room", fill_table);
	probe_error("and again", fill_table);
	saw("its entries", "%d %d", filled > 10000, wrong_entries(1));
	for (int key = 1; key < filled; key += 2)
		(void)dshash_delete_key(full, &key);
	saw("half of them", "%d", wrong_entries(2));
	before = filled;
	probe_error("room again", fill_table);
	saw("more", "%d", filled - before > before / 3);
	for (int key = 0; key < filled; key++)
		(void)dshash_delete_key(full, &key);
	dshash_destroy(full);
	saw("all given back", "%d", DsaPointerIsValid(dsa_allocate_extended(area, 500000, DSA_ALLOC_NO_OOM)));
	dsa_detach(area);
}

void probe_areas(void)
{
	int tranche = LWLockNewTrancheId();

	LWLockRegisterTranche(tranche, "bgw_spi area");
	area = dsa_create(tranche);
	handle = dsa_get_handle(area);
	probe_pieces();
	probe_table(tranche);
	probe_limits();
	probe_life(tranche);
	probe_given_back(tranche);
	probe_exhausted(tranche);
	probe_place(tranche);
}
