/*
 * The card of the machine: the few costs that decide every figure of the
 * benchmark, so that results of different machines are not compared by
 * mistake. Prints "name<TAB>value" lines; about two seconds.
 *
 *   card PROGRAM     PROGRAM is started with no argument and must end at once
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

enum { ROUNDS = 1000, COPY = 1 << 20 };

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static int
smaller(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
print_median(const char *name, uint64_t *ns, size_t n, double divide)
{
	qsort(ns, n, sizeof *ns, smaller);
	printf("%s\t%.2f us (best %.2f)\n", name, (double)ns[n / 2] / divide / 1e3,
	       (double)ns[0] / divide / 1e3);
}

static void
system_call(void)
{
	uint64_t ns[20];

	for (size_t i = 0; i < 20; i++) {
		uint64_t t = now();

		for (int k = 0; k < ROUNDS; k++)
			syscall(SYS_getppid);
		ns[i] = now() - t;
	}
	print_median("system call (getppid)", ns, 20, ROUNDS);
}

static void
cpuid(void)
{
#ifdef __x86_64__
	uint64_t ns[20];
	unsigned a, b, c, d;

	for (size_t i = 0; i < 20; i++) {
		uint64_t t = now();

		for (int k = 0; k < 20; k++)
			__get_cpuid(0, &a, &b, &c, &d);
		ns[i] = now() - t;
	}
	print_median("CPUID (glibc's start runs some 70)", ns, 20, 20);
#endif
}

/* A thread that answers on one eventfd what it reads from the other. */
struct echo {
	int in, out, cpu;
};

static void *
echo(void *arg)
{
	struct echo *e = arg;
	uint64_t v;

	pin(e->cpu);
	while (read(e->in, &v, sizeof v) == sizeof v && v == 1)
		if (write(e->out, &v, sizeof v) < 0)
			break;
	return NULL;
}

static void
wake(const char *name, int mine, int theirs)
{
	struct echo e = {eventfd(0, 0), eventfd(0, 0), theirs};
	static uint64_t ns[ROUNDS];
	uint64_t v = 1;
	pthread_t t;

	pin(mine);
	if (pthread_create(&t, NULL, echo, &e) != 0)
		return;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t at = now();

		if (write(e.in, &v, sizeof v) < 0 || read(e.out, &v, sizeof v) < 0)
			exit(1);
		ns[i] = now() - at;
	}
	v = 2;
	if (write(e.in, &v, sizeof v) < 0)
		exit(1);
	pthread_join(t, NULL);
	close(e.in);
	close(e.out);
	print_median(name, ns, ROUNDS, 2);
}

/* The other core: bounces a cache line, then writes what this one copies. */
struct other {
	_Alignas(128) volatile uint32_t ping;
	_Alignas(128) volatile uint32_t pong;
	char *data;
};

static void *
other_core(void *arg)
{
	struct other *o = arg;

	pin(1);
	for (uint32_t i = 1; i <= ROUNDS * 10; i++) {
		while (__atomic_load_n(&o->ping, __ATOMIC_ACQUIRE) != i)
			;
		__atomic_store_n(&o->pong, i, __ATOMIC_RELEASE);
	}
	for (uint32_t i = 1; i <= 50; i++) {
		/* Plain stores: memset may go past the caches. */
		for (size_t k = 0; k < COPY; k += sizeof i)
			*(volatile uint32_t *)(o->data + k) = i;
		__atomic_store_n(&o->pong, ROUNDS * 10 + i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&o->ping, __ATOMIC_ACQUIRE) != ROUNDS * 10 + i)
			;
	}
	return NULL;
}

static void
two_cores(void)
{
	static struct other o;
	static uint64_t ns[50];
	char *to = malloc(COPY);
	pthread_t t;
	uint64_t at;

	o.data = malloc(COPY);
	if (to == NULL || o.data == NULL)
		exit(1);
	memset(to, 1, COPY);
	pin(0);
	if (pthread_create(&t, NULL, other_core, &o) != 0)
		return;
	at = now();
	for (uint32_t i = 1; i <= ROUNDS * 10; i++) {
		__atomic_store_n(&o.ping, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&o.pong, __ATOMIC_ACQUIRE) != i)
			;
	}
	printf("cache line to the other core and back\t%.3f us\n",
	       (double)(now() - at) / (ROUNDS * 10) / 1e3);
	for (uint32_t i = 1; i <= 50; i++) {
		while (__atomic_load_n(&o.pong, __ATOMIC_ACQUIRE) != ROUNDS * 10 + i)
			;
		at = now();
		memcpy(to, o.data, COPY);
		ns[i - 1] = now() - at;
		__atomic_store_n(&o.ping, ROUNDS * 10 + i, __ATOMIC_RELEASE);
	}
	pthread_join(t, NULL);
	qsort(ns, 50, sizeof *ns, smaller);
	printf("copy of 1 MiB that the other core wrote\t%.1f GB/s\n", COPY / (double)ns[25]);
	free(to);
	free(o.data);
}

static void
start(const char *program)
{
	static uint64_t ns[ROUNDS];
	char *argv[] = {(char *)program, NULL};
	char *envp[] = {NULL};

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t at = now();
		pid_t pid = vfork();

		if (pid == 0) {
			execve(program, argv, envp);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			exit(1);
		ns[i] = now() - at;
	}
	print_median("vfork, exec and wait of an empty program", ns, ROUNDS, 1);
}

int
main(int argc, char **argv)
{
	cpu_set_t before;

	if (argc != 2) {
		fprintf(stderr, "usage: card PROGRAM\n");
		return 2;
	}
	sched_getaffinity(0, sizeof before, &before);
	system_call();
	cpuid();
	if (CPU_ISSET(0, &before))
		wake("wake on the same core", 0, 0);
	if (CPU_ISSET(0, &before) && CPU_ISSET(1, &before)) {
		wake("wake of the other core", 0, 1);
		two_cores();
	}
	sched_setaffinity(0, sizeof before, &before);
	start(argv[1]);
	return 0;
}
