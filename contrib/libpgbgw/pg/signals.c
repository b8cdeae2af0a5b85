/*
 * Signals and interrupts of a worker: the handlers that PostgreSQL gives a
 * background worker before its code runs, the masks, and CHECK_FOR_INTERRUPTS.
 */
#include "internal.h"

#include <signal.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"

#include "interrupt.h"

sigset_t UnBlockSig, BlockSig, StartupBlockSig;

volatile sig_atomic_t InterruptPending;
volatile sig_atomic_t QueryCancelPending;
volatile sig_atomic_t ProcDiePending;
volatile sig_atomic_t ClientConnectionLost;
volatile sig_atomic_t ConfigReloadPending;
volatile sig_atomic_t ShutdownRequestPending;
volatile uint32 InterruptHoldoffCount;
volatile uint32 QueryCancelHoldoffCount;
volatile uint32 CritSectionCount;

pqsigfunc pqsignal(int signo, pqsigfunc func)
{
	struct sigaction new = { .sa_handler = func, .sa_flags = SA_RESTART }, old;

	sigemptyset(&new.sa_mask);
	if (signo == SIGTERM)
		interrupt_point(); /* it came while the default handler was in force */
	else if (signo != SIGFPE) /* whose handler does not return */
		sigaddset(&new.sa_mask, SIGTERM); /* a handler may stand in the middle of anything */
	if (signo == SIGCHLD)
		new.sa_flags |= SA_NOCLDSTOP;
	if (sigaction(signo, &new, &old) < 0)
		return SIG_ERR;
	return old.sa_handler;
}

#if PG_VERSION_NUM < 160000
pqsigfunc pqsignal_pm(int signo, pqsigfunc func)
{
	return pqsignal(signo, func);
}
#endif

void pqinitmask(void)
{
	static const int never[] = { SIGTRAP, SIGABRT, SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGCONT };

	sigemptyset(&UnBlockSig);
	sigaddset(&UnBlockSig, SIGURG); /* read from a signalfd by the latch */
	sigfillset(&BlockSig);
	for (size_t i = 0; i < lengthof(never); i++)
		sigdelset(&BlockSig, never[i]);
	sigdelset(&BlockSig, SIGQUIT);
	StartupBlockSig = BlockSig;
	sigdelset(&StartupBlockSig, SIGTERM);
	sigdelset(&StartupBlockSig, SIGALRM);
}

void BackgroundWorkerBlockSignals(void)
{
	interrupt_point();
	sigprocmask(SIG_SETMASK, &BlockSig, NULL);
}

void BackgroundWorkerUnblockSignals(void)
{
	sigprocmask(SIG_SETMASK, &UnBlockSig, NULL);
	interrupt_point(); /* BGW-102: one that waited is obeyed before anything else */
}

static void set_pending(volatile sig_atomic_t *flag)
{
	int saved = errno;

	if (!proc_exit_inprogress) {
		InterruptPending = true;
		*flag = true;
	}
	SetLatch(MyLatch);
	errno = saved;
}

void die(SIGNAL_ARGS)
{
	set_pending(&ProcDiePending);
}

void StatementCancelHandler(SIGNAL_ARGS)
{
	set_pending(&QueryCancelPending);
}

void quickdie(SIGNAL_ARGS)
{
	exit_without_callbacks(2);
}

void SignalHandlerForCrashExit(SIGNAL_ARGS)
{
	exit_without_callbacks(2);
}

void SignalHandlerForConfigReload(SIGNAL_ARGS)
{
	int saved = errno;

	ConfigReloadPending = true;
	SetLatch(MyLatch);
	errno = saved;
}

void SignalHandlerForShutdownRequest(SIGNAL_ARGS)
{
	int saved = errno;

	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	errno = saved;
}

void FloatExceptionHandler(SIGNAL_ARGS)
{
	ereport(ERROR, (errcode(ERRCODE_FLOATING_POINT_EXCEPTION), errmsg("floating-point exception"),
			errdetail("An invalid floating-point operation was signaled. "
				  "This probably means an out-of-range result or an invalid operation, such as division by zero.")));
}

/* SIGUSR1 tells of a worker that this one registered: a reason to look. */
void procsignal_sigusr1_handler(SIGNAL_ARGS)
{
	int saved = errno;

	SetLatch(MyLatch);
	errno = saved;
}

#if PG_VERSION_NUM >= 160000
void ProcessMainLoopInterrupts(void);

void ProcessMainLoopInterrupts(void)
{
	HandleMainLoopInterrupts();
}
#endif

void HandleMainLoopInterrupts(void)
{
	if (ConfigReloadPending) {
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (ShutdownRequestPending)
		proc_exit(0);
}

void ProcessInterrupts(void)
{
	if (InterruptHoldoffCount != 0 || CritSectionCount != 0)
		return;
	InterruptPending = false;
	if (ProcDiePending) {
		ProcDiePending = false;
		QueryCancelPending = false;
		ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN),
				errmsg("terminating background worker \"%s\" due to administrator command", MyBgworkerEntry->bgw_type)));
	}
	if (ClientConnectionLost) { /* the server is this process's client as much as its server */
		ClientConnectionLost = false;
		ereport(FATAL, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("connection to the server was lost")));
	}
	if (QueryCancelPending && QueryCancelHoldoffCount != 0) {
		InterruptPending = true; /* later, when it may */
	} else if (QueryCancelPending) {
		QueryCancelPending = false;
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling statement due to user request")));
	}
}

/*
 * BGW-101 to BGW-105: the dispositions that a worker's main function finds. A daemon's children may
 * inherit ignored signals, so each is set, not assumed.
 */
void signals_start(bool connection)
{
	BackgroundWorkerBlockSignals();
	pqsignal(SIGHUP, SIG_IGN);
	pqsignal(SIGINT, connection ? StatementCancelHandler : SIG_IGN);
	pqsignal(SIGUSR1, connection ? procsignal_sigusr1_handler : SIG_IGN);
	pqsignal(SIGFPE, connection ? FloatExceptionHandler : SIG_DFL);
	interrupt_start(); /* SIGTERM */
	pqsignal(SIGQUIT, SignalHandlerForCrashExit);
	pqsignal(SIGALRM, SIG_DFL);
	pqsignal(SIGPIPE, SIG_IGN);
	pqsignal(SIGUSR2, SIG_IGN);
	pqsignal(SIGCHLD, SIG_DFL);
}
