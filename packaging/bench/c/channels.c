/*
 * What the kernel and the processors offer to two processes, as peers of a
 * queue in shared memory. Prints one number, of nanoseconds.
 *
 *   channels pipe SIZE N        N messages of SIZE bytes through a pipe of 1 MiB: in all
 *   channels seqpacket SIZE N   the same through a Unix socket
 *   channels futex N            a wake-up of who sleeps on the same processor: the median
 *   channels line N             a cache line to the other processor and back: the mean
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

struct shared {
	_Atomic uint32_t forth;
	char pad1[124];
	_Atomic uint32_t back;
	char pad2[124];
	uint64_t begun;
};

static struct shared *shared;

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		die("sched_setaffinity");
}

/* Starts the other process, which does not outlive this one. */
static pid_t
other(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void
stream(const int fds[2], size_t size, long n)
{
	char *message = calloc(1, size + 1);
	pid_t pid = other();

	if (message == NULL)
		die("calloc");
	if (pid == 0) {
		close(fds[0]);
		shared->begun = now();
		for (long i = 0; i < n; i++)
			for (size_t at = 0; at < size;) {
				ssize_t k = write(fds[1], message + at, size - at);

				if (k < 0)
					die("write");
				at += (size_t)k;
			}
		_exit(0);
	}
	close(fds[1]);
	for (long i = 0; i < n; i++)
		for (size_t at = 0; at < size;) {
			ssize_t k = read(fds[0], message + at, size - at);

			if (k <= 0)
				die("read");
			at += (size_t)k;
		}
	printf("%llu\n", (unsigned long long)(now() - shared->begun));
	waitpid(pid, NULL, 0);
	free(message);
}

static void
sleep_on(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load(word) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void
wake(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int
smaller(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Wakes the other process after a while, so that it sleeps, from the same
 * processor, and sleeps until that has noticed. The other one has the median of
 * the times until it runs. */
static void
futexes(long n)
{
	uint64_t *ns = calloc((size_t)n, sizeof *ns);
	struct timespec gap = {.tv_nsec = 100 * 1000};
	pid_t pid;

	if (ns == NULL)
		die("calloc");
	pin(0);
	pid = other();
	if (pid == 0) {
		for (uint32_t i = 0; i < (uint32_t)n; i++) {
			sleep_on(&shared->forth, i);
			ns[i] = now() - shared->begun;
			wake(&shared->back);
		}
		qsort(ns, (size_t)n, sizeof *ns, smaller);
		printf("%llu\n", (unsigned long long)ns[n / 2]);
		fflush(stdout);
		_exit(0);
	}
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		nanosleep(&gap, NULL);
		shared->begun = now();
		wake(&shared->forth);
		sleep_on(&shared->back, i);
	}
	waitpid(pid, NULL, 0);
	free(ns);
}

static void
line(long n)
{
	pid_t pid = other();
	uint64_t t;

	pin(pid == 0 ? 1 : 0);
	if (pid == 0) {
		for (uint32_t i = 0; i < (uint32_t)n; i++) {
			while (atomic_load_explicit(&shared->forth, memory_order_acquire) == i)
				;
			atomic_store_explicit(&shared->back, i + 1, memory_order_release);
		}
		_exit(0);
	}
	t = now();
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		atomic_store_explicit(&shared->forth, i + 1, memory_order_release);
		while (atomic_load_explicit(&shared->back, memory_order_acquire) == i)
			;
	}
	printf("%llu\n", (unsigned long long)(now() - t) / (unsigned long long)n);
	waitpid(pid, NULL, 0);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int fds[2];

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	if (strcmp(what, "pipe") == 0 && argc == 4) {
		if (pipe(fds) < 0 || fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) < 0)
			die("pipe");
		stream(fds, (size_t)atol(argv[2]), atol(argv[3]));
	} else if (strcmp(what, "seqpacket") == 0 && argc == 4) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
			die("socketpair");
		stream(fds, (size_t)atol(argv[2]), atol(argv[3]));
	} else if (strcmp(what, "futex") == 0 && argc == 3) {
		futexes(atol(argv[2]));
	} else if (strcmp(what, "line") == 0 && argc == 3) {
		line(atol(argv[2]));
	} else {
		fprintf(stderr, "usage: channels pipe|seqpacket SIZE N, channels futex|line N\n");
		return 2;
	}
	return 0;
}
