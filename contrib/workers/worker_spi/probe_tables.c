/*
 * Hash tables: of this process, and one that all workers of the module share.
 */
#include "bgw_spi.h"

#include "pgstat.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "child.h"

struct entry {
	char key[16];
	int value;
};

struct numbered {
	uint32 key;
	int64 square;
};

static HTAB *shared_table, *partitioned;
enum { SHARED_ENTRIES = 20, PARTITIONS = 128, ROUNDS = 1000000 };

struct pair {
	struct {
		int32 a, b;
	} key;
	int value;
};

static void probe_texts(void)
{
	HASHCTL info = { .keysize = 16, .entrysize = sizeof(struct entry) };
	HTAB *t = hash_create("texts", 4, &info, HASH_ELEM | HASH_STRINGS);
	struct entry *e;
	bool found;

	e = hash_search(t, "one", HASH_ENTER, &found);
	saw("new", "%d %s", found, e->key);
	e->value = 1;
	e = hash_search(t, "one", HASH_ENTER, &found);
	saw("known", "%d %d", found, e->value);
	saw("absent", "%d", hash_search(t, "two", HASH_FIND, NULL) != NULL);
	e = hash_search(t, "a text that is longer than its room", HASH_ENTER, &found);
	saw("cut", "%s", e->key);
	saw("one that begins so", "%d", hash_search(t, "a text that is here as well", HASH_FIND, NULL) == e);
	e = hash_search(t, "one", HASH_FIND, NULL);
	saw("renamed", "%d", hash_update_hash_key(t, e, "eins"));
	saw("under its new name", "%d %d", hash_search(t, "eins", HASH_FIND, NULL) == e, hash_search(t, "one", HASH_FIND, NULL) != NULL);
	hash_search(t, "zwei", HASH_ENTER, NULL);
	saw("renamed to one that is", "%d", hash_update_hash_key(t, e, "zwei"));
	saw("removed", "%d", hash_search(t, "zwei", HASH_REMOVE, &found) != NULL && found);
	saw("removed again", "%d", hash_search(t, "zwei", HASH_REMOVE, &found) != NULL || found);
	saw("entries", "%ld", hash_get_num_entries(t));
	hash_destroy(t);
}

