/*
 * Loading libpq.
 */
#include "internal.h"

#include <dlfcn.h>

#include "libpq.h"

struct libpq the_libpq;

#define NAME(name) #name,
static const char *const names[] = { LIBPQ_FUNCTIONS(NAME) };

StaticAssertDecl(sizeof names == sizeof the_libpq, "a pointer for each name");

/* try is libpq_load; it returns what is missing, or NULL. */
static const char *try(void)
{
	void **function = (void **)&the_libpq, *library;

	if (function[lengthof(names) - 1])
		return NULL;
	library = dlopen("libpq.so.5", RTLD_NOW | RTLD_GLOBAL);
	if (!library)
		return dlerror();
	for (size_t i = 0; i < lengthof(names); i++) /* the last one last: it says that all are there */
		if (!(function[i] = dlsym(library, names[i])))
			return names[i];
	return NULL;
}

void libpq_load(void)
{
	const char *missing = try();

	if (missing)
		elog(FATAL, "cannot load libpq: %s", missing);
}

void libpq_share(void)
{
	(void)try();
}
