/*
 * What a child does between clone3 and exec. It shares the launcher's memory or
 * is a copy of it (fork.c), made without the C library's fork(): it makes system
 * calls and little else. It allocates nothing, takes no lock, calls nothing that
 * the library would have all threads do (setuid(2), notes), and writes to nothing
 * but its stack and errno, which are those of the thread that waits for it. (The
 * library's idea of its own thread id and the kernel's robust list are the
 * launcher's; exec replaces both. A copy that is to go on without exec must call
 * set_robust_list first.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

void report(int status, enum step step, int value)
{
	struct report r = { step, value };
	ssize_t n = write(status, &r, sizeof r);

	(void)n;
}

static _Noreturn void fail(int status, enum step step, int error)
{
	report(status, step, error);
	_exit(127);
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

/* above returns fd, or a copy of it that is at least min. */
static int above(int fd, int min)
{
	return fd >= min ? fd : fcntl(fd, F_DUPFD_CLOEXEC, min);
}

/* close_others closes every descriptor from first on except keep. */
static int close_others(unsigned first, unsigned keep)
{
	if (keep > first && syscall(SYS_close_range, first, keep - 1, 0))
		return errno;
	return syscall(SYS_close_range, keep + 1, ~0U, 0) ? errno : 0;
}

int child_files(const struct request *r, int null, int *status)
{
	int n = r->ntargets > 3 ? (int)r->ntargets : 3;
	int files[FDS_ROOM]; /* and not in the request: a page that nothing is written to stays shared */

	/* First everything out of the way of the targets, then each into its place. */
	*status = above(*status, n);
	if (null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	null = above(null, n);
	if (*status < 0 || null < 0)
		return errno;
	for (size_t i = 0; i < r->nfiles; i++) {
		files[i] = above(r->files[i], n);
		if (files[i] < 0)
			return errno;
	}
	for (int i = 0; i < n; i++) {
		int fd = -1;

		if ((size_t)i < r->ntargets && r->targets[i] != NO_FILE)
			fd = files[r->targets[i]];
		if (dup3(fd < 0 ? null : fd, i, 0) < 0)
			return errno;
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
	int fd, error = 0, n = snprintf(text, sizeof text, "%d", value);

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (write(fd, text, (size_t)n) != n)
		error = errno;
	close(fd);
	return error;
}

static int set_rlimits(const struct request *r)
{
	for (size_t i = 0; i < r->nrlimits; i++) {
		struct rlimit l = { r->rlimits[i].soft, r->rlimits[i].hard };

		if (setrlimit((int)r->rlimits[i].resource, &l))
			return errno;
	}
	return 0;
}

static int set_credential(const struct request *r)
{
	if (syscall(SYS_setgroups, r->ngroups, r->groups) ||
	    syscall(SYS_setresgid, r->gid, r->gid, r->gid) ||
	    syscall(SYS_setresuid, r->uid, r->uid, r->uid))
		return errno;
	return 0;
}

/*
 * Ambient capabilities are the daemon's way of having any without being root;
 * they would survive exec.
 */
static int drop_privileges(const struct request *r)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return errno;
	if ((r->flags & FLAG_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return errno;
	return 0;
}

_Noreturn void child_run(const struct request *r, const struct inherited *in, int ruleset)
{
	int status = r->status, error;

	if (setsid() < 0)
		fail(status, STEP_SESSION, errno);
	/* Privileges and sandbox come before the files, which close the ruleset. */
	if ((error = drop_privileges(r)))
		fail(status, STEP_PRIVILEGES, error);
	if ((r->flags & FLAG_READ_ONLY_CGROUPS) && ruleset >= 0 && (error = sandbox_apply(ruleset)))
		fail(status, STEP_SANDBOX, error);
	if ((error = child_files(r, in->null, &status)))
		fail(status, STEP_FILES, error);
	if (needs_oom_score(r, in) && (error = set_oom_score(r->oom_score_adj)))
		fail(status, STEP_OOM_SCORE, error);
	if (r->nice != 0 && r->nice != in->nice && setpriority(PRIO_PROCESS, 0, r->nice))
		fail(status, STEP_NICE, errno);
	if ((error = set_rlimits(r)))
		fail(status, STEP_RLIMIT, error);
	if ((r->flags & FLAG_CREDENTIAL) && (error = set_credential(r)))
		fail(status, STEP_CREDENTIAL, error);
	umask(r->umask);
	if (chdir(r->dir))
		fail(status, STEP_DIR, errno);
	if (r->flags & FLAG_MODULE)
		modules_run(r, status);
	execve(r->argv[0], r->argv, r->envp);
	fail(status, STEP_EXEC, errno);
}
