/*
 * Variables of the server that a worker's code, or a macro in a header, reads.
 * Those that belong to one subject stand in its file.
 */
#include "internal.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "commands/extension.h"
#include "pgstat.h"
#include "postmaster/autovacuum.h"
#include "postmaster/postmaster.h"
#include "replication/walsender.h"
#include "storage/fd.h"
#include "storage/lock.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "access/twophase.h"

const char *progname = "pg-bgw";
int MyProcPid;
pg_time_t MyStartTime;
TimestampTz MyStartTimestamp;
pid_t PostmasterPid;
bool IsPostmasterEnvironment = true;
bool IsUnderPostmaster;
bool IsBinaryUpgrade;
BackendType MyBackendType = B_BG_WORKER;
ProcessingMode Mode = InitProcessing;
struct Port *MyProcPort;
const char *debug_query_string;
char *DataDir;
Oid MyDatabaseId = InvalidOid;
Oid MyDatabaseTableSpace = InvalidOid;
int max_worker_processes = 8;
int MaxConnections = 100;
int MaxBackends = 100;
int NBuffers = 16384;
int work_mem = 4096;
int maintenance_work_mem = 65536;
bool enableFsync = true;

/*
 * Parameters of the server that modules compute sizes with, in the launcher, where there
 * is no session to ask: the defaults of every release, in all processes alike.
 */
int max_prepared_xacts;
int max_locks_per_xact = 64;
int max_wal_senders = 10;
int autovacuum_max_workers = 3;
bool autovacuum_start_daemon = true;
int max_files_per_process = 1000;
int PostPortNumber = DEF_PGPORT; /* of the session's server, once there is one */
int StatementTimeout;
int LockTimeout;
int pgstat_track_activity_query_size = 1024;
int wal_segment_size = DEFAULT_XLOG_SEG_SIZE;

/* No extension is ever created here. */
bool creating_extension;
Oid CurrentExtensionObject = InvalidOid;

bool process_shared_preload_libraries_in_progress;
bool process_shared_preload_libraries_done;
bool process_shmem_requests_in_progress;
char *shared_preload_libraries_string;
char *session_preload_libraries_string;
char *local_preload_libraries_string;
shmem_request_hook_type shmem_request_hook;
shmem_startup_hook_type shmem_startup_hook;

#if PG_VERSION_NUM < 170000
bool IsBackgroundWorker;
#endif

/* Wait events are seen by nobody here; the inline reporters in headers write through this pointer. */
static uint32 wait_event;
uint32 *my_wait_event_info = &wait_event;
