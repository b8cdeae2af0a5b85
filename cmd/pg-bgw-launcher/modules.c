/*
 * PostgreSQL's modules: a launcher that has loaded them forks workers that go on
 * without exec, with everything that _PG_init left behind. What PostgreSQL is to
 * a module comes from the library of one major release (contrib/libpgbgw/pg),
 * which is opened here and called through host.h.
 *
 * A launcher is told what to load by its arguments, and tells the daemon over
 * its socket what it loads and what the modules register (protocol.h).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "launcher.h"

static struct pgbgw_host host = { .version = PGBGW_HOST_VERSION };
static void (*expect)(struct pgbgw_host_worker *);
static void (*warm)(const struct pgbgw_host_worker *);
static void (*run_worker)(const struct pgbgw_host_worker *);
static int32_t registered_flags; /* of all workers that the modules register */
static int daemon_socket;
static char *title;        /* the arguments, which a worker overwrites with its name */
static size_t title_size;

/* What a child without exec must make its own; see become_process. */
static int *thread_id;
static void *robust_head;
static size_t robust_size;
static int moved; /* this is a spare, or the worker that has its memory */

static int say(uint32_t kind, const void *data, size_t size)
{
	struct message_head head = { kind, (uint32_t)size };
	struct iovec parts[2] = { { &head, sizeof head }, { (void *)(uintptr_t)data, size } };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };

	while (sendmsg(daemon_socket, &msg, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

static int registered(void *context, const struct pgbgw_host_entry *entry)
{
	int *count = context;

	if (*count >= host.max_worker_processes)
		return ENOSPC;
	++*count;
	registered_flags |= entry->flags;
	return say(MESSAGE_REGISTERED, entry, sizeof *entry);
}

static void loading(void *context, const char *library)
{
	(void)context;
	say(MESSAGE_LOADING, library ? library : "", library ? strlen(library) : 0);
}

/*
 * The C library keeps its thread's number, and the kernel its list of robust
 * mutexes, in places that only the C library's own fork() would renew.
 */
static void know_thread(void)
{
	if (prctl(PR_GET_TID_ADDRESS, &thread_id, 0, 0, 0) || *thread_id != (int)syscall(SYS_gettid))
		thread_id = NULL;
	if (syscall(SYS_get_robust_list, 0, &robust_head, &robust_size))
		robust_head = NULL;
}

/*
 * Restartable sequences (rseq): the kernel writes to a place in the thread's memory, where glibc
 * has told it to. A child that shares memory has no such place, so a spare gives its own up and its
 * worker takes it. The size is glibc's secret, and a multiple of 32.
 */
#if __has_include(<sys/rseq.h>)
enum { RSEQ_ON, RSEQ_OFF = RSEQ_FLAG_UNREGISTER };
static struct rseq *rseq_place;
static uint32_t rseq_size;
static int rseq_known; /* there are none, or they can be given up */

static long rseq(int flags)
{
	return call(SYS_rseq, (long)rseq_place, rseq_size, flags, RSEQ_SIG, 0);
}

static void know_rseq(void)
{
	rseq_known = __rseq_size == 0;
	rseq_place = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	for (rseq_size = 32; !rseq_known && rseq_size <= 1024; rseq_size += 32)
		if (rseq(RSEQ_OFF) == 0) {
			rseq(RSEQ_ON);
			rseq_known = 1;
			return;
		}
	rseq_size = 0;
}
#else
enum { RSEQ_ON, RSEQ_OFF, rseq_size = 0, rseq_known = 1 };
static long rseq(int flags) { return flags; }
static void know_rseq(void) {}
#endif

static void become_process(void)
{
	int id = (int)call(SYS_set_tid_address, (long)thread_id, 0, 0, 0, 0);

	if (rseq_size && moved)
		rseq(RSEQ_ON);

	if (thread_id)
		*thread_id = id;
	if (robust_head)
		call(SYS_set_robust_list, (long)robust_head, (long)robust_size, 0, 0, 0);
}

static int open_release(const char *path)
{
	int (*preload)(const struct pgbgw_host *);
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);

	if (!library) {
		fprintf(stderr, "<3>cannot load %s: %s\n", path, dlerror());
		return 1;
	}
	*(void **)&preload = dlsym(library, "pgbgw_host_preload");
	*(void **)&expect = dlsym(library, "pgbgw_host_expect");
	*(void **)&run_worker = dlsym(library, "pgbgw_host_run");
	*(void **)&warm = dlsym(library, "pgbgw_host_warm");
	if (!preload || !expect || !warm || !run_worker) {
		fprintf(stderr, "<3>%s is not a library of pg-bgw for PostgreSQL's modules\n", path);
		return 1;
	}
	if (preload(&host))
		return 1;
	expect(&(struct pgbgw_host_worker){ .flags = registered_flags });
	return 0;
}

static const char *variable(char **envp, const char *name)
{
	size_t n = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
			return *envp + n + 1;
	return "";
}

/* The last worker, so that a launcher learns what its spare has seen. */
static struct seen {
	int32_t flags;
	char library[sizeof ((struct pgbgw_host_entry *)0)->library];
	char function[sizeof ((struct pgbgw_host_entry *)0)->function];
} seen;
_Static_assert(sizeof seen <= 4096, "a pipe takes it at once");

void modules_see(const struct pgbgw_host_worker *w)
{
	if (seen.flags == w->flags && !strcmp(seen.library, w->library) && !strcmp(seen.function, w->function))
		return; /* nothing is written to */
	seen.flags = w->flags;
	snprintf(seen.library, sizeof seen.library, "%s", w->library);
	snprintf(seen.function, sizeof seen.function, "%s", w->function);
}

static struct pgbgw_host_worker seen_worker(void)
{
	return (struct pgbgw_host_worker){ .library = seen.library, .function = seen.function, .flags = seen.flags };
}

void modules_tell(int fd)
{
	call(SYS_write, fd, (long)&seen, sizeof seen, 0, 0);
}

int modules_learn(int fd)
{
	struct pgbgw_host_worker w;

	if (read(fd, &seen, sizeof seen) != sizeof seen)
		return 0;
	w = seen_worker();
	expect(&w);
	return 1;
}

int modules_can_move(void)
{
	return rseq_known;
}

void modules_tell_spare(int32_t pid)
{
	say(MESSAGE_SPARE, &pid, sizeof pid);
}

void modules_spare(void)
{
	struct pgbgw_host_worker w = seen_worker();

	moved = 1;
	if (rseq_size)
		rseq(RSEQ_OFF);
	call(SYS_prctl, PR_SET_NAME, (long)"pg-bgw-spare", 0, 0, 0);
	*(volatile char *)title = *title;
	warm(&w);
}

int modules_expect(struct request *r)
{
	char **argv = r->argv;

	for (int i = 0; i < MAIN_ARGUMENTS; i++)
		if (!argv[i])
			return EBADMSG;
	if (!expect)
		return EBADMSG;
	r->worker = (struct pgbgw_host_worker){
		.library = argv[MAIN_LIBRARY], .function = argv[MAIN_FUNCTION], .flags = atoi(argv[MAIN_FLAGS]),
		.start_time = atoi(argv[MAIN_START_TIME]), .restart_time = atoi(argv[MAIN_RESTART_TIME]),
	};
	r->name = variable(r->envp, "PGBGW_NAME");
	expect(&r->worker);
	return 0;
}

int modules_open(int socket, char **argv, int argc)
{
	static int count;
	int error;

	if (argc < MODULE_ARGUMENTS) {
		fprintf(stderr, "<3>pg-bgw-launcher: arguments are missing\n");
		return 2;
	}
	daemon_socket = socket;
	title = argv[-2];
	title_size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - title);
	know_thread();
	know_rseq();
	host.max_worker_processes = atoi(argv[MODULE_MAX]);
	host.library_path = strdup(argv[MODULE_PATH]);
	host.settings_file = *argv[MODULE_SETTINGS] ? strdup(argv[MODULE_SETTINGS]) : NULL;
	host.npreload = (size_t)(argc - MODULE_ARGUMENTS);
	host.preload = calloc(host.npreload + 1, sizeof *host.preload);
	host.registered = registered;
	host.loading = loading;
	host.context = &count;
	if (!host.library_path || !host.preload)
		return 1;
	for (size_t i = 0; i < host.npreload; i++)
		((const char **)(uintptr_t)host.preload)[i] = strdup(argv[MODULE_ARGUMENTS + i]);
	host.segment = atoi(argv[MODULE_SEGMENT]);
	host.address = (void *)(uintptr_t)strtoull(argv[MODULE_ADDRESS], NULL, 16);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a module that hangs does not see the daemon's end */
	error = open_release(argv[MODULE_RELEASE]);
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	if (!error)
		say(MESSAGE_READY, NULL, 0);
	return error;
}

/*
 * copy copies as much of a text as there is room for, without the C library: a
 * worker's start would be the first to need its pages.
 */
static void copy(char *to, size_t size, const char *from)
{
	while (--size && *from)
		*to++ = *from++;
	*to = 0;
}

/* The title that ps(1) shows is PostgreSQL's form of it (BGW-112). */
static void set_title(const char *name)
{
	static const char prefix[] = "pg-bgw: ";

	memset(title, 0, title_size);
	copy(title, title_size, prefix);
	if (title_size > sizeof prefix)
		copy(title + sizeof prefix - 1, title_size - (sizeof prefix - 1), name);
	call(SYS_prctl, PR_SET_NAME, (long)name, 0, 0, 0);
}

_Noreturn void modules_run(const struct request *r, int status)
{
	become_process();
	call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); /* as after exec; nothing of the launcher's is left but its modules */
	environ = r->envp;
	set_title(r->name);
	call(SYS_close, status, 0, 0, 0, 0); /* the daemon sees that it runs */
	spare_end();
	run_worker(&r->worker);
	_exit(127);
}
