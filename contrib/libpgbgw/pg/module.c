/*
 * Loading modules: where a library is looked for, its magic block, _PG_init, and
 * the functions in it.
 */
#include "internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fmgr.h"

#include "interrupt.h"

struct library {
	struct library *next;
	void *handle;
	dev_t device;
	ino_t inode;
	char *path;
	/* What loaded_function has found last: most modules have one worker function, or few. */
	char function[BGW_MAXLEN];
	void *found;
	char name[]; /* by which it was first asked for */
};

static struct library *libraries;
char pkglib_path[MAXPGPATH];
char *Dynamic_library_path;

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* in_directory returns the file of name in a directory, with or without the suffix, or NULL. */
static char *in_directory(const char *directory, const char *name)
{
	char *path = psprintf("%s/%s", directory, name), *with;

	if (is_file(path))
		return path;
	with = psprintf("%s%s", path, DLSUFFIX);
	pfree(path);
	if (is_file(with))
		return with;
	pfree(with);
	return NULL;
}

/* directory_of is a directory of the path, n bytes long; $libdir stands at its beginning, as in PostgreSQL. */
static char *directory_of(const char *text, size_t n)
{
	static const char libdir[] = "$libdir";
	size_t skip = sizeof libdir - 1;

	if (n < skip || strncmp(text, libdir, skip) != 0 || (n > skip && text[skip] != '/'))
		return pnstrdup(text, n);
	return psprintf("%s%.*s", PKGLIBDIR_OF_RELEASE, (int)(n - skip), text + skip);
}

static char *in_path(const char *name)
{
	const char *p = the_host->library_path && *the_host->library_path ? the_host->library_path : "$libdir";

	while (*p) {
		size_t n = strcspn(p, ":");
		char *directory = directory_of(p, n);
		char *found = n ? in_directory(directory, name) : NULL;

		pfree(directory);
		if (found)
			return found;
		p += n + (p[n] == ':');
	}
	return NULL;
}

/* find returns a library's file as PostgreSQL would have it: $libdir is each directory of the path. */
static char *find(const char *name)
{
	char *found = NULL;

	if (strncmp(name, "$libdir/", 8) == 0)
		found = in_path(name + 8);
	else if (!strchr(name, '/'))
		found = in_path(name);
	else if (is_file(name))
		return pstrdup(name);
	else
		found = psprintf("%s%s", name, DLSUFFIX);
	return found ? found : pstrdup(name);
}

static void incompatible(const char *path, const char *detail)
{
	ereport(ERROR, (errmsg("incompatible library \"%s\": magic block mismatch", path), errdetail("%s", detail)));
}

/* check_magic refuses a library that was built for another major or another configuration. */
static void check_magic(const char *path, const Pg_magic_struct *theirs)
{
	static const Pg_magic_struct ours = PG_MODULE_MAGIC_DATA;
	int major = theirs->version / 100;

	if (theirs->len >= (int)offsetof(Pg_magic_struct, funcmaxargs) && theirs->version / 100 != ours.version / 100)
		ereport(ERROR, (errmsg("incompatible library \"%s\": version mismatch", path),
				errdetail("Server is version %d, library is version %d.", ours.version / 100, major)));
	if (theirs->len == ours.len && memcmp(theirs, &ours, sizeof ours) == 0)
		return;
	if (theirs->len != ours.len)
		incompatible(path, "Magic block has unexpected length or padding difference.");
	if (strcmp(theirs->abi_extra, ours.abi_extra) != 0)
		incompatible(path, psprintf("Server has ABI \"%s\", library has \"%s\".", ours.abi_extra, theirs->abi_extra));
	incompatible(path, psprintf("Server and library have FUNC_MAX_ARGS = %d and %d, INDEX_MAX_KEYS = %d and %d, NAMEDATALEN = %d and %d.",
				    ours.funcmaxargs, theirs->funcmaxargs, ours.indexmaxkeys, theirs->indexmaxkeys,
				    ours.namedatalen, theirs->namedatalen));
}

