/*
 * System calls of a child, which may share the launcher's memory while the
 * launcher goes on: errno, and all else that the C library keeps for a thread,
 * is the launcher's. So a child makes its calls itself.
 */
#ifndef PGBGW_LAUNCHER_CALLS_H
#define PGBGW_LAUNCHER_CALLS_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* call makes system call n and returns what the kernel does: minus an errno on failure. */
static inline long call(long n, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;

	__asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return n;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
#else
	long result = syscall(n, a, b, c, d, e); /* a child is a copy there (fork.c) */

	return result < 0 ? -errno : result;
#endif
}

#endif
