/*
 * What goes over the socket between units/launch and the launcher. Both ends
 * are on one machine and installed together: native byte order, no versions
 * beyond the magic number, which changes with the layout. The Go side is
 * units/launch/wire.go.
 *
 * One packet is one request. It carries descriptors in this order:
 *
 *	status pipe (write end), [cgroup directory], files ...
 *
 * and these bytes:
 *
 *	struct request_head
 *	struct request_rlimit	[nrlimits]
 *	uint32_t groups		[ngroups]
 *	uint16_t targets	[ntargets]	descriptor i is file targets[i], or NO_FILE
 *	char strings		[]		dir, argc arguments, envc variables, each with its NUL
 *
 * Nothing comes back over the socket for a request. Every request brings its own status pipe,
 * and what is written there are struct reports:
 *
 *	{ STEP_NONE, pid }	by the child, its first act; with FLAG_COPY by the launcher, too
 *	{ step, errno }		by the child, or by the launcher if there is none
 *
 * End of file ends the start: after a pid alone, the program has been executed
 * (or the child was killed before); after nothing at all, the launcher died
 * before it forked and the request may be sent to another one.
 *
 * The pid is exact and not a guess about numbers: the child is one of the
 * daemon's own, which it has not waited for, so the number cannot be in use again.
 */
#ifndef PGBGW_LAUNCHER_PROTOCOL_H
#define PGBGW_LAUNCHER_PROTOCOL_H

#include <stdint.h>

enum {
	REQUEST_MAGIC = 0x31424750, /* "PGB1" */
	REQUEST_MAX = 128 * 1024,   /* bytes of a packet; fits the default net.core.wmem_default */
	FILES_MAX = 240,            /* SCM_MAX_FD is 253 */
	POINTERS_MAX = 16384,       /* arguments and variables together */
	GROUPS_MAX = 1024,
	RLIMITS_MAX = 64,
	NO_FILE = 0xffff,           /* a target that is /dev/null */
};

enum request_flag {
	FLAG_CGROUP = 1,
	FLAG_CREDENTIAL = 2,
	FLAG_NO_NEW_PRIVS = 4,
	FLAG_READ_ONLY_CGROUPS = 8,
	FLAG_COPY = 16, /* never share the launcher's memory: the cgroup limits memory */
	FLAG_MODULE = 32, /* no exec: the arguments are those of enum main_argument */
	FLAGS_ALL = 63,
};

/* Arguments of a request with FLAG_MODULE; numbers are decimal. */
enum main_argument {
	MAIN_LIBRARY,
	MAIN_FUNCTION,
	MAIN_FLAGS,
	MAIN_START_TIME,
	MAIN_RESTART_TIME,
	MAIN_ARGUMENTS,
};

/*
 * A launcher with modules. Its arguments after the directory are these, and then
 * the libraries of shared_preload_libraries.
 */
enum {
	MODULE_RELEASE,  /* file of the library of one PostgreSQL release */
	MODULE_PATH,     /* where modules are looked for */
	MODULE_SETTINGS, /* file of the parameters' values, or empty */
	MODULE_MAX,      /* max_worker_processes */
	MODULE_SEGMENT,  /* descriptor of the memory that its workers share, or -1 */
	MODULE_ADDRESS,  /* where it is mapped, hexadecimal */
	MODULE_ARGUMENTS,
};

/* What it sends to the daemon, each a packet: a head and as many bytes as it says. */
struct message_head {
	uint32_t kind;
	uint32_t size;
};

enum message_kind {
	MESSAGE_REGISTERED = 1, /* struct pgbgw_host_entry: _PG_init registered a worker */
	MESSAGE_LOADING,        /* path of the library whose code runs next; empty: none any more */
	MESSAGE_READY,          /* all are loaded; requests are served from now on */
	MESSAGE_SPARE,          /* int32_t, number of the launcher's next spare, another child of the daemon (spare.c) */
};

/* The values are those of units/launch.Step. */
enum step {
	STEP_NONE,
	STEP_REQUEST,
	STEP_RECEIVE,
	STEP_CLONE,
	STEP_SESSION,
	STEP_FILES,
	STEP_OOM_SCORE,
	STEP_NICE,
	STEP_RLIMIT,
	STEP_CREDENTIAL,
	STEP_PRIVILEGES,
	STEP_SANDBOX,
	STEP_DIR,
	STEP_EXEC,
};

struct request_head {
	uint32_t magic;
	uint32_t size; /* of the whole packet */
	uint32_t flags;
	uint32_t umask;
	int32_t oom_score_adj;
	int32_t nice;
	uint32_t uid, gid; /* with FLAG_CREDENTIAL */
	uint32_t argc, envc;
	uint16_t nfiles, ntargets, ngroups, nrlimits;
};

struct request_rlimit {
	uint32_t resource, unused;
	uint64_t soft, hard;
};

struct report {
	uint32_t step;
	int32_t value; /* pid with STEP_NONE, else errno */
};

_Static_assert(sizeof(struct request_head) == 48, "request_head");
_Static_assert(sizeof(struct request_rlimit) == 24, "request_rlimit");
_Static_assert(sizeof(struct report) == 8, "report");

#endif
