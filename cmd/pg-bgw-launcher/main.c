/*
 * pg-bgw-launcher: forks every worker on behalf of pg-bgwd.
 *
 * Files: main.c request.c child.c sandbox.c, headers launcher.h protocol.h;
 * launcher_test.c is a program of its own. build.sh holds the compiler's line.
 *
 * Started by units/launch only:
 *
 *	pg-bgw-launcher [directory that workers may not change]
 *
 * with a SOCK_SEQPACKET socket as descriptor 3. One packet in is one worker;
 * protocol.h says how it looks. It serves one request after the other and
 * waits for nothing but the socket: a child is forked and forgotten, and tells
 * its own fate through the pipe that came with the request. clone3 goes without CLONE_VFORK for
 * that reason: with it, a program on a file system that does not answer would
 * stop all others. The price is the copy of some tens of pages.
 *
 * End of file on the socket is the end of the launcher. Its memory is static,
 * and it is not dumpable: a worker of the same user can neither read it nor take its socket.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

enum {
	SOCKET = 3,
	RULESET = 4, /* or nothing; what comes with a request is from the next one on */
	FDS_MAX = FILES_MAX + 2,
	FDS_ROOM = FDS_MAX + 2, /* one too many is seen; even, so that CMSG_SPACE adds no room */
};

static _Alignas(8) char packet[REQUEST_MAX];
static char *pointers[POINTERS_MAX + 2];
static int fds[FDS_ROOM];
_Static_assert(FDS_ROOM % 2 == 0, "the kernel may fill the padding of CMSG_SPACE");

/* receive reads a packet and returns its size, at most 0 at the end; *error says what part of it did not come. */
static ssize_t receive(size_t *nfds, int *error)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof fds)];
	} control;
	struct iovec iov = { packet, sizeof packet };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n;

	*nfds = 0;
	*error = 0;
	do
		n = recvmsg(SOCKET, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			*nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(c), *nfds * sizeof(int));
		}
	if (msg.msg_flags & MSG_TRUNC)
		*error = EMSGSIZE;
	else if (msg.msg_flags & MSG_CTRUNC)
		*error = EMFILE;
	return n;
}

/* fork_worker makes the child of r, a child of this process's parent. */
static pid_t fork_worker(const struct request *r, const struct inherited *in, int ruleset)
{
	struct clone_args args = { .flags = CLONE_PARENT };
	pid_t pid;

	if (r->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)r->cgroup;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		child_run(r, in, ruleset);
	return pid;
}

/* serve handles one packet; 1 when there will be no more. */
static int serve(const struct inherited *in, int ruleset)
{
	enum step step = STEP_RECEIVE;
	struct request r;
	size_t nfds;
	int error;
	ssize_t n = receive(&nfds, &error);

	if (n <= 0)
		return 1;
	if (!error) {
		step = STEP_REQUEST;
		error = request_parse(packet, (size_t)n, fds, nfds, pointers, &r);
	}
	if (!error) {
		step = STEP_CLONE;
		error = fork_worker(&r, in, ruleset) < 0 ? errno : 0;
	}
	if (error && nfds)
		report(fds[0], step, error); /* the daemon holds the other end: no SIGPIPE from it */
	/* The status pipe as well: from here on only the child holds it. */
	syscall(SYS_close_range, (ruleset < 0 ? SOCKET : RULESET) + 1, ~0U, 0);
	return 0;
}

static struct inherited own_values(void)
{
	struct inherited in = { .oom_score_adj = -9999 }; /* unknown: always set */
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, text, sizeof text - 1) > 0)
			in.oom_score_adj = atoi(text);
		close(fd);
	}
	in.nice = getpriority(PRIO_PROCESS, 0);
	return in;
}

/* make_ruleset returns RULESET, or -1. */
static int make_ruleset(const char *directory)
{
	int fd = directory ? sandbox_ruleset(directory) : -1;

	if (fd < 0 || fd == RULESET)
		return fd;
	if (dup3(fd, RULESET, O_CLOEXEC) < 0) {
		close(fd);
		return -1;
	}
	close(fd);
	return RULESET;
}

int main(int argc, char **argv)
{
	int type = 0, ruleset;
	socklen_t size = sizeof type;
	struct inherited in;

	if (argc > 2 || getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_SEQPACKET) {
		fprintf(stderr, "pg-bgw-launcher: started by pg-bgwd only, with a socket as descriptor 3\n");
		return 2;
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	reset_signals();
	fcntl(SOCKET, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, RULESET, ~0U, 0);
	in = own_values();
	ruleset = make_ruleset(argv[1]);
	while (!serve(&in, ruleset))
		;
	return 0;
}
