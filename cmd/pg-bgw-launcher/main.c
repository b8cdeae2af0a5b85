/*
 * pg-bgw-launcher: forks every worker on behalf of pg-bgwd.
 *
 * Files: main.c request.c seats.c fork.c child.c sandbox.c modules.c spare.c, headers launcher.h
 * protocol.h calls.h; launcher_test.c is a program of its own. build.sh holds the
 * compiler's line.
 *
 * Started by units/launch only:
 *
 *	pg-bgw-launcher [directory that workers may not change, or empty [modules ...]]
 *
 * with a SOCK_SEQPACKET socket as descriptor 3. One packet in is one worker;
 * protocol.h says how it looks. It serves one request after the other, and no
 * program that is slow to execute delays them by more than milliseconds
 * (seats.c): a child is forked and forgotten, and tells its own fate through the
 * pipe that came with the request. With modules, a copy of it serves beside it (spare.c).
 *
 * End of file on the socket is the end of the launcher. Its memory is static,
 * and it is not dumpable: a worker of the same user can neither read it nor take
 * its socket. Its oom_score_adj is what a worker has that wishes nothing: it is
 * too small to be worth killing, and is replaced.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

enum { SOCKET = 3, USUAL_UMASK = 077 /* that of most requests */ };

static struct inherited inherited;
static int ruleset = -1;
_Static_assert(FDS_ROOM % 2 == 0, "the kernel may fill the padding of CMSG_SPACE");

/* receive reads a packet and returns its size, at most 0 at the end; *error says what part of it did not come. */
static ssize_t receive(struct seat *s, int flags, size_t *nfds, int *error)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof s->fds)];
	} control;
	struct iovec iov = { s->packet, sizeof s->packet };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n;

	*nfds = 0;
	*error = 0;
	do
		n = recvmsg(SOCKET, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			*nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(s->fds, CMSG_DATA(c), *nfds * sizeof(int));
		}
	if (msg.msg_flags & MSG_TRUNC)
		*error = EMSGSIZE;
	else if (msg.msg_flags & MSG_CTRUNC)
		*error = EMFILE;
	return n;
}

/* close_all closes what came with a request. The kernel has given out neighbours as a rule. */
static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && fds[next] == fds[next - 1] + 1; next++)
			;
		syscall(SYS_close_range, fds[i], fds[next - 1], 0);
	}
}

/* start makes the child of s->r. 0 or an errno. */
static int start(struct seat *s)
{
	if (spare_serves(&s->r))
		spare_become(s, &inherited, ruleset, SOCKET);
	if (is_spare())
		return fork_worker(s, &inherited, ruleset, 0); /* a program: the seats are the launcher's */
	spare_wanted(&s->r);
	return fork_worker(s, &inherited, ruleset, !must_copy(&s->r, &inherited) && seat_left(s));
}

void serve(struct seat *s, int flags)
{
	enum step step = STEP_RECEIVE;
	size_t nfds;
	int error;
	ssize_t n = receive(s, flags, &nfds, &error);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		_exit(0);
	if (!error) {
		step = STEP_REQUEST;
		error = request_parse(s->packet, (size_t)n, s->fds, nfds, s->pointers, &s->r);
		if (!error && (s->r.flags & FLAG_MODULE))
			error = modules_expect(&s->r);
	}
	if (!error) {
		step = STEP_CLONE;
		error = start(s);
	}
	if (error && nfds)
		report(s->fds[0], step, error); /* the daemon holds the other end: no SIGPIPE from it */
	close_all(s->fds, nfds); /* the status pipe as well: from here on only the child holds it */
}

/*
 * own_values gives this process the oom_score_adj that most workers have, 0, and
 * says what children will inherit. Where 0 is refused, to an unprivileged daemon
 * with more, it is to its children too.
 */
static struct inherited own_values(void)
{
	struct inherited in = { .nice = getpriority(PRIO_PROCESS, 0), .null = -1, .umask = UMASK_UNKNOWN };
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return in; /* whoever wants a value fails to set it, and says so */
	in.no_oom_wish = write(fd, "0", 1) == 1 || errno == EACCES;
	if (pread(fd, text, sizeof text - 1, 0) > 0)
		in.oom_score_adj = atoi(text);
	close(fd);
	return in;
}

int main(int argc, char **argv)
{
	int type = 0, error;
	socklen_t size = sizeof type;

	if (getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_SEQPACKET) {
		fprintf(stderr, "pg-bgw-launcher: started by pg-bgwd only, with a socket as descriptor 3\n");
		return 2;
	}
	inherited = own_values(); /* while it may: a process that is not dumpable cannot write its own */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* They are the daemon's way of having any without being root, and would survive a worker's exec. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL) {
		fprintf(stderr, "pg-bgw-launcher: cannot clear ambient capabilities: %s\n", strerror(errno));
		return 1;
	}
	reset_signals();
	fcntl(SOCKET, F_SETFD, FD_CLOEXEC);
	if (argc <= 2) { /* modules may change both, and have descriptors */
		syscall(SYS_close_range, SOCKET + 1, ~0U, 0);
		inherited.umask = USUAL_UMASK;
		umask(USUAL_UMASK);
		inherited.root = !chdir("/");
	}
	inherited.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ruleset = sandbox_ruleset(argc > 1 && *argv[1] ? argv[1] : NULL);
	if (argc <= 2)
		for (;;)
			serve(seat_take(), 0);
	if ((error = modules_open(SOCKET, argv + 2, argc - 2)))
		return error;
	if (spare_open(SOCKET))
		return 1;
	for (;;) {
		spare_wait(SOCKET);
		serve(seat_take(), MSG_DONTWAIT);
	}
}