static void initialise(void *handle, const char *path)
{
	PGModuleMagicFunction magic = (PGModuleMagicFunction)dlsym(handle, PG_MAGIC_FUNCTION_NAME_STRING);
	void (*init)(void);

	if (!magic) {
		dlclose(handle);
		ereport(ERROR, (errmsg("incompatible library \"%s\": missing magic block", path),
				errhint("Extension libraries are required to use the PG_MODULE_MAGIC macro.")));
	}
	check_magic(path, magic());
	init = (void (*)(void))dlsym(handle, "_PG_init");
	if (init)
		init();
}

static struct library *known(const struct stat *st)
{
	for (struct library *l = libraries; l; l = l->next)
		if (l->device == st->st_dev && l->inode == st->st_ino)
			return l;
	return NULL;
}

/* Who is at fault when this process dies; a worker's end is seen by its own exit. */
static void say_loading(const char *path)
{
	int saved = errno;

	if (the_host->loading && !the_worker)
		the_host->loading(the_host->context, path);
	errno = saved;
}

/* As in PostgreSQL, a file that is loaded under this name is not looked for again, and its successor there not seen. */
static struct library *named(const char *name)
{
	for (struct library *l = libraries; l; l = l->next)
		if (strcmp(l->name, name) == 0 || strcmp(l->path, name) == 0)
			return l;
	return NULL;
}

/*
 * open_library loads a module's file. The server is linked with the mathematical library, so modules use
 * it without naming it; here it is loaded for the first that does, since each part of a
 * library that is mapped makes every fork dearer.
 */
static void *open_library(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);

	if (!handle && dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL))
		handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	return handle;
}

static struct library *load(const char *name)
{
	struct library *l = named(name);
	struct stat st;
	void *handle;
	char *path;

	if (l)
		return l;
	path = find(name);
	if (stat(path, &st) < 0) {
		say_loading(path);
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not access file \"%s\": %m", path)));
	}
	l = known(&st);
	if (l)
		return l;
	say_loading(path);
	handle = open_library(path);
	if (!handle)
		ereport(ERROR, (errmsg("could not load library \"%s\": %s", path, dlerror()),
				errhint("\"pg-bgwctl module check\" lists what a module needs and has not here.")));
	interrupt_module(handle);
	initialise(handle, path);
	l = MemoryContextAllocZero(TopMemoryContext, sizeof *l + strlen(name) + 1);
	l->handle = handle;
	l->device = st.st_dev;
	l->inode = st.st_ino;
	l->path = MemoryContextStrdup(TopMemoryContext, path);
	strcpy(l->name, name);
	l->next = libraries;
	libraries = l;
	say_loading(NULL);
	return l;
}

void load_file(const char *filename, bool restricted)
{
	load(filename);
}

void *load_external_function(const char *filename, const char *funcname, bool signalNotFound, void **filehandle)
{
	struct library *l = load(filename);
	void *f = dlsym(l->handle, funcname);

	if (filehandle)
		*filehandle = l->handle;
	if (!f && signalNotFound)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("could not find function \"%s\" in file \"%s\"", funcname, l->path)));
	return f;
}

void *lookup_external_function(void *filehandle, const char *funcname)
{
	return dlsym(filehandle, funcname);
}

void **find_rendezvous_variable(const char *varName)
{
	struct variable {
		struct variable *next;
		void *value;
		char name[];
	} *v;
	static struct variable *variables;

	for (v = variables; v; v = v->next)
		if (strcmp(v->name, varName) == 0)
			return &v->value;
	v = MemoryContextAllocZero(TopMemoryContext, sizeof *v + strlen(varName) + 1);
	strcpy(v->name, varName);
	v->next = variables;
	variables = v;
	return &v->value;
}

/* "postgres" names the server's own functions, which do not exist here. */
static bool is_server(const char *library)
{
	return strcmp(library, "postgres") == 0;
}

void *loaded_function(const char *library, const char *function)
{
	struct library *l = is_server(library) ? NULL : named(library);

	if (!l)
		return NULL;
	if (!l->found || strcmp(l->function, function) != 0) {
		l->found = strlen(function) < sizeof l->function ? dlsym(l->handle, function) : NULL;
		strlcpy(l->function, function, sizeof l->function);
	}
	return l->found;
}

void *module_function(const char *library, const char *function)
{
	if (is_server(library))
		ereport(ERROR, (errmsg("internal function \"%s\" not found", function),
				errdetail("Only the server itself has the functions of library \"postgres\".")));
	return load_external_function(library, function, true, NULL);
}
