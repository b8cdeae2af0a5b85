/*
 * The worker that every supervisor starts: it takes the time, writes it into
 * the ledger and waits. SIGTERM ends it with status 0, SIGUSR2 with status 1,
 * both without a handler: they are blocked and waited for.
 *
 *   worker LEDGER:INDEX[:READYFD]
 *
 * One argument only, so that the same program is the script of runit and s6
 * by a "#!" line. READYFD gets a newline once the worker is up (s6).
 *
 * Compiled twice: with -DNO_LIBC, nothing but system calls, so that what is
 * measured is the supervisor; without, as an ordinary dynamic glibc program,
 * which pays its own start in every measurement.
 */
#define _GNU_SOURCE
#include "ledger.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#ifdef NO_LIBC

static long
call6(long n, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "worker.c knows the system calls of amd64 and arm64 only"
#endif
}

#else

#include <unistd.h>
#define call6(n, a, b, c, d, e, f) syscall(n, a, b, c, d, e, f)

#endif

static uint64_t
now(void)
{
	struct timespec t;

	call6(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0, 0, 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
ledger_wake(uint32_t *word)
{
	call6(SYS_futex, (long)word, FUTEX_WAKE, 1, 0, 0, 0);
}

static _Noreturn void
leave(int status)
{
	for (;;)
		call6(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

/* Reads the number after the colon that it replaces by NUL; -1 without one. */
static long
number_after_colon(char **s)
{
	long v = 0;

	while (**s && **s != ':')
		(*s)++;
	if (!**s)
		return -1;
	*(*s)++ = 0;
	while (**s >= '0' && **s <= '9' && v < 1000000)
		v = v * 10 + (*(*s)++ - '0');
	return v;
}

static struct ledger *
open_ledger(const char *path)
{
	long fd = call6(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0, 0, 0);
	long at;

	if (fd < 0)
		leave(111);
	at = call6(SYS_mmap, 0, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at < 0 && at > -4096)
		leave(112);
	call6(SYS_close, fd, 0, 0, 0, 0, 0);
	if (((struct ledger *)at)->magic != LEDGER_MAGIC)
		leave(113);
	return (struct ledger *)at;
}

static _Noreturn void
work(uint64_t start_ns, int argc, char **argv)
{
	uint64_t wanted = 1ull << (SIGTERM - 1) | 1ull << (SIGUSR2 - 1);
	struct ledger *l;
	char *s;
	long index, readyfd;

	call6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&wanted, 0, sizeof wanted, 0, 0);
	if (argc < 2)
		leave(114);
	s = argv[1];
	index = number_after_colon(&s);
	readyfd = number_after_colon(&s);
	if (index < 0 || index >= LEDGER_RECORDS)
		leave(114);
	l = open_ledger(argv[1]);
	ledger_started(l, (uint32_t)index, start_ns,
		       (uint32_t)call6(SYS_getpid, 0, 0, 0, 0, 0, 0));
	if (readyfd >= 0) {
		call6(SYS_write, readyfd, (long)"\n", 1, 0, 0, 0);
		call6(SYS_close, readyfd, 0, 0, 0, 0, 0);
	}
	for (;;) {
		long sig = call6(SYS_rt_sigtimedwait, (long)&wanted, 0, 0, sizeof wanted, 0, 0);

		if (sig == SIGTERM || sig == SIGUSR2) {
			l->record[index].exit_ns = now();
			leave(sig == SIGUSR2);
		}
	}
}

#ifdef NO_LIBC

/* The kernel's start: argc at the stack pointer, argv behind it. */
__attribute__((used)) static _Noreturn void
begin(long *stack)
{
	uint64_t start_ns = now();

	work(start_ns, (int)stack[0], (char **)(stack + 1));
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\tmov %rsp,%rdi\n\tand $-16,%rsp\n\tcall begin\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x0,sp\n\tbl begin\n");
#endif

#else

int
main(int argc, char **argv)
{
	uint64_t start_ns = now();

	work(start_ns, argc, argv);
}

#endif
