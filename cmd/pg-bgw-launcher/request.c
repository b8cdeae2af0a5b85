/*
 * Reading a request. The sender is the daemon and trusted; a length is checked
 * all the same, so that a mistake there is an answer and not a wild pointer.
 */
#include <errno.h>
#include <string.h>

#include "launcher.h"

/* A part of the packet that has not been read. */
struct rest {
	char *at;
	size_t left;
};

static void *take(struct rest *r, size_t count, size_t size)
{
	void *p = r->at;

	if (count * size > r->left) /* both are at most 65535: no overflow */
		return NULL;
	r->at += count * size;
	r->left -= count * size;
	return p;
}

static char *take_string(struct rest *r)
{
	char *p = r->at, *nul = r->left ? memchr(p, 0, r->left) : NULL;

	if (!nul)
		return NULL;
	r->left -= (size_t)(nul + 1 - p);
	r->at = nul + 1;
	return p;
}

static int take_strings(struct rest *r, char **to, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		to[i] = take_string(r);
		if (!to[i])
			return EBADMSG;
	}
	to[count] = NULL;
	return 0;
}

static int check_head(const struct request_head *h, size_t size, size_t nfds)
{
	size_t expected = 1 + ((h->flags & FLAG_CGROUP) != 0) + (size_t)h->nfiles;

	if (h->magic != REQUEST_MAGIC || h->size != size || (h->flags & ~(uint32_t)FLAGS_ALL))
		return EBADMSG;
	if (nfds != expected || h->nfiles > FILES_MAX || h->ntargets > FILES_MAX)
		return EBADMSG;
	if (h->ngroups > GROUPS_MAX || h->nrlimits > RLIMITS_MAX || h->umask > 0777)
		return EBADMSG;
	if (h->argc < 1 || h->argc > POINTERS_MAX || h->envc > POINTERS_MAX - h->argc)
		return EBADMSG;
	return 0;
}

static int check_targets(const struct request *r)
{
	for (size_t i = 0; i < r->ntargets; i++)
		if (r->targets[i] != NO_FILE && r->targets[i] >= r->nfiles)
			return EBADMSG;
	return 0;
}

static void set_descriptors(struct request *r, int *fds)
{
	r->status = *fds++;
	r->cgroup = (r->flags & FLAG_CGROUP) ? *fds++ : -1;
	r->files = fds;
}

int request_parse(void *data, size_t size, int *fds, size_t nfds, char *pointers[POINTERS_MAX + 2], struct request *out)
{
	const struct request_head *h = data;
	struct rest rest = { data, size };

	memset(out, 0, sizeof *out);
	if (!take(&rest, 1, sizeof *h) || check_head(h, size, nfds))
		return EBADMSG;
	out->flags = h->flags;
	out->umask = h->umask;
	out->oom_score_adj = h->oom_score_adj;
	out->nice = h->nice;
	out->uid = h->uid;
	out->gid = h->gid;
	out->nfiles = h->nfiles;
	out->ntargets = h->ntargets;
	out->ngroups = h->ngroups;
	out->nrlimits = h->nrlimits;
	set_descriptors(out, fds);

	out->rlimits = take(&rest, h->nrlimits, sizeof *out->rlimits);
	out->groups = out->rlimits ? take(&rest, h->ngroups, sizeof *out->groups) : NULL;
	out->targets = out->groups ? take(&rest, h->ntargets, sizeof *out->targets) : NULL;
	if (!out->targets || check_targets(out))
		return EBADMSG;

	out->argv = pointers;
	out->envp = pointers + h->argc + 1;
	out->dir = take_string(&rest);
	if (!out->dir || take_strings(&rest, out->argv, h->argc) || take_strings(&rest, out->envp, h->envc) || rest.left)
		return EBADMSG;
	return 0;
}
