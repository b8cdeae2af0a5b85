/*
 * Dynamic segments: memfds that the supervisor makes and passes. When one is
 * detached zeros that nobody shares are left in its place for a while: a thread
 * that still sleeps at a queue there finds no fault, and changes nothing.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

struct callback {
	struct callback *next;
	void (*f)(pgbgw_dynamic *, void *);
	void *arg;
};

struct pgbgw_dynamic {
	struct pgbgw_dynamic *next;
	pgbgw_worker *w;
	uint32_t handle;
	uint64_t size;   /* bytes that were asked for */
	uint64_t mapped; /* whole pages */
	unsigned char *base;
	char name[PGI_MAX_DYNAMIC + 1]; /* "": none */
	struct callback *callbacks; /* the newest first */
};

static pgbgw_dynamic *find(pgbgw_worker *w, uint32_t handle, const char *name)
{
	pgbgw_dynamic *d;

	pthread_mutex_lock(&w->dynamic_mu);
	for (d = w->dynamics; d; d = d->next)
		if (name ? strcmp(d->name, name) == 0 : d->handle == handle)
			break;
	pthread_mutex_unlock(&w->dynamic_mu);
	return d;
}

pgbgw_dynamic *pgbgw_dynamic_find(pgbgw_worker *w, uint32_t handle) { return pgi_usable(w) == 0 ? find(w, handle, NULL) : NULL; }
uint32_t pgbgw_dynamic_handle(const pgbgw_dynamic *d) { return d->handle; }
void *pgbgw_dynamic_address(const pgbgw_dynamic *d) { return d->base; }
size_t pgbgw_dynamic_size(const pgbgw_dynamic *d) { return (size_t)d->size; }

/* Puts zeros in its place, and forgets those of long ago. */
static void hollow(pgbgw_worker *w, const pgbgw_dynamic *d)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	struct pgi_hollow *place;

	(void)mmap(d->base, (size_t)d->mapped, PROT_READ | PROT_WRITE, flags, -1, 0);
	pthread_mutex_lock(&w->dynamic_mu);
	place = &w->hollows[w->next_hollow++ % PGI_MAX_HOLLOWS];
	if (place->base)
		(void)munmap(place->base, place->n);
	*place = (struct pgi_hollow){ d->base, (size_t)d->mapped };
	pthread_mutex_unlock(&w->dynamic_mu);
}

/* Calls the callbacks and gives the memory back; d is in no list any more. */
static void leave(pgbgw_dynamic *d)
{
	struct callback *c;

	while ((c = d->callbacks)) {
		d->callbacks = c->next;
		c->f(d, c->arg);
		free(c);
	}
	pgi_abandon_within(d->w, d->base, (size_t)d->mapped);
	hollow(d->w, d);
	free(d);
}

void pgi_dynamics_leave(pgbgw_worker *w)
{
	pgbgw_dynamic *d;

	for (;;) {
		pthread_mutex_lock(&w->dynamic_mu);
		if ((d = w->dynamics))
			w->dynamics = d->next;
		pthread_mutex_unlock(&w->dynamic_mu);
		if (!d)
			return;
		leave(d);
	}
}

static int tell(pgbgw_worker *w, uint16_t type, uint32_t handle, bool done)
{
	struct pgi_record request = { .type = type, .segment = handle, .done = done };

	return pgi_call(w, &request, NULL, pgi_now() + PGI_CALL_NS, PGI_DEAF);
}

static int map(const struct pgi_answer *a, pgbgw_dynamic *d)
{
	int r;

	if (a->fd < 0)
		return pgi_fail(EPROTO, "the supervisor passed no memory");
	if ((r = pgi_sealed_size(a->fd, &d->mapped)) < 0)
		return r;
	if (a->size == 0 || a->size > d->mapped)
		return pgi_fail(EUCLEAN, "the dynamic segment has %llu bytes of %llu", (unsigned long long)a->size, (unsigned long long)d->mapped);
	d->size = a->size;
	return pgi_map(a->fd, d->mapped, PROT_READ | PROT_WRITE, &d->base);
}

static int add(pgbgw_worker *w, pgbgw_dynamic *d)
{
	bool inside;

	pthread_mutex_lock(&w->dynamic_mu);
	inside = atomic_load(&w->inside);
	if (inside) {
		d->next = w->dynamics;
		w->dynamics = d;
	}
	pthread_mutex_unlock(&w->dynamic_mu);
	if (!inside)
		(void)munmap(d->base, (size_t)d->mapped);
	return inside ? 0 : pgi_fail(ENOTCONN, "not attached to a segment");
}

/* Sends a request that a segment comes back for: 1 if it was there, 0 if it is new. */
static int ask(pgbgw_worker *w, struct pgi_record *request, pgbgw_dynamic **to)
{
	struct pgi_answer a;
	pgbgw_dynamic *d;
	int r = pgi_inside(w);

	*to = NULL;
	if (r < 0 || (r = pgi_call(w, request, &a, pgi_now() + PGI_CALL_NS, 0)) < 0)
		return r;
	if ((d = find(w, a.segment, NULL))) { /* it was attached by its handle */
		if (a.fd >= 0)
			(void)close(a.fd);
		*to = d;
		return 1;
	}
	d = calloc(1, sizeof *d);
	r = d ? map(&a, d) : pgi_fail(ENOMEM, "no memory is left");
	if (a.fd >= 0)
		(void)close(a.fd);
	if (r == 0) {
		d->w = w;
		d->handle = a.segment;
		r = add(w, d);
	}
	if (r < 0) {
		free(d);
		(void)tell(w, PGI_DYNAMIC_DETACH, a.segment, false);
		return r;
	}
	*to = d;
	return a.found;
}

