/*
 * What a child does between clone3 and exec. It shares the memory of the
 * launcher, which goes on meanwhile, or is a copy of it (fork.c), made without the
 * C library's fork(): it makes system calls (calls.h) and little else. It
 * allocates nothing, takes no lock, writes to nothing but its stack, and calls
 * nothing of the C library that does: errno is the launcher's. (So are the
 * library's idea of its own thread id and the kernel's robust list; exec replaces
 * both. A child that is to go on without exec makes them its own first: become_process.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "calls.h"
#include "launcher.h"

void report(int status, enum step step, int value)
{
	struct report r = { step, value };

	call(SYS_write, status, (long)&r, sizeof r, 0, 0);
}

static _Noreturn void fail(int status, enum step step, int error)
{
	report(status, step, error);
	for (;;)
		call(SYS_exit_group, 127, 0, 0, 0, 0);
}

void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct sigaction ign = { .sa_handler = SIG_IGN };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, s == SIGPIPE ? &ign : &dfl, NULL); /* fails for KILL, STOP and the library's own two */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* above returns fd, or a copy of it that is at least min, or minus an errno. */
static int above(int fd, int min)
{
	return fd < 0 || fd >= min ? fd : (int)call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, min, 0, 0);
}

/* close_others closes every descriptor from first on except keep. 0 or an errno. */
static int close_others(unsigned first, unsigned keep)
{
	long error = 0;

	if (keep > first)
		error = call(SYS_close_range, first, keep - 1, 0, 0, 0);
	if (!error)
		error = call(SYS_close_range, keep + 1, ~0U, 0, 0, 0);
	return (int)-error;
}

int child_files(const struct request *r, int null, int *status)
{
	int n = r->ntargets > 3 ? (int)r->ntargets : 3;
	int files[FDS_ROOM]; /* and not in the request: a page that nothing is written to stays shared */

	/* First everything out of the way of the targets, then each into its place. */
	*status = above(*status, n);
	if (null < 0)
		null = (int)call(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0, 0);
	null = above(null, n);
	if (*status < 0 || null < 0)
		return *status < 0 ? -*status : -null;
	for (size_t i = 0; i < r->nfiles; i++) {
		files[i] = above(r->files[i], n);
		if (files[i] < 0)
			return -files[i];
	}
	for (int i = 0; i < n; i++) {
		int fd = null;
		long at;

		if ((size_t)i < r->ntargets && r->targets[i] != NO_FILE)
			fd = files[r->targets[i]];
		if ((at = call(SYS_dup3, fd, i, 0, 0, 0)) < 0)
			return (int)-at;
	}
	return close_others((unsigned)n, (unsigned)*status);
}

int needs_oom_score(const struct request *r, const struct inherited *in)
{
	return r->oom_score_adj == 0 ? !in->no_oom_wish : r->oom_score_adj != in->oom_score_adj;
}

/*
 * A process that is not dumpable cannot write to its own files in /proc unless
 * it is root (proc(5)). The launcher is not, so that nobody of the same user can
 * take over its socket; by now this child, a copy (must_copy), has nothing of the
 * launcher's open.
 */
static int set_oom_score(int value)
{
	char text[16];
	long fd, written;
	int n = snprintf(text, sizeof text, "%d", value);

	call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	fd = call(SYS_openat, AT_FDCWD, (long)"/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0, 0);
	if (fd < 0)
		return (int)-fd;
	written = call(SYS_write, fd, (long)text, n, 0, 0);
	call(SYS_close, fd, 0, 0, 0, 0);
	return written < 0 ? (int)-written : 0;
}

static int set_rlimits(const struct request *r)
{
	long error = 0;

	for (size_t i = 0; i < r->nrlimits && !error; i++) {
		struct rlimit64 l = { r->rlimits[i].soft, r->rlimits[i].hard };

		error = call(SYS_prlimit64, 0, r->rlimits[i].resource, (long)&l, 0, 0);
	}
	return (int)-error;
}

static int set_credential(const struct request *r)
{
	long error = call(SYS_setgroups, (long)r->ngroups, (long)r->groups, 0, 0, 0);

	if (!error)
		error = call(SYS_setresgid, r->gid, r->gid, r->gid, 0, 0);
	if (!error)
		error = call(SYS_setresuid, r->uid, r->uid, r->uid, 0, 0);
	return (int)-error;
}

static int set_nice(int value)
{
	return (int)-call(SYS_setpriority, PRIO_PROCESS, 0, value, 0, 0);
}

static int stays(const struct request *r, const struct inherited *in)
{
	return in->root && r->dir[0] == '/' && !r->dir[1];
}

_Noreturn void child_run(const struct request *r, const struct inherited *in, int ruleset)
{
	int status = r->status, error;
	long result;

	if ((result = call(SYS_setsid, 0, 0, 0, 0, 0)) < 0)
		fail(status, STEP_SESSION, (int)-result);
	/* Privileges and sandbox come before the files, which close the ruleset. */
	if ((r->flags & FLAG_NO_NEW_PRIVS) && (result = call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
		fail(status, STEP_PRIVILEGES, (int)-result);
	if ((r->flags & FLAG_READ_ONLY_CGROUPS) && ruleset >= 0 && (error = sandbox_apply(ruleset)))
		fail(status, STEP_SANDBOX, error);
	if ((error = child_files(r, in->null, &status)))
		fail(status, STEP_FILES, error);
	if (needs_oom_score(r, in) && (error = set_oom_score(r->oom_score_adj)))
		fail(status, STEP_OOM_SCORE, error);
	if (r->nice != 0 && r->nice != in->nice && (error = set_nice(r->nice)))
		fail(status, STEP_NICE, error);
	if ((error = set_rlimits(r)))
		fail(status, STEP_RLIMIT, error);
	if ((r->flags & FLAG_CREDENTIAL) && (error = set_credential(r)))
		fail(status, STEP_CREDENTIAL, error);
	if (r->umask != in->umask)
		call(SYS_umask, r->umask, 0, 0, 0, 0);
	if (!stays(r, in) && (result = call(SYS_chdir, (long)r->dir, 0, 0, 0, 0)))
		fail(status, STEP_DIR, (int)-result);
	if (r->flags & FLAG_MODULE)
		modules_run(r, status);
	result = call(SYS_execve, (long)r->argv[0], (long)r->argv, (long)r->envp, 0, 0);
	fail(status, STEP_EXEC, (int)-result);
}