/* Many, some of which go while all are looked at. */
static void probe_numbers(void)
{
	HASHCTL info = { .keysize = sizeof(uint32), .entrysize = sizeof(struct numbered), .hcxt = CurrentMemoryContext };
	HTAB *t = hash_create("numbers", 16, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	HASH_SEQ_STATUS scan;
	struct numbered *n;
	int seen = 0;
	int64 sum = 0;

	for (uint32 i = 0; i < 20000; i++) {
		n = hash_search(t, &i, HASH_ENTER, NULL);
		n->square = (int64)i * i;
	}
	hash_seq_init(&scan, t);
	while ((n = hash_seq_search(&scan)) != NULL) {
		seen++;
		if (n->key % 3 == 0)
			hash_search(t, &n->key, HASH_REMOVE, NULL);
	}
	saw("all were seen", "%d", seen);
	hash_seq_init(&scan, t);
	while ((n = hash_seq_search(&scan)) != NULL)
		sum += n->square;
	saw("sum of those left", INT64_FORMAT " %ld", sum, hash_get_num_entries(t));
	hash_seq_init(&scan, t);
	hash_seq_search(&scan);
	hash_seq_term(&scan);
	hash_destroy(t);
}

static void probe_pairs(void)
{
	HASHCTL info = { .keysize = 8, .entrysize = sizeof(struct pair) };
	HTAB *t = hash_create("pairs", 10, &info, HASH_ELEM | HASH_BLOBS);
	struct pair key = { .key = { 1, 2 } }, other = { .key = { 2, 1 } };

	((struct pair *)hash_search(t, &key, HASH_ENTER, NULL))->value = 12;
	saw("pair", "%d %d", ((struct pair *)hash_search(t, &key, HASH_FIND, NULL))->value, hash_search(t, &other, HASH_FIND, NULL) != NULL);
	saw("hash", "%u", get_hash_value(t, &key));
	hash_destroy(t);
}

static HTAB *frozen;

static void enter_frozen(void)
{
	hash_search(frozen, "more", HASH_ENTER, NULL);
}

static void probe_frozen(void)
{
	HASHCTL info = { .keysize = 16, .entrysize = sizeof(struct entry) };

	frozen = hash_create("frozen", 4, &info, HASH_ELEM | HASH_STRINGS);
	hash_search(frozen, "one", HASH_ENTER, NULL);
	hash_freeze(frozen);
	probe_error("frozen", enter_frozen);
	hash_destroy(frozen);
}

/* A table of a fixed number of entries; the child of the probe has found and changed one. */
void probe_shared_table(void)
{
	struct numbered *n;
	bool found;
	int entered = 0;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	n = hash_search(shared_table, &(uint32){ 7 }, HASH_ENTER, &found);
	saw("of the child", "%d " INT64_FORMAT, found, found ? n->square : 0);
	for (uint32 i = 100; i < 100 + SHARED_ENTRIES; i++)
		entered += hash_search(shared_table, &i, HASH_ENTER_NULL, NULL) != NULL;
	saw("room for", "%d", entered);
	for (uint32 i = 100; i < 100 + SHARED_ENTRIES; i++)
		hash_search(shared_table, &i, HASH_REMOVE, NULL);
	saw("left", "%ld", hash_get_num_entries(shared_table));
	LWLockRelease(AddinShmemInitLock);
}

/* shared_table_note is the child's part. */
void shared_table_note(void)
{
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	((struct numbered *)hash_search(shared_table, &(uint32){ 7 }, HASH_ENTER, NULL))->square = 49;
	LWLockRelease(AddinShmemInitLock);
}

/*
 * partition_rounds enters a key of a partition, finds it and removes it, and returns how
 * often that went wrong. Who is the only one in a partition needs no lock.
 */
int partition_rounds(uint32 partition)
{
	uint32 key = 0, hash;
	int wrong = 0;

	while ((hash = get_hash_value(partitioned, &key)) % PARTITIONS != partition)
		key++;
	for (int i = 0; i < ROUNDS; i++) {
		struct numbered *n;
		bool found;

		n = hash_search_with_hash_value(partitioned, &key, hash, HASH_ENTER, &found);
		wrong += found;
		n->square = i;
		n = hash_search_with_hash_value(partitioned, &key, hash, HASH_FIND, NULL);
		wrong += !n || n->square != i;
		wrong += !hash_search_with_hash_value(partitioned, &key, hash, HASH_REMOVE, NULL);
	}
	return wrong;
}

/* The child has another partition, at the same time. */
void probe_partitions(void)
{
	BackgroundWorkerHandle *h;

	BarrierInit(&shared->barrier, 2);
	shared->places = 0;
	h = child("partition", Int32GetDatum(PARTITIONS / 2), BGW_NEVER_RESTART);
	BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	saw("one partition", "%d", partition_rounds(0));
	saw("the child", "%d", WaitForBackgroundWorkerShutdown(h));
	saw("another", "%d", shared->places);
}

/* The hook's part. */
void shared_table_create(void)
{
	HASHCTL info = { .keysize = sizeof(uint32), .entrysize = sizeof(struct numbered), .num_partitions = PARTITIONS };

	shared_table = ShmemInitHash("bgw_spi table", SHARED_ENTRIES, SHARED_ENTRIES, &info, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	partitioned = ShmemInitHash("bgw_spi partitions", SHARED_ENTRIES, SHARED_ENTRIES, &info, HASH_ELEM | HASH_BLOBS | HASH_PARTITION);
}

Size shared_table_size(void)
{
	return mul_size(2, hash_estimate_size(SHARED_ENTRIES, sizeof(struct numbered)));
}

void probe_tables(void)
{
	probe_texts();
	probe_numbers();
	probe_pairs();
	probe_frozen();
}
