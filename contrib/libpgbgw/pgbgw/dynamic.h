/* Segments that are made at run time: a part of pgbgw.h, which programs include. */
#ifndef PGBGW_PARTS
#error "include <pgbgw.h>, which includes this"
#endif

/* ---- Dynamic segments (dsm) ---- */

/*
 * Memory that was made at run time, as this process has it: until it is detached,
 * or this process detaches from its segment. What can lie in an area can lie in
 * it. It has no fixed address: offsets go into it, never pointers.
 */
typedef struct pgbgw_dynamic pgbgw_dynamic;

/* Makes one of size bytes, all 0. -EDQUOT at a limit, -ENOMEM. */
PGBGW_API int pgbgw_dynamic_create(pgbgw_worker *w, size_t size, pgbgw_dynamic **d);

/* -ENOENT if there is none (any more), -EEXIST if this process has it. */
PGBGW_API int pgbgw_dynamic_attach(pgbgw_worker *w, uint32_t handle, pgbgw_dynamic **d);

/* The one of that handle if this process has it, or NULL (dsm_find_mapping). */
PGBGW_API pgbgw_dynamic *pgbgw_dynamic_find(pgbgw_worker *w, uint32_t handle);

PGBGW_API uint32_t pgbgw_dynamic_handle(const pgbgw_dynamic *d); /* even, and not 0 */
PGBGW_API void *pgbgw_dynamic_address(const pgbgw_dynamic *d);
PGBGW_API size_t pgbgw_dynamic_size(const pgbgw_dynamic *d);

/* Keeps it even if no process has it; -EEXIST if it is pinned already. */
PGBGW_API int pgbgw_dynamic_pin(pgbgw_dynamic *d);
PGBGW_API int pgbgw_dynamic_unpin(pgbgw_worker *w, uint32_t handle);

/* Has f called at the detach, the last one first, while the memory is still there. */
PGBGW_API int pgbgw_dynamic_on_detach(pgbgw_dynamic *d, void (*f)(pgbgw_dynamic *d, void *arg), void *arg);
PGBGW_API int pgbgw_dynamic_cancel_on_detach(pgbgw_dynamic *d, void (*f)(pgbgw_dynamic *d, void *arg), void *arg);

/* Calls the callbacks, gives the memory back and frees d. */
PGBGW_API int pgbgw_dynamic_detach(pgbgw_dynamic *d);

/*
 * The dynamic segment of a name, 1 to 63 bytes of UTF-8 (GetNamedDSMSegment): 0
 * for the one who made it and whose init filled it, 1 for all others, who wait
 * for that. If init returns a negative errno, or its process ends, the next one
 * begins anew. init may be NULL. It is pinned. -EINVAL if it has another size.
 */
PGBGW_API int pgbgw_dynamic_named(pgbgw_worker *w, const char *name, size_t size, int (*init)(void *memory, size_t size, void *arg),
				  void *arg, pgbgw_dynamic **d);
