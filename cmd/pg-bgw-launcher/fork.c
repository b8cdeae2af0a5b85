/*
 * The two ways to make a child.
 *
 * Sharing (CLONE_VM and CLONE_VFORK): the child runs in the launcher's memory,
 * on a stack of its own, and the thread that made it stands still until it has
 * executed its program or died. Nothing is copied, which is most of a start.
 *
 * Copying: the child is a copy of the launcher and nobody waits for it. It is
 * for what a process has in common with all that share its memory, for what
 * must not wait (pool.c), and for a child that is to go on without exec.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

/*
 * clone_sharing calls f(arg), which must not return, in a child on the stack of
 * args. It returns the child's number, or minus an errno. The C library has no
 * such thing: its clone() knows no cgroup, and after a plain system call both
 * would return on one stack.
 */
static long clone_sharing(struct clone_args *args, void (*f)(void *), void *arg)
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

struct birth {
	const struct request *r;
	const struct inherited *in;
	int ruleset;
	const struct heir *heir;
};

static void born(void *arg)
{
	const struct birth *b = arg;

	report(b->r->status, STEP_NONE, (int)syscall(SYS_getpid)); /* before anything: whoever has no number was never born */
	if (b->heir)
		pool_pass(b->heir);
	child_run(b->r, b->in, b->ruleset);
}

int fork_worker(const struct request *r, const struct inherited *in, int ruleset, char *stack, const struct heir *heir)
{
	struct clone_args args = { .flags = CLONE_PARENT };
	struct birth b = { r, in, ruleset, stack ? heir : NULL };
	sigset_t all, before;
	int error;
	long pid;

	if (r->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)r->cgroup;
	}
	if (stack) {
		args.flags |= CLONE_VM | CLONE_VFORK;
		args.stack = (uintptr_t)stack;
		args.stack_size = STACK_SIZE;
		pid = clone_sharing(&args, born, &b);
		return pid < 0 ? (int)-pid : 0;
	}
	/*
	 * As in PostgreSQL a worker of a module is born with its signals blocked: a SIGTERM
	 * before it has handlers would be the crash of its segment. The module's code unblocks them.
	 */
	sigfillset(&all);
	if (r->flags & FLAG_MODULE)
		sigprocmask(SIG_BLOCK, &all, &before);
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		born(&b);
	error = pid < 0 ? errno : 0;
	if (r->flags & FLAG_MODULE)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return error;
}
