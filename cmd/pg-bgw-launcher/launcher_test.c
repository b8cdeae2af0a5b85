/*
 * Tests of the launcher's parts: the parser with good and bad packets, the
 * shuffling of descriptors, signals, both ways to make a child, the seats.
 * Meant for -fsanitize=address,undefined.
 *
 *	launcher_test                  runs them; 0 if all hold
 *	launcher_test parse N < file   prints the packet in file, received with N
 *	                               descriptors, for the Go side to compare
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

static int failures;

#define CHECK(cond)                                                        \
	do {                                                               \
		if (!(cond)) {                                             \
			failures++;                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
		}                                                          \
	} while (0)

static char *pointers[POINTERS_MAX + 2];

/* What main.c has: a spare is made by the launcher's program only. */
void serve(struct seat *s, int flags)
{
	(void)s, (void)flags;
	abort();
}

struct packet {
	struct request_head head;
	char rest[512];
	size_t size;
};

static void add(struct packet *p, const void *data, size_t n)
{
	memcpy(p->rest + p->size - sizeof p->head, data, n);
	p->size += n;
	p->head.size = (uint32_t)p->size;
}

static struct packet good(void)
{
	static const char strings[] = "/dir\0/bin/prog\0arg\0A=b\0";
	struct request_rlimit limit = { 7, 0, 10, 20 };
	uint32_t group = 99;
	uint16_t targets[] = { 1, NO_FILE, 0, 1 };
	struct packet p = { .head = { .magic = REQUEST_MAGIC, .umask = 077, .argc = 2, .envc = 1,
		.nfiles = 2, .ntargets = 4, .ngroups = 1, .nrlimits = 1 }, .size = sizeof p.head };

	add(&p, &limit, sizeof limit);
	add(&p, &group, sizeof group);
	add(&p, targets, sizeof targets);
	add(&p, strings, sizeof strings - 1);
	return p;
}

/* parse copies the packet to memory of exactly its size, so that any read beyond it is seen. */
static int parse(const struct packet *p, size_t size, size_t nfds, struct request *r, void **copy)
{
	static int fds[FILES_MAX + 3];

	*copy = malloc(size ? size : 1);
	memcpy(*copy, p, size);
	return request_parse(*copy, size, fds, nfds, pointers, r);
}

static void test_good(void)
{
	struct packet p = good();
	struct request r;
	void *copy;

	CHECK(parse(&p, p.size, 3, &r, &copy) == 0);
	CHECK(!strcmp(r.dir, "/dir") && !strcmp(r.argv[0], "/bin/prog") && !strcmp(r.argv[1], "arg") && !r.argv[2]);
	CHECK(!strcmp(r.envp[0], "A=b") && !r.envp[1]);
	CHECK(r.groups[0] == 99 && r.rlimits[0].hard == 20 && r.targets[1] == NO_FILE && r.cgroup == -1);
	free(copy);
}

static void test_bad(void)
{
	struct packet p = good();
	struct request r;
	void *copy;
	unsigned seed = 1;

	for (size_t n = 0; n < p.size; n++) { /* cut short, with the size as it was and as it is */
		CHECK(parse(&p, n, 3, &r, &copy) == EBADMSG);
		free(copy);
		p.head.size = (uint32_t)n;
		CHECK(parse(&p, n, 3, &r, &copy) == EBADMSG);
		free(copy);
		p = good();
	}
	for (size_t nfds = 0; nfds < FILES_MAX + 3; nfds++) {
		CHECK(parse(&p, p.size, nfds, &r, &copy) == (nfds == 3 ? 0 : EBADMSG));
		free(copy);
	}
	for (int i = 0; i < 200000; i++) { /* any bytes changed: an answer, whatever it is */
		p = good();
		for (int k = 0; k < 1 + i % 3; k++) {
			seed = seed * 1103515245 + 12345;
			((unsigned char *)&p)[(seed >> 8) % p.size] = (unsigned char)(seed >> 20);
		}
		if (parse(&p, p.size, 3, &r, &copy) == 0)
			CHECK(r.argv[0] && r.ntargets <= FILES_MAX);
		free(copy);
	}
}

