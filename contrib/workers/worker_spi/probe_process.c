/*
 * What a worker finds on entry (BGW-101, BGW-104, BGW-107), latches, and time.
 */
#include "bgw_spi.h"

#include <signal.h>
#include <unistd.h>

#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

static const char *disposition(int signo)
{
	struct sigaction now;

	sigaction(signo, NULL, &now);
	return now.sa_handler == SIG_DFL ? "default" : now.sa_handler == SIG_IGN ? "ignored" : "handled";
}

static void probe_signals(void)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = { { "HUP", SIGHUP }, { "INT", SIGINT }, { "QUIT", SIGQUIT }, { "TERM", SIGTERM }, { "USR1", SIGUSR1 },
			{ "USR2", SIGUSR2 }, { "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "CHLD", SIGCHLD }, { "FPE", SIGFPE } };
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int i = 0; i < (int)lengthof(signals); i++)
		if (signals[i].number != SIGALRM && signals[i].number != SIGFPE)
			saw(signals[i].name, "%s, %s", sigismember(&blocked, signals[i].number) ? "blocked" : "open",
			    disposition(signals[i].number));
		else
			saw(signals[i].name, "%s", sigismember(&blocked, signals[i].number) ? "blocked" : "open");
}

static void probe_latch(void)
{
	int got;

	ResetLatch(MyLatch);
	got = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1, PG_WAIT_EXTENSION);
	saw("latch timeout", "%d", got == WL_TIMEOUT);
	SetLatch(MyLatch);
	got = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 60000, PG_WAIT_EXTENSION);
	saw("latch set", "%d", got == WL_LATCH_SET);
	got = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 0, PG_WAIT_EXTENSION);
	saw("latch still set", "%d", got == WL_LATCH_SET);
	ResetLatch(MyLatch);
	SetLatch(&MyProc->procLatch);
	got = WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
	saw("latch of the process", "%d", got == WL_LATCH_SET);
	ResetLatch(MyLatch);
}

static void probe_socket(void)
{
	int ends[2], got;
	char byte = 'x';

	if (pipe(ends) < 0)
		elog(FATAL, "pipe: %m");
	got = WaitLatchOrSocket(MyLatch, WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ends[0], 1, PG_WAIT_EXTENSION);
	saw("empty pipe", "%d", got == WL_TIMEOUT);
	if (write(ends[1], &byte, 1) != 1)
		elog(FATAL, "write: %m");
	got = WaitLatchOrSocket(MyLatch, WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH, ends[0], -1, PG_WAIT_EXTENSION);
	saw("full pipe", "%d", got == WL_SOCKET_READABLE);
	got = WaitLatchOrSocket(MyLatch, WL_SOCKET_WRITEABLE | WL_EXIT_ON_PM_DEATH, ends[1], -1, PG_WAIT_EXTENSION);
	saw("writable pipe", "%d", got == WL_SOCKET_WRITEABLE);
	close(ends[0]);
	close(ends[1]);
}

void probe_neighbours(void)
{
	saw("known process", "%d", BackendPidGetProc(MyProcPid) == MyProc);
	saw("unknown process", "%d", BackendPidGetProc(1) == NULL);
}

void probe_process(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long s;
	int us;

	saw("entry", "%s|%s|%s|%s|%d|%d|%d", MyBgworkerEntry->bgw_name, MyBgworkerEntry->bgw_type, MyBgworkerEntry->bgw_library_name,
	    MyBgworkerEntry->bgw_function_name, MyBgworkerEntry->bgw_flags, MyBgworkerEntry->bgw_start_time, MyBgworkerEntry->bgw_restart_time);
	saw("extra", "%s", MyBgworkerEntry->bgw_extra);
	saw("ids", "%d %d %d", MyProcPid == getpid(), getsid(0) == getpid(), getpgrp() == getpid());
	saw("own process", "%d", MyProc->pid == MyProcPid);
	probe_signals();
	probe_latch();
	probe_socket();
	TimestampDifference(now, now + 1500000, &s, &us);
	saw("time", "%ld %d %d %d", s, us, TimestampDifferenceExceeds(now, now + 1000, 1), now > 0 && MyStartTimestamp <= now);
}
