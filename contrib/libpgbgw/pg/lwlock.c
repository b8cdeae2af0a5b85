/*
 * LWLocks in PostgreSQL's own sixteen bytes. The word `state` holds the exclusive
 * bit, the bit that says that somebody sleeps, and the number of sharers; sleepers
 * wait on it by futex. Who dies while holding one crashes the segment, and
 * every worker of it starts anew with new memory: PostgreSQL's own rule.
 */
#include "internal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared.h"

enum {
	EXCLUSIVE = 1u << 30,
	SLEEPERS = 1u << 29,
	SHARERS = SLEEPERS - 1,
	HELD_MAX = 200,
	REQUESTS_MAX = 64,
	USER_LOCKS = 512, /* for RequestNamedLWLockTranche, all together */
};

static struct {
	LWLock *lock;
	LWLockMode mode;
} held[HELD_MAX] RARE;
static int nheld;

LWLockPadded *MainLWLockArray;
NamedLWLockTranche *NamedLWLockTrancheArray;
int NamedLWLockTrancheRequests;

static struct {
	char name[NAMEDATALEN];
	int count, first;
} requests[REQUESTS_MAX] RARE;

static void futex_wait(pg_atomic_uint32 *word, uint32 value)
{
	syscall(SYS_futex, &word->value, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake_all(pg_atomic_uint32 *word)
{
	syscall(SYS_futex, &word->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void LWLockInitialize(LWLock *lock, int tranche_id)
{
	memset(lock, 0, sizeof *lock);
	pg_atomic_init_u32(&lock->state, 0);
	lock->tranche = (uint16)tranche_id;
}

static bool free_for(uint32 state, LWLockMode mode)
{
	return mode == LW_EXCLUSIVE ? (state & (EXCLUSIVE | SHARERS)) == 0 : (state & EXCLUSIVE) == 0;
}

/* attempt takes the lock, or returns false with the state that it saw. */
static bool attempt(LWLock *lock, LWLockMode mode, uint32 *seen)
{
	*seen = pg_atomic_read_u32(&lock->state);
	while (free_for(*seen, mode))
		if (pg_atomic_compare_exchange_u32(&lock->state, seen, mode == LW_EXCLUSIVE ? *seen | EXCLUSIVE : *seen + 1))
			return true;
	return false;
}

static void sleep_on(LWLock *lock, uint32 seen)
{
	if (!(seen & SLEEPERS)) {
		if (!pg_atomic_compare_exchange_u32(&lock->state, &seen, seen | SLEEPERS))
			return;
		seen |= SLEEPERS;
	}
	futex_wait(&lock->state, seen);
}

static void remember(LWLock *lock, LWLockMode mode)
{
	held[nheld].lock = lock;
	held[nheld++].mode = mode;
}

/* true: at once; false: after a wait. Interrupts are held until the release. */
bool LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	bool at_once = true;
	uint32 seen;

	if (nheld >= HELD_MAX)
		elog(ERROR, "too many LWLocks taken");
	HOLD_INTERRUPTS();
	while (!attempt(lock, mode, &seen)) {
		at_once = false;
		sleep_on(lock, seen);
	}
	remember(lock, mode);
	return at_once;
}

bool LWLockConditionalAcquire(LWLock *lock, LWLockMode mode)
{
	uint32 seen;

	if (nheld >= HELD_MAX)
		elog(ERROR, "too many LWLocks taken");
	HOLD_INTERRUPTS();
	if (attempt(lock, mode, &seen)) {
		remember(lock, mode);
		return true;
	}
	RESUME_INTERRUPTS();
	return false;
}

bool LWLockAcquireOrWait(LWLock *lock, LWLockMode mode)
{
	uint32 seen;

	if (LWLockConditionalAcquire(lock, mode))
		return true;
	seen = pg_atomic_read_u32(&lock->state);
	if (!free_for(seen, mode))
		sleep_on(lock, seen);
	return false;
}

static void let_go(LWLock *lock, LWLockMode mode)
{
	uint32 old = pg_atomic_fetch_sub_u32(&lock->state, mode == LW_EXCLUSIVE ? EXCLUSIVE : 1);
	uint32 left = old - (mode == LW_EXCLUSIVE ? EXCLUSIVE : 1);

	if ((old & SLEEPERS) && (left & (EXCLUSIVE | SHARERS)) == 0) {
		pg_atomic_fetch_and_u32(&lock->state, ~(uint32)SLEEPERS);
		futex_wake_all(&lock->state);
	}
}

void LWLockRelease(LWLock *lock)
{
	int i = nheld;

	while (--i >= 0 && held[i].lock != lock)
		;
	if (i < 0)
		elog(ERROR, "lock %s is not held", GetLWLockIdentifier(0, lock->tranche));
	let_go(lock, held[i].mode);
	nheld--;
	memmove(&held[i], &held[i + 1], (size_t)(nheld - i) * sizeof held[0]);
	RESUME_INTERRUPTS();
}

void LWLockReleaseAll(void)
{
	while (nheld > 0) {
		HOLD_INTERRUPTS(); /* LWLockRelease resumes what the handler of errors has set to zero */
		LWLockRelease(held[nheld - 1].lock);
	}
}

bool LWLockHeldByMeInMode(LWLock *lock, LWLockMode mode)
{
	for (int i = 0; i < nheld; i++)
		if (held[i].lock == lock && held[i].mode == mode)
			return true;
	return false;
}

bool LWLockHeldByMe(LWLock *lock)
{
	return LWLockHeldByMeInMode(lock, LW_EXCLUSIVE) || LWLockHeldByMeInMode(lock, LW_SHARED);
}

/* Names of tranches, by id; each process keeps its own, as in PostgreSQL. */
static struct {
	const char *name;
	int id;
} tranches[256] RARE;
static int ntranches;

void LWLockRegisterTranche(int tranche_id, const char *tranche_name)
{
	if (tranche_id < LWTRANCHE_FIRST_USER_DEFINED || ntranches == lengthof(tranches))
		return;
	tranches[ntranches].id = tranche_id;
	tranches[ntranches++].name = tranche_name;
}

const char *GetLWLockIdentifier(uint32 classId, uint16 eventId)
{
	for (int i = ntranches; --i >= 0;)
		if (tranches[i].id == eventId)
			return tranches[i].name;
	return "extension";
}

int LWLockNewTrancheId(void)
{
	return shared_next_tranche(LWTRANCHE_FIRST_USER_DEFINED);
}

void RequestNamedLWLockTranche(const char *tranche_name, int num_lwlocks)
{
	int n = NamedLWLockTrancheRequests, first = n ? requests[n - 1].first + requests[n - 1].count : 0;

#if PG_VERSION_NUM >= 150000
	if (!process_shmem_requests_in_progress)
		elog(FATAL, "cannot request additional LWLocks outside shmem_request_hook");
#endif
	if (n == REQUESTS_MAX || first + num_lwlocks > USER_LOCKS)
		elog(FATAL, "too many LWLocks are requested: at most %d tranches and %d locks", REQUESTS_MAX, USER_LOCKS);
	strlcpy(requests[n].name, tranche_name, NAMEDATALEN);
	requests[n].count = num_lwlocks;
	requests[n].first = first;
	NamedLWLockTrancheRequests++;
}

LWLockPadded *GetNamedLWLockTranche(const char *tranche_name)
{
	for (int i = 0; i < NamedLWLockTrancheRequests; i++)
		if (strcmp(requests[i].name, tranche_name) == 0)
			return &MainLWLockArray[NUM_FIXED_LWLOCKS + requests[i].first];
	elog(ERROR, "requested tranche is not registered");
}

/*
 * lwlocks_create makes the server's fixed locks, which headers name by position, and the requested ones after them.
 * New memory is a free lock but for its tranche: so one that somebody has taken meanwhile stays taken.
 */
void lwlocks_create(void)
{
	bool found;

	MainLWLockArray = ShmemInitStruct("pg-bgw LWLocks", (NUM_FIXED_LWLOCKS + USER_LOCKS) * sizeof(LWLockPadded), &found);
	NamedLWLockTrancheArray = MemoryContextAllocZero(TopMemoryContext, REQUESTS_MAX * sizeof *NamedLWLockTrancheArray);
	for (int i = 0; i < NUM_FIXED_LWLOCKS; i++)
		MainLWLockArray[i].lock.tranche = (uint16)Min(i, NUM_INDIVIDUAL_LWLOCKS);
	for (int i = 0; i < NamedLWLockTrancheRequests; i++) {
		/* Fixed by position, so that a launcher that was replaced gives the same ids. */
		NamedLWLockTrancheArray[i].trancheId = LWTRANCHE_FIRST_USER_DEFINED + 10000 + i;
		NamedLWLockTrancheArray[i].trancheName = requests[i].name;
		LWLockRegisterTranche(NamedLWLockTrancheArray[i].trancheId, requests[i].name);
		for (int k = 0; k < requests[i].count; k++)
			MainLWLockArray[NUM_FIXED_LWLOCKS + requests[i].first + k].lock.tranche =
				(uint16)NamedLWLockTrancheArray[i].trancheId;
	}
}
