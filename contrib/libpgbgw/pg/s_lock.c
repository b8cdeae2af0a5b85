/*
 * Spinlocks: PostgreSQL's own byte and its own inline instructions. What is here
 * is the slow path, of who finds one taken.
 */
#include "internal.h"

#include <time.h>

#include "storage/s_lock.h"

enum { SPINS = 100, DELAYS_MAX = 1000, DELAY_MIN_US = 1000, DELAY_MAX_US = 1000000 };

slock_t dummy_spinlock;

static void pause_us(int us)
{
	struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };

	unfinished++;
	nanosleep(&t, NULL);
	unfinished--;
}

/* Spins, then sleeps for longer and longer. A holder that died has crashed the segment, and this process is about to go. */
void perform_spin_delay(SpinDelayStatus *status)
{
	SPIN_DELAY();
	if (++status->spins < SPINS)
		return;
	if (++status->delays > DELAYS_MAX)
		elog(PANIC, "stuck spinlock detected at %s, %s:%d", status->func, status->file, status->line);
	if (status->cur_delay == 0)
		status->cur_delay = DELAY_MIN_US;
	pause_us(status->cur_delay);
	status->cur_delay += status->cur_delay / 2;
	if (status->cur_delay > DELAY_MAX_US)
		status->cur_delay = DELAY_MIN_US;
	status->spins = 0;
}

void finish_spin_delay(SpinDelayStatus *status)
{
}

int s_lock(volatile slock_t *lock, const char *file, int line, const char *func)
{
	SpinDelayStatus status;

	init_spin_delay(&status, file, line, func);
	while (TAS_SPIN(lock))
		perform_spin_delay(&status);
	finish_spin_delay(&status);
	return status.delays;
}