int pgbgw_dynamic_create(pgbgw_worker *w, size_t size, pgbgw_dynamic **d)
{
	struct pgi_record request = { .type = PGI_DYNAMIC_CREATE, .size = size };
	int r = ask(w, &request, d);

	return r < 0 ? r : 0;
}

int pgbgw_dynamic_attach(pgbgw_worker *w, uint32_t handle, pgbgw_dynamic **d)
{
	struct pgi_record request = { .type = PGI_DYNAMIC_ATTACH, .segment = handle };
	int r = ask(w, &request, d);

	return r < 0 ? r : 0;
}

int pgbgw_dynamic_pin(pgbgw_dynamic *d) { return tell(d->w, PGI_DYNAMIC_PIN, d->handle, false); }
int pgbgw_dynamic_unpin(pgbgw_worker *w, uint32_t handle) { return tell(w, PGI_DYNAMIC_UNPIN, handle, false); }

int pgbgw_dynamic_on_detach(pgbgw_dynamic *d, void (*f)(pgbgw_dynamic *d, void *arg), void *arg)
{
	struct callback *c = malloc(sizeof *c);

	if (!c)
		return pgi_fail(ENOMEM, "no memory is left");
	*c = (struct callback){ NULL, f, arg };
	pthread_mutex_lock(&d->w->dynamic_mu);
	c->next = d->callbacks;
	d->callbacks = c;
	pthread_mutex_unlock(&d->w->dynamic_mu);
	return 0;
}

int pgbgw_dynamic_cancel_on_detach(pgbgw_dynamic *d, void (*f)(pgbgw_dynamic *d, void *arg), void *arg)
{
	struct callback *found = NULL;

	pthread_mutex_lock(&d->w->dynamic_mu);
	for (struct callback **at = &d->callbacks; *at; at = &(*at)->next) {
		if ((*at)->f == f && (*at)->arg == arg) {
			found = *at;
			*at = found->next;
			break;
		}
	}
	pthread_mutex_unlock(&d->w->dynamic_mu);
	free(found);
	return found ? 0 : pgi_fail(ENOENT, "no such callback");
}

/* Detaches without telling the supervisor. */
static void give_up(pgbgw_worker *w, pgbgw_dynamic *d)
{
	struct pgbgw_dynamic **at;

	pthread_mutex_lock(&w->dynamic_mu);
	for (at = &w->dynamics; *at && *at != d; at = &(*at)->next)
		;
	if (*at)
		*at = d->next;
	pthread_mutex_unlock(&w->dynamic_mu);
	leave(d);
}

int pgbgw_dynamic_detach(pgbgw_dynamic *d)
{
	pgbgw_worker *w = d->w;
	uint32_t handle = d->handle;
	int r = pgi_usable(w);

	if (r < 0)
		return r;
	give_up(w, d);
	return tell(w, PGI_DYNAMIC_DETACH, handle, false);
}

/* Fills a new segment, and tells the supervisor how that went: others wait for it. */
static int fill(pgbgw_worker *w, pgbgw_dynamic *d, int (*init)(void *, size_t, void *), void *arg)
{
	int failed = init ? init(d->base, (size_t)d->size, arg) : 0, r = 0;
	uint32_t handle = d->handle;

	if (failed >= 0 && (r = tell(w, PGI_DYNAMIC_READY, handle, true)) == 0)
		return 0;
	give_up(w, d);
	(void)tell(w, PGI_DYNAMIC_READY, handle, false);
	return failed < 0 ? pgi_fail(-failed, "to fill the dynamic segment failed: %s", strerror(-failed)) : r;
}

static int named(pgbgw_worker *w, const char *name, size_t size, int (*init)(void *, size_t, void *), void *arg, pgbgw_dynamic **to)
{
	struct pgi_record request = { .type = PGI_DYNAMIC_NAMED, .size = size, .text = pgi_text_of(name) };
	pgbgw_dynamic *d = find(w, 0, name);
	int r;

	if (d) {
		*to = d->size == size ? d : NULL;
		return *to ? 1 : pgi_fail(EINVAL, "dynamic segment \"%s\" has %llu bytes, not %zu", name, (unsigned long long)d->size, size);
	}
	while ((r = ask(w, &request, to)) == -EBUSY)
		; /* the supervisor waits for 20 s at a time */
	if (r == 0 && (r = fill(w, *to, init, arg)) < 0)
		*to = NULL;
	if (r >= 0) {
		pthread_mutex_lock(&w->dynamic_mu);
		memcpy((*to)->name, name, strlen(name) + 1);
		pthread_mutex_unlock(&w->dynamic_mu);
	}
	return r;
}

int pgbgw_dynamic_named(pgbgw_worker *w, const char *name, size_t size, int (*init)(void *memory, size_t size, void *arg), void *arg,
			pgbgw_dynamic **to)
{
	size_t n = name ? strlen(name) : 0;
	int r = pgi_inside(w);

	*to = NULL;
	if (r < 0)
		return r;
	if (n == 0 || n > PGI_MAX_DYNAMIC || size == 0)
		return pgi_fail(EINVAL, "a dynamic segment has a name of 1 to %d bytes, and a byte of memory at least", PGI_MAX_DYNAMIC);
	pthread_mutex_lock(&w->naming_mu); /* one thread of this process at a time */
	r = named(w, name, size, init, arg, to);
	pthread_mutex_unlock(&w->naming_mu);
	return r;
}