/* inode tells two open files apart. */
static unsigned long inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (unsigned long)st.st_ino;
}

/* In a child: 8 pipes at descriptors in the worst order, each to be another's place. */
static int shuffle(void)
{
	int files[8], status = 5, pair[2];
	uint16_t targets[9];
	unsigned long was[8];
	struct request r = { .files = files, .nfiles = 8, .targets = targets, .ntargets = 9 };

	for (int i = 0; i < 8; i++) {
		files[i] = i < 5 ? i : i + 1; /* 0 1 2 3 4 6 7 8, the status pipe is 5 */
		if (pipe(pair) || dup2(pair[0], 100 + i) < 0)
			return 1;
	}
	for (int i = 0; i < 8; i++) {
		dup2(100 + i, files[i]);
		was[i] = inode(files[i]);
		targets[i] = (uint16_t)(7 - i);
	}
	targets[8] = NO_FILE;
	if (pipe(pair) || dup2(pair[1], status) < 0)
		return 2;
	unsigned long status_was = inode(status);
	if (child_files(&r, -1, &status))
		return 3;
	for (int i = 0; i < 8; i++)
		if (inode(i) != was[7 - i] || (fcntl(i, F_GETFD) & FD_CLOEXEC))
			return 10 + i;
	if (inode(status) != status_was || !(fcntl(status, F_GETFD) & FD_CLOEXEC))
		return 4;
	for (int fd = 9; fd < 1024; fd++)
		if (fd != status && fcntl(fd, F_GETFD) >= 0)
			return 5;
	return 0;
}

/* In a child: every signal ignored and blocked before. */
static int signals(void)
{
	sigset_t all, now;

	for (int s = 1; s < NSIG; s++)
		signal(s, s == SIGPIPE ? SIG_DFL : SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	reset_signals();
	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int s = 1; s < NSIG; s++) {
		struct sigaction a;

		if (sigismember(&now, s) == 1)
			return s;
		if (!sigaction(s, NULL, &a) && a.sa_handler != (s == SIGPIPE ? SIG_IGN : SIG_DFL))
			return s;
	}
	return 0;
}

/* Who must not share memory, and who may. */
static void test_must_copy(void)
{
	struct inherited in = { .oom_score_adj = 5, .no_oom_wish = 1 };
	struct request r = { .flags = FLAG_CGROUP | FLAG_NO_NEW_PRIVS | FLAG_READ_ONLY_CGROUPS, .nice = 3, .umask = 077 };

	CHECK(!must_copy(&r, &in)); /* 0 is no wish */
	r.oom_score_adj = 5;
	CHECK(!must_copy(&r, &in));
	r.oom_score_adj = 6;
	CHECK(must_copy(&r, &in));
	r.oom_score_adj = 0;
	in.no_oom_wish = 0;
	CHECK(must_copy(&r, &in));
	in.no_oom_wish = 1;
	r.flags |= FLAG_CREDENTIAL;
	CHECK(must_copy(&r, &in));
	r.flags ^= FLAG_CREDENTIAL | FLAG_COPY;
	CHECK(must_copy(&r, &in));
}

/* In a child, whose parent is the parent of what it makes: one start, whose step is to be step. */
static int fork_one(int shares, char *program, const char *dir, enum step step)
{
	static struct seat *used;
	char *argv[] = { program, NULL }, *envp[] = { NULL };
	int pair[2], files[1] = { 0 }, error;
	struct inherited in = { .no_oom_wish = 1, .null = -1 };
	struct report reports[3] = { 0 }; /* one more than come: the end of file is read too */
	uint16_t targets[] = { NO_FILE };
	struct seat *s = seat_take();
	ssize_t n;

	if (used && s != used)
		return 4; /* the child before has left the seat that it had */
	used = s;
	if (pipe2(pair, O_CLOEXEC))
		return 1;
	s->r = (struct request){ .status = pair[1], .cgroup = -1, .files = files, .targets = targets, .ntargets = 1,
		.umask = 022, .dir = dir, .argv = argv, .envp = envp };
	error = fork_worker(s, &in, -1, shares);
	if (error || fcntl(pair[1], F_GETFD) < 0) /* the child has closed its own copy */
		return 2;
	close(pair[1]);
	errno = 0;
	for (size_t at = 0; (n = read(pair[0], (char *)reports + at, sizeof reports - at)) > 0;)
		at += (size_t)n;
	if (errno) /* the child's errors are not ours */
		return 5;
	close(pair[0]);
	if (reports[0].step != STEP_NONE || reports[0].value <= 1)
		return 3;
	return reports[1].step == step ? 0 : 10 + (int)reports[1].step;
}

