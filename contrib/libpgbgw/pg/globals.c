/*
 * Variables of the server that a worker's code, or a macro in a header, reads.
 * Those that belong to one subject stand in its file.
 */
#include "internal.h"

#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"

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
