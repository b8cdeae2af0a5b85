/* The launcher's parts and what they owe each other. */
#ifndef PGBGW_LAUNCHER_H
#define PGBGW_LAUNCHER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "../../contrib/libpgbgw/pg/host.h"
#include "protocol.h"

enum { UMASK_UNKNOWN = 01000 };

/* What a child inherits; a child sets only what differs. */
struct inherited {
	int oom_score_adj;
	int no_oom_wish; /* 0, which is no wish, is kept or cannot be had */
	int nice;
	int null;       /* /dev/null, or -1 to open it */
	uint32_t umask; /* UMASK_UNKNOWN where modules are loaded */
	int root;       /* the working directory is "/" */
};

/*
 * A parsed request. Everything points into the packet's buffer and into
 * pointers[], so it is valid as long as these are.
 */
struct request {
	uint32_t flags;
	uint32_t umask;
	int oom_score_adj;
	int nice;
	uint32_t uid, gid;
	int status;      /* write end of the status pipe */
	int cgroup;      /* directory, or -1 */
	int *files;      /* nfiles descriptors, in the order received */
	size_t nfiles;
	const uint16_t *targets;
	size_t ntargets;
	const uint32_t *groups;
	size_t ngroups;
	const struct request_rlimit *rlimits;
	size_t nrlimits;
	const char *dir;
	char **argv;     /* ends with NULL */
	char **envp;     /* ends with NULL */
	/* With FLAG_MODULE, from modules_expect on: what is run, and what it is called. */
	struct pgbgw_host_worker worker;
	const char *name;
};

/*
 * request_parse reads the packet of size bytes at data, which must be aligned
 * to 8, with the nfds descriptors at fds. It returns 0, or EBADMSG for a packet
 * that breaks a rule of protocol.h.
 */
int request_parse(void *data, size_t size, int *fds, size_t nfds, char *pointers[POINTERS_MAX + 2], struct request *out);

enum {
	FDS_MAX = FILES_MAX + 2,
	FDS_ROOM = FDS_MAX + 2, /* one too many is seen; even, so that CMSG_SPACE adds no room */
	STACK_SIZE = 32 * 1024, /* of a child before exec; it needs less than a tenth */
	SEATS = 16,
	SEAT_TAKEN = 1,
};

/*
 * What one request needs, and its child for as long as that shares the launcher's
 * memory. All of them are static, and memory that was never used is none.
 */
struct seat {
	_Atomic uint32_t child; /* SEAT_TAKEN while one shares it; the kernel sets 0 */
	int slow;               /* it was waited for, and had not come to an end */
	uint64_t number;        /* grows with each child that shares */
	struct request r;
	const struct inherited *in;
	int ruleset;
	int fds[FDS_ROOM];
	char *pointers[POINTERS_MAX + 2];
	_Alignas(16) char stack[STACK_SIZE];
	_Alignas(8) char packet[REQUEST_MAX];
};

/* seat_take returns a seat that no child uses. There is always one. */
struct seat *seat_take(void);

/*
 * seat_left says whether there is a free one other than this. It may wait for
 * milliseconds.
 */
int seat_left(const struct seat *than);

/*
 * reset_signals gives every signal its default action and empties the mask. Only
 * SIGPIPE is ignored, as for PostgreSQL's workers and systemd's services: a journal
 * that goes away costs a worker its words and not its life.
 */
void reset_signals(void);

/*
 * child_files makes r's files descriptors 0, 1, 2, ... and closes everything
 * else but *status, which it may move. null is /dev/null, or -1. 0 or an errno.
 */
int child_files(const struct request *r, int null, int *status);

/* report tells the daemon; a child that cannot has nobody left to tell. */
void report(int status, enum step step, int value);

/* needs_oom_score says whether a child of r has to write its oom_score_adj. */
int needs_oom_score(const struct request *r, const struct inherited *in);

/* must_copy says whether the child of r cannot share the launcher's memory. */
int must_copy(const struct request *r, const struct inherited *in);

/*
 * fork_worker makes the child of s->r, a child of this process's parent, which
 * never returns. With shares it uses our memory and has s until it executes its
 * program or dies; else it is a copy. Either way nobody waits for it. 0 or an
 * errno: then there is no child.
 */
int fork_worker(struct seat *s, const struct inherited *in, int ruleset, int shares);

struct clone_args;

/*
 * clone_sharing calls f(arg), which must not return, in a child on the stack of
 * args. It returns the child's number, or minus an errno; -ENOSYS on a machine it does not know.
 */
long clone_sharing(struct clone_args *args, void (*f)(void *), void *arg);

/* born is a child's life; arg is its seat. */
void born(void *arg);

/*
 * serve receives a request with the flags of recvmsg(2), and carries it out; it ends this
 * process at the end of the socket.
 */
void serve(struct seat *s, int flags);

/* child_run never returns: it executes the program of r or reports on r->status what failed. */
_Noreturn void child_run(const struct request *r, const struct inherited *in, int ruleset);

/*
 * modules_open loads what the arguments name (protocol.h) and tells the daemon
 * over the socket. 0, or the code to exit with; the reason is on standard error.
 */
int modules_open(int socket, char **argv, int argc);

/*
 * modules_expect is called before the fork of a child with FLAG_MODULE: what is found
 * out here, each child would find out anew, on pages that it has to get first. 0, or
 * EBADMSG where arguments are missing or no modules are loaded.
 */
int modules_expect(struct request *r);

/* modules_run is the end of a child with FLAG_MODULE; status is its status pipe. */
_Noreturn void modules_run(const struct request *r, int status);

/*
 * modules_see notes what is made. modules_tell writes the note to a pipe, and modules_learn
 * reads it there and expects such workers from now on; 0 if there was nothing.
 */
void modules_see(const struct pgbgw_host_worker *worker);
void modules_tell(int fd);
int modules_learn(int fd);

/* modules_can_move says whether a worker can run in the memory of a process that ends. */
int modules_can_move(void);

/* modules_spare makes the calling process, a copy of the launcher, a spare; modules_tell_spare tells the daemon of it. */
void modules_spare(void);
void modules_tell_spare(int32_t pid);

/* spare_open is called once by a launcher with modules. 0 or an errno. */
int spare_open(int socket);

/*
 * spare_wait returns when there is a request, or was, that no spare has received; meanwhile it
 * makes spares.
 */
void spare_wait(int socket);

/* spare_wanted says that the launcher makes the child of r, which a spare perhaps would have made faster. */
void spare_wanted(const struct request *r);

/* is_spare says whether this process is a spare. */
int is_spare(void);

/* spare_serves says whether this process is a spare that ends with the worker of r. */
int spare_serves(const struct request *r);

/*
 * spare_become makes the worker of s->r, or reports that it cannot, and never returns; socket is
 * closed first.
 */
_Noreturn void spare_become(struct seat *s, const struct inherited *in, int ruleset, int socket);

/* spare_end ends the spare whose memory this process, a worker, has; without one it does nothing. */
void spare_end(void);

/*
 * sandbox_ruleset makes a Landlock ruleset that forbids to change anything
 * below the directory at path, in all of /sys if that is there, or nothing for NULL. The descriptor, or -1 where the kernel cannot.
 */
int sandbox_ruleset(const char *path);

/* sandbox_apply puts the calling process under the ruleset for good. 0 or an errno. */
int sandbox_apply(int ruleset);

#endif
