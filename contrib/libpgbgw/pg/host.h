/*
 * Between pg-bgw-launcher and the library of one PostgreSQL major release.
 * The launcher is compiled once and opens the library that a worker's server
 * wants, so nothing here depends on PostgreSQL's headers.
 *
 * The launcher calls pgbgw_host_preload once and pgbgw_host_expect before each fork, and
 * each child calls pgbgw_host_run with the same worker. A copy that the launcher keeps for the
 * next worker calls pgbgw_host_warm, then pgbgw_host_expect. All memory that is passed belongs to the caller and lives
 * as long as the process.
 */
#ifndef PGBGW_HOST_H
#define PGBGW_HOST_H

#include <stddef.h>
#include <stdint.h>

#define PGBGW_HOST_VERSION 4

#define PGBGW_SETTINGS_SIZE (1 << 20)

/* A worker as a module registers it: BackgroundWorker with the newest release's sizes (BGW-001 to BGW-022). */
struct pgbgw_host_entry {
	char name[96];
	char type[96];
	int32_t flags;        /* bits of BGWORKER_* */
	int32_t start_time;   /* BgWorkerStartTime: 0 postmaster start, 1 consistent, 2 recovery finished */
	int32_t restart_time; /* seconds; -1 never */
	char library[1024];
	char function[96];
	uint64_t main_arg;
	unsigned char extra[128];
	int32_t notify_pid;
};

struct pgbgw_host {
	uint32_t version; /* PGBGW_HOST_VERSION */
	int max_worker_processes;
	const char *library_path; /* directories, colons between them; where a name without a slash is looked for */
	const char *const *preload; /* shared_preload_libraries, in order */
	size_t npreload;
	/*
	 * Values of configuration parameters, as `settings` in HCL gives them. A file
	 * of PGBGW_SETTINGS_SIZE bytes: the length of the text and the text's FNV-1a of 64 bits,
	 * each 8 bytes, little-endian; then the text, "name=value" with a NUL after each.
	 * It is opened once, by the launcher, and rewritten in place on a reload: whoever reads it at
	 * the start and by ProcessConfigFile reads again until the sum is right. NULL: none.
	 */
	const char *settings_file;
	/*
	 * Descriptor of the segment, and where it is mapped in every process of it;
	 * -1 where there is none, and what modules share is then the process's own.
	 */
	int segment;
	void *address;
	/* Called for each worker that _PG_init registers; 0, or an errno value that the module is told of. */
	int (*registered)(void *context, const struct pgbgw_host_entry *entry);
	/* Says which library is being loaded, before its code runs; NULL when none is any more. */
	void (*loading)(void *context, const char *library);
	void *context;
};

/* A worker. Who it is beside this, it learns from its environment and descriptors as every worker does. */
struct pgbgw_host_worker {
	const char *library, *function;
	int32_t flags, start_time, restart_time; /* as in pgbgw_host_entry */
	void *main_function; /* pgbgw_host_expect's: the function, if its library is loaded; else NULL */
};

/*
 * pgbgw_host_preload loads the libraries and runs their _PG_init and hooks. 0, or
 * -1 when one failed; the reason is on stderr.
 */
extern int pgbgw_host_preload(const struct pgbgw_host *host);

/*
 * pgbgw_host_expect is called before a worker is forked. It does what would cost the worker
 * more: finds its function, and loads what only workers with its flags need and all of them can
 * share. A worker without a library stands for all that have its flags.
 */
extern void pgbgw_host_expect(struct pgbgw_host_worker *worker);

/*
 * pgbgw_host_warm is called, before the worker is known, in a copy of the launcher whose memory will be a
 * worker's, perhaps of this one. It touches what each start touches.
 */
extern void pgbgw_host_warm(const struct pgbgw_host_worker *like);

/* pgbgw_host_run is the worker's life; it ends with the process. */
extern void pgbgw_host_run(const struct pgbgw_host_worker *worker) __attribute__((noreturn));

#endif