static int fork_both(void)
{
	int code = 0;

	for (int i = 0; i < 100 && !code; i++) {
		int shares = i % 2;

#ifdef __SANITIZE_ADDRESS__
		shares = 0; /* the sanitizer knows no stack of our own making */
#endif
		code = fork_one(shares, "/bin/true", "/", STEP_NONE);
		if (!code)
			code = fork_one(shares, "/nonexistent", "/", STEP_EXEC);
		if (!code)
			code = fork_one(shares, "/bin/true", "/nonexistent", STEP_DIR);
	}
	return code;
}

/* Without a module's worker nothing is a spare's. */
static void test_no_spare(void)
{
	struct request r = { .flags = FLAG_MODULE };

	CHECK(!is_spare() && !spare_serves(&r));
	spare_end(); /* this process is nobody's worker, and lives */
}

/* In a child: children that hang leave a seat for the next request, and are waited for once. */
static int seats_run_out(void)
{
	struct seat *taken[SEATS - 1], *last;

	for (uint64_t i = 0; i < SEATS - 1; i++) {
		taken[i] = seat_take();
		if (!seat_left(taken[i]))
			return 1;
		taken[i]->number = i;
		taken[i]->slow = 0;
		atomic_store(&taken[i]->child, SEAT_TAKEN);
	}
	last = seat_take();
	if (atomic_load(&last->child) || seat_left(last))
		return 2;
	for (int i = 0; i < SEATS - 1; i++)
		if (taken[i]->slow != 1)
			return 3;
	atomic_store(&taken[5]->child, 0);
	if (!seat_left(last) || seat_take() == last)
		return 4;
	return 0;
}

static void in_child(int (*test)(void), const char *name)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(test());
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		failures++;
		fprintf(stderr, "%s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "exit code",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
}

static void print_list(const char *name, char **list)
{
	for (; *list; list++)
		printf("%s %s\n", name, *list);
}

static int print_packet(int nfds)
{
	static _Alignas(8) char data[REQUEST_MAX];
	static int fds[FILES_MAX + 3];
	struct request r;
	size_t size = fread(data, 1, sizeof data, stdin);
	int error = request_parse(data, size, fds, (size_t)nfds, pointers, &r);

	if (error) {
		printf("error %s\n", strerror(error));
		return 1;
	}
	printf("flags %u umask %o oom %d nice %d uid %u gid %u files %zu\n", r.flags, r.umask, r.oom_score_adj,
	       r.nice, r.uid, r.gid, r.nfiles);
	for (size_t i = 0; i < r.nrlimits; i++)
		printf("rlimit %u %llu %llu\n", r.rlimits[i].resource, (unsigned long long)r.rlimits[i].soft,
		       (unsigned long long)r.rlimits[i].hard);
	for (size_t i = 0; i < r.ngroups; i++)
		printf("group %u\n", r.groups[i]);
	for (size_t i = 0; i < r.ntargets; i++)
		printf("target %u\n", r.targets[i]);
	printf("dir %s\n", r.dir);
	print_list("arg", r.argv);
	print_list("env", r.envp);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "parse"))
		return print_packet(atoi(argv[2]));
	test_good();
	test_bad();
	in_child(shuffle, "shuffle");
	in_child(signals, "signals");
	in_child(seats_run_out, "seats_run_out");
	test_must_copy();
	test_no_spare();
	in_child(fork_both, "fork_both");
	return failures != 0;
}
