/*
 * SIGTERM for a worker that set no handler of its own: FATAL 57P01, code 1.
 *
 * Up to release 18 PostgreSQL raises that in the signal handler, wherever the
 * process is, so a worker ends that never asks for interrupts; in the middle of
 * malloc, of libpq or of a lock in shared memory it may also hang or spoil memory.
 * Here the handler looks where it was called. In a module's own code, and in a
 * system call that waits, nothing is half done that the end of the process needs,
 * and it ends there. Anywhere else the request is kept: this library acts on it
 * where it is safe, and a timer repeats the signal until it has found the process
 * in such a place. A critical section is left alone meanwhile. HOLD_INTERRUPTS and
 * LWLocks are not, as in PostgreSQL's handler: proc_exit releases the locks, and a
 * worker that sleeps with one ends.
 */
#include "internal.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"

#include "interrupt.h"

enum { MODULES_MAX = 64, AGAIN_MS = 1 };

/* Executable memory of the modules; written before a signal handler can look there. */
static struct {
	uintptr_t start, end;
} code[MODULES_MAX];
static volatile sig_atomic_t ncode;

volatile uint32 unfinished;

static volatile sig_atomic_t asked; /* SIGTERM came and has not been obeyed */

static int add_code(struct dl_phdr_info *info, size_t size, void *base)
{
	if (info->dlpi_addr != *(ElfW(Addr) *)base)
		return 0;
	for (int i = 0; i < info->dlpi_phnum && ncode < MODULES_MAX; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		code[ncode].start = info->dlpi_addr + p->p_vaddr;
		code[ncode].end = code[ncode].start + p->p_memsz;
		ncode++;
	}
	return 1;
}

void interrupt_module(void *handle)
{
	struct link_map *map;

	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0)
		dl_iterate_phdr(add_code, &map->l_addr);
}

static bool in_module(uintptr_t at)
{
	for (int i = 0; i < ncode; i++)
		if (at >= code[i].start && at < code[i].end)
			return true;
	return false;
}

/*
 * The place where the handler was called, from the processor's registers. A call
 * that waited has ended with EINTR, and the process stands behind its instruction:
 * the handler is one without SA_RESTART, so no call begins again.
 */
struct place {
	uintptr_t at;
	bool waiting; /* in a system call that the signal interrupted */
};

#if defined __x86_64__
static bool is_syscall(uintptr_t at)
{
	const unsigned char *p = (const unsigned char *)at;

	return p[0] == 0x0f && p[1] == 0x05;
}

static struct place where(const ucontext_t *u)
{
	uintptr_t at = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
	long rax = u->uc_mcontext.gregs[REG_RAX];

	return (struct place){ at, rax == -EINTR && is_syscall(at - 2) };
}
#elif defined __aarch64__
static bool is_syscall(uintptr_t at)
{
	return *(const uint32 *)at == 0xd4000001; /* svc #0 */
}

static struct place where(const ucontext_t *u)
{
	uintptr_t at = (uintptr_t)u->uc_mcontext.pc;

	return (struct place){ at, (long)u->uc_mcontext.regs[0] == -EINTR && is_syscall(at - 4) };
}
#else
#error "where a signal finds a process is written for amd64 and arm64"
#endif

/*
 * again has SIGTERM sent every AGAIN_MS from now on. Calls that a signal handler
 * may make; without a timer the library's own places remain.
 */
static void again(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM };
	struct itimerspec every = { { 0, AGAIN_MS * 1000000L }, { 0, AGAIN_MS * 1000000L } };
	static int timer = -1; /* the kernel's number */

	if (timer < 0 && syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0)
		syscall(SYS_timer_settime, timer, 0, &every, NULL);
}

static bool may_end(void)
{
	return unfinished == 0 && CritSectionCount == 0 && !proc_exit_inprogress;
}

static void end(void)
{
	sigprocmask(SIG_SETMASK, &BlockSig, NULL);
	asked = false;
	ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN),
			errmsg("terminating background worker \"%s\" due to administrator command", MyBgworkerEntry->bgw_type)));
}

/* elsewhere deals with a signal that is not this process's main thread's to take. */
static bool elsewhere(int signo)
{
	pid_t pid = getpid();

	if (pid != MyProcPid) { /* a child that a module forked: it ends as any process */
		signal(signo, SIG_DFL);
		raise(signo);
	} else if (gettid() != pid) {
		tgkill(pid, pid, signo);
	} else {
		return false;
	}
	return true;
}

/* obey ends the process if it stands where that may be, or has it done later. */
static void obey(const ucontext_t *context)
{
	struct place place = where(context);

	if (may_end() && (place.waiting || in_module(place.at)))
		end();
	asked = ProcDiePending = InterruptPending = true;
	SetLatch(MyLatch);
	again();
}

static void handle(int signo, siginfo_t *info, void *context)
{
	int saved = errno;

	if (!proc_exit_inprogress && !elsewhere(signo)) /* else it ends as it is; exit() within exit() may wait for itself */
		obey(context);
	errno = saved;
}

void interrupt_start(void)
{
	struct sigaction new = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO };

	sigemptyset(&new.sa_mask);
	sigaction(SIGTERM, &new, NULL);
}

void interrupt_point(void)
{
	if (asked && may_end())
		end();
}
