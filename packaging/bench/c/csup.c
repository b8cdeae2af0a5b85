/*
 * csup: the floor. A supervisor that does nothing but start its workers with
 * vfork and exec, wait for them, start again at once whatever was not asked to
 * stop, and tell its owner what ended. No cgroup, no sandbox, no log, no
 * table for others. What pg-bgwd does beyond this is what its distance to
 * this program buys.
 *
 *   csup WORKER LEDGER     stdin: a SOCK_SEQPACKET socket to the owner
 *
 * Records on the socket, both ways: struct message. To csup: START first n,
 * STOP first n. From csup: ENDED index, once per worker asked to stop or that
 * left with status 0. End of file, SIGTERM or SIGINT: kill every worker, leave.
 */
#define _GNU_SOURCE
#include "ledger.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum op { START = 1, STOP = 2, ENDED = 3 };

struct message {
	uint32_t op, first, n;
};

struct worker {
	pid_t pid; /* 0: none */
	int stopping;
};

static struct worker workers[LEDGER_RECORDS];
static const char *program, *ledger;
static sigset_t outside; /* the mask to wait and to start workers with */
static volatile sig_atomic_t quit;

/* Declared by ledger.h for programs that write it; this one only names it. */
static void ledger_wake(uint32_t *word) { (void)word; }

static void
on_signal(int sig)
{
	if (sig != SIGCHLD)
		quit = 1;
}

static void
start(uint32_t index)
{
	char where[512];
	char *argv[] = {(char *)program, where, NULL};
	char *envp[] = {NULL};
	pid_t pid;

	snprintf(where, sizeof where, "%s:%u", ledger, index);
	pid = vfork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &outside, NULL);
		execve(program, argv, envp);
		_exit(127);
	}
	workers[index].pid = pid > 0 ? pid : 0;
	workers[index].stopping = 0;
}

static void
tell(uint32_t index)
{
	struct message m = {ENDED, index, 1};

	if (send(0, &m, sizeof m, MSG_NOSIGNAL) < 0)
		quit = 1;
}

/* One pass over the table per death, as for any pid without an index. */
static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		uint32_t i = 0;

		while (i < LEDGER_RECORDS && workers[i].pid != pid)
			i++;
		if (i == LEDGER_RECORDS)
			continue;
		workers[i].pid = 0;
		if (workers[i].stopping || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
			tell(i);
		else
			start(i);
	}
}

static void
obey(void)
{
	struct message m;
	ssize_t n = recv(0, &m, sizeof m, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		quit = 1;
		return;
	}
	if (n != sizeof m || m.first > LEDGER_RECORDS || m.n > LEDGER_RECORDS - m.first)
		return;
	for (uint32_t i = m.first; i < m.first + m.n; i++) {
		if (m.op == START && workers[i].pid == 0)
			start(i);
		if (m.op == STOP && workers[i].pid > 0) {
			workers[i].stopping = 1;
			kill(workers[i].pid, SIGTERM);
		}
	}
}

static void
catch_signals(void)
{
	static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT};
	struct sigaction sa;
	sigset_t inside;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_signal;
	sigemptyset(&inside);
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		sigaddset(&inside, sigs[i]);
		sigaction(sigs[i], &sa, NULL);
	}
	sigemptyset(&outside);
	sigprocmask(SIG_SETMASK, &inside, NULL);
}

int
main(int argc, char **argv)
{
	struct pollfd owner = {.fd = 0, .events = POLLIN};

	if (argc != 3) {
		fprintf(stderr, "usage: csup WORKER LEDGER, with a seqpacket socket on stdin\n");
		return 2;
	}
	program = argv[1];
	ledger = argv[2];
	catch_signals();
	while (!quit) {
		reap();
		if (ppoll(&owner, 1, NULL, &outside) > 0)
			obey();
	}
	for (uint32_t i = 0; i < LEDGER_RECORDS; i++)
		if (workers[i].pid > 0)
			kill(workers[i].pid, SIGKILL);
	return 0;
}
