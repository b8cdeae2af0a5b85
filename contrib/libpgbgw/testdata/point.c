/* Ends the process with SIGKILL at the step of a protocol that PGBGW_TEST_KILL counts to. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

void pgi_test_point(void);

void pgi_test_point(void)
{
	static _Atomic long left = -1; /* -1: not asked yet */
	long none = -1;

	if (atomic_load(&left) == -1) {
		const char *s = getenv("PGBGW_TEST_KILL");

		atomic_compare_exchange_strong(&left, &none, s ? atol(s) : 0);
	}
	if (atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1)
		kill(getpid(), SIGKILL);
}
