/*
 * _PG_init: parameters of each kind, and the registration of the workers.
 */
#include "bgw_spi.h"

#include <limits.h>

#include "utils/guc.h"

PG_MODULE_MAGIC;

void _PG_init(void);

int bgw_spi_naptime;
char *bgw_spi_database;
char *bgw_spi_role;
bool bgw_spi_flag;
int bgw_spi_size;
double bgw_spi_ratio;
int bgw_spi_color;
int bgw_spi_checked;
int bgw_spi_assigned;
static int workers;
static bool probe, shared, pipeline;

static const struct config_enum_entry colors[] = {
	{ "red", 1, false }, { "green", 2, false }, { "grey", 3, true }, { NULL, 0, false },
};

static bool check_even(int *newval, void **extra, GucSource source)
{
	if (*newval % 2 == 0)
		return true;
	GUC_check_errdetail("%d is odd.", *newval);
	return false;
}

static void assign_even(int newval, void *extra)
{
	bgw_spi_assigned = newval;
}

static const char *show_even(void)
{
	static char text[32];

	snprintf(text, sizeof text, "even %d", bgw_spi_checked);
	return text;
}

static void define_parameters(void)
{
	DefineCustomIntVariable("bgw_spi.naptime", "Pause between two sums.", NULL, &bgw_spi_naptime, 10, 1, INT_MAX / 1000,
				PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("bgw_spi.flag", "A truth value.", NULL, &bgw_spi_flag, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("bgw_spi.size", "A size.", NULL, &bgw_spi_size, 2048, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomRealVariable("bgw_spi.ratio", "A ratio.", NULL, &bgw_spi_ratio, 0.5, 0, 1, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("bgw_spi.color", "A color.", NULL, &bgw_spi_color, 1, colors, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("bgw_spi.checked", "An even number.", NULL, &bgw_spi_checked, 4, 0, 100, PGC_SIGHUP, 0,
				check_even, assign_even, show_even);
}

static void define_start_parameters(void)
{
	DefineCustomStringVariable("bgw_spi.database", "Where to sum.", NULL, &bgw_spi_database, "postgres", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("bgw_spi.role", "Who sums.", NULL, &bgw_spi_role, NULL, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("bgw_spi.workers", "How many sum.", NULL, &workers, 2, 0, 100, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("bgw_spi.shared", "Whether the probe of shared memory runs.", NULL, &shared, false, PGC_POSTMASTER, 0,
				 NULL, NULL, NULL);
	DefineCustomBoolVariable("bgw_spi.pipeline", "Whether the probe of workers in a row runs.", NULL, &pipeline, false, PGC_POSTMASTER, 0,
				 NULL, NULL, NULL);
	DefineCustomBoolVariable("bgw_spi.probe", "Whether the probe runs.", NULL, &probe, false, PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void fill(BackgroundWorker *w, const char *name, const char *function)
{
	memset(w, 0, sizeof *w);
	w->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	w->bgw_start_time = BgWorkerStart_RecoveryFinished;
	w->bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(w->bgw_name, BGW_MAXLEN, "%s", name);
	snprintf(w->bgw_type, BGW_MAXLEN, "bgw_spi");
	snprintf(w->bgw_library_name, sizeof w->bgw_library_name, "bgw_spi");
	snprintf(w->bgw_function_name, BGW_MAXLEN, "%s", function);
}

void _PG_init(void)
{
	BackgroundWorker w;

	define_parameters();
	if (!process_shared_preload_libraries_in_progress)
		return;
	define_start_parameters();
	MarkGUCPrefixReserved("bgw_spi");
	request_shared();
	if (shared) {
		fill(&w, "bgw_spi shared", "bgw_spi_shared_main");
		RegisterBackgroundWorker(&w);
	}
	if (pipeline) {
		fill(&w, "bgw_spi pipeline", "bgw_spi_pipeline_main");
		RegisterBackgroundWorker(&w);
	}
	if (probe) {
		fill(&w, "bgw_spi probe", "bgw_spi_probe_main");
		w.bgw_main_arg = UInt64GetDatum(UINT64CONST(0x1122334455667788));
		strcpy(w.bgw_extra, "what the worker is given");
		RegisterBackgroundWorker(&w);
	}
	for (int i = 1; i <= workers; i++) {
		fill(&w, psprintf("bgw_spi sum %d", i), "bgw_spi_sum_main");
		w.bgw_main_arg = Int32GetDatum(i);
		RegisterBackgroundWorker(&w);
	}
}
