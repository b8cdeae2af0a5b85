/*
 * The two ways in which the launcher makes a child, neither of which it waits for; a third is spare.c's.
 *
 * Sharing (CLONE_VM): the child runs in the launcher's memory, on a stack of its
 * own, until it has executed its program or died, which the kernel notes in its
 * seat. Nothing is copied, which is most of a start.
 *
 * Copying: the child is a copy of the launcher. It is for what a process has in
 * common with all that share its memory, for programs that are slow to execute
 * (seats.c), and for a child that is to go on without exec.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>

#include "calls.h"
#include "launcher.h"

/*
 * The C library has no such thing: its clone() knows no cgroup, and after a plain system
 * call both would return on one stack.
 */
long clone_sharing(struct clone_args *args, void (*f)(void *), void *arg)
{
#if defined(__x86_64__)
	long result = SYS_clone3;
	register void (*function)(void *) __asm__("r8") = f;
	register void *argument __asm__("r9") = arg;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t" /* the outermost frame */
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "ud2\n"
			 "1:"
			 : "+a"(result)
			 : "D"(args), "S"(sizeof *args), "r"(function), "r"(argument)
			 : "rcx", "r11", "cc", "memory");
	return result;
#elif defined(__aarch64__)
	register long number __asm__("x8") = SYS_clone3;
	register long result __asm__("x0") = (long)args;
	register unsigned long size __asm__("x1") = sizeof *args;
	register void (*function)(void *) __asm__("x2") = f;
	register void *argument __asm__("x3") = arg;

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t" /* the outermost frame */
			 "mov x0, x3\n\t"
			 "blr x2\n\t"
			 "brk 1\n"
			 "1:"
			 : "+r"(result)
			 : "r"(number), "r"(size), "r"(function), "r"(argument)
			 : "cc", "memory");
	return result;
#else
	(void)args, (void)f, (void)arg;
	return -ENOSYS;
#endif
}

int must_copy(const struct request *r, const struct inherited *in)
{
#if !defined(__x86_64__) && !defined(__aarch64__)
	return 1;
#endif
	/*
	 * Whether a process is dumpable is a property of its memory: to write its
	 * oom_score_adj it must become so, and a change of user decides anew by
	 * fs.suid_dumpable (prctl(2), PR_SET_DUMPABLE). A process without a
	 * cgroup's memory limit is not killed for the sake of one; otherwise all
	 * that share its memory would be (mm/oom_kill.c, __oom_kill_process).
	 */
	return (r->flags & (FLAG_CREDENTIAL | FLAG_COPY | FLAG_MODULE)) || needs_oom_score(r, in);
}

void born(void *arg)
{
	const struct seat *s = arg;

	report(s->r.status, STEP_NONE, (int)call(SYS_getpid, 0, 0, 0, 0, 0)); /* before anything: whoever has no number was never born */
	child_run(&s->r, s->in, s->ruleset);
}

/* share makes a child that shares our memory. 0 or an errno. */
static int share(struct clone_args *args, struct seat *s)
{
	static uint64_t number;
	long pid;

	args->flags |= CLONE_VM | CLONE_CHILD_CLEARTID;
	args->child_tid = (uintptr_t)&s->child;
	args->stack = (uintptr_t)s->stack;
	args->stack_size = STACK_SIZE;
	s->slow = 0;
	s->number = ++number;
	atomic_store(&s->child, SEAT_TAKEN);
	pid = clone_sharing(args, born, s);
	if (pid < 0)
		atomic_store(&s->child, 0);
	return pid < 0 ? (int)-pid : 0;
}

int fork_worker(struct seat *s, const struct inherited *in, int ruleset, int shares)
{
	struct clone_args args = { .flags = CLONE_PARENT };
	const struct request *r = &s->r;
	sigset_t all, before;
	long pid;

	s->in = in;
	s->ruleset = ruleset;
	if (r->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)r->cgroup;
	}
	if (shares)
		return share(&args, s);
	/*
	 * As in PostgreSQL a worker of a module is born with its signals blocked: a SIGTERM
	 * before it has handlers would be the crash of its segment. The module's code unblocks them.
	 */
	sigfillset(&all);
	if (r->flags & FLAG_MODULE)
		sigprocmask(SIG_BLOCK, &all, &before);
	pid = call(SYS_clone3, (long)&args, sizeof args, 0, 0, 0);
	if (pid == 0)
		born(s);
	if (r->flags & FLAG_MODULE)
		sigprocmask(SIG_SETMASK, &before, NULL);
	/* Its cgroup's limit may kill a child before its first act, and it was born all the same. */
	if (pid > 0 && (r->flags & FLAG_COPY))
		report(r->status, STEP_NONE, (int)pid);
	return pid < 0 ? (int)-pid : 0;
}
