/*
 * Two launchers of modules begin in one new segment, the second while the first is
 * making the modules' area: region LIBRARY, with the segment as descriptor 3.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

enum { FIRST, SECOND, PIECE = 1 << 20 };

static const uintptr_t address = 0x200000000000;

static struct shared {
	sem_t making;   /* the first is making the area */
	sem_t has_come; /* the second has come as far as it can */
	char *piece[2];
} *shared;

static int who;
static int told;

static void come(void)
{
	if (who == SECOND && !told++)
		sem_post(&shared->has_come);
}

/* The library calls these instead of the C library's. */
int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	static int (*real)(pthread_mutex_t *, const pthread_mutexattr_t *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_init");
	if (who == FIRST && shared && (uintptr_t)mutex >= address && (uintptr_t)mutex < address + (1UL << 40)) {
		sem_post(&shared->making);
		sem_wait(&shared->has_come);
	}
	return real(mutex, attr);
}

int fcntl(int fd, int command, ...)
{
	static int (*real)(int, int, ...);
	va_list list;
	void *argument;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fcntl");
	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	if (command == F_SETLKW)
		come();
	return real(fd, command, argument);
}

static int registered(void *context, const struct pgbgw_host_entry *entry)
{
	(void)context;
	(void)entry;
	return 0;
}

static void loading(void *context, const char *library)
{
	(void)context;
	(void)library;
}

static int launcher(const char *path)
{
	struct pgbgw_host host = {
		.version = PGBGW_HOST_VERSION, .max_worker_processes = 8, .library_path = "", .segment = 3, .address = (void *)address,
		.registered = registered, .loading = loading,
	};
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	int (*preload)(const struct pgbgw_host *);
	void *(*piece)(const char *, size_t, _Bool *);
	_Bool found;

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&preload = dlsym(library, "pgbgw_host_preload");
	*(void **)&piece = dlsym(library, "ShmemInitStruct");
	if (who == SECOND)
		sem_wait(&shared->making);
	if (preload(&host))
		return 1;
	shared->piece[who] = piece(who == FIRST ? "first" : "second", PIECE, &found);
	come();
	return 0;
}

int main(int argc, char **argv)
{
	struct shared *all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, bad = argc != 2;
	long apart;

	sem_init(&all->making, 1, 0);
	sem_init(&all->has_come, 1, 0);
	shared = all;
	for (who = FIRST; who <= SECOND; who++)
		if (fork() == 0)
			_exit(launcher(argv[1]));
	while (wait(&status) > 0)
		if (status) {
			bad = 1;
			sem_post(&all->making); /* so that nobody waits for it */
			sem_post(&all->has_come);
		}
	apart = labs(all->piece[FIRST] - all->piece[SECOND]);
	if (apart < PIECE) {
		fprintf(stderr, "the launchers' pieces, of %d bytes, are %ld bytes apart\n", PIECE, apart);
		bad = 1;
	}
	return bad;
}
