/*
 * Resource owners. What a worker can own here are mappings of dynamic segments;
 * all else that PostgreSQL's owners hold (buffers, locks, plans) stays in the
 * server, and goes with the session's transaction.
 */
#include "internal.h"

#include "resowner.h"

typedef struct ResourceOwnerData {
	ResourceOwner parent, child, next; /* first child, next sibling */
	char name[NAMEDATALEN];
} ResourceOwnerData;

ResourceOwner CurrentResourceOwner;
ResourceOwner CurTransactionResourceOwner;
ResourceOwner TopTransactionResourceOwner;
ResourceOwner AuxProcessResourceOwner;

struct callback {
	struct callback *next;
	ResourceReleaseCallback call;
	void *arg;
};
static struct callback *callbacks;

ResourceOwner ResourceOwnerCreate(ResourceOwner parent, const char *name)
{
	ResourceOwner owner = MemoryContextAllocZero(TopMemoryContext, sizeof *owner);

	strlcpy(owner->name, name, sizeof owner->name);
	ResourceOwnerNewParent(owner, parent);
	return owner;
}

ResourceOwner ResourceOwnerGetParent(ResourceOwner owner)
{
	return owner->parent;
}

void ResourceOwnerNewParent(ResourceOwner owner, ResourceOwner newparent)
{
	if (owner->parent) {
		ResourceOwner *at = &owner->parent->child;

		while (*at != owner)
			at = &(*at)->next;
		*at = owner->next;
	}
	owner->parent = newparent;
	owner->next = NULL;
	if (newparent) {
		owner->next = newparent->child;
		newparent->child = owner;
	}
}

/* The children's first, as in PostgreSQL: what they own may lean on the parent's. */
void ResourceOwnerRelease(ResourceOwner owner, ResourceReleasePhase phase, bool isCommit, bool isTopLevel)
{
	ResourceOwner saved = CurrentResourceOwner;

	for (ResourceOwner child = owner->child; child; child = child->next)
		ResourceOwnerRelease(child, phase, isCommit, isTopLevel);
	CurrentResourceOwner = owner;
	if (phase == RESOURCE_RELEASE_BEFORE_LOCKS)
		segments_release(owner, isCommit);
	for (struct callback *c = callbacks, *next; c; c = next) {
		next = c->next; /* it may unregister itself */
		c->call(phase, isCommit, isTopLevel, c->arg);
	}
	CurrentResourceOwner = saved;
}

void ResourceOwnerDelete(ResourceOwner owner)
{
	while (owner->child)
		ResourceOwnerDelete(owner->child);
	ResourceOwnerNewParent(owner, NULL);
	pfree(owner);
}

void RegisterResourceReleaseCallback(ResourceReleaseCallback callback, void *arg)
{
	struct callback *c = MemoryContextAlloc(TopMemoryContext, sizeof *c);

	*c = (struct callback){ callbacks, callback, arg };
	callbacks = c;
}

void UnregisterResourceReleaseCallback(ResourceReleaseCallback callback, void *arg)
{
	for (struct callback **at = &callbacks; *at; at = &(*at)->next)
		if ((*at)->call == callback && (*at)->arg == arg) {
			struct callback *gone = *at;

			*at = gone->next;
			pfree(gone);
			return;
		}
}

static void release_all(ResourceOwner owner, bool commit, bool top)
{
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, commit, top);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, commit, top);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, commit, top);
}

void transaction_owner_push(void)
{
	bool top = !CurTransactionResourceOwner;

	CurTransactionResourceOwner = ResourceOwnerCreate(CurTransactionResourceOwner, top ? "TopTransaction" : "SubTransaction");
	if (top)
		TopTransactionResourceOwner = CurTransactionResourceOwner;
	CurrentResourceOwner = CurTransactionResourceOwner;
}

/* pop releases the innermost; outside of the outermost there is no owner, as in a worker's main function. */
void transaction_owner_pop(bool commit)
{
	ResourceOwner owner = CurTransactionResourceOwner;

	if (!owner)
		return;
	release_all(owner, commit, owner == TopTransactionResourceOwner);
	CurTransactionResourceOwner = CurrentResourceOwner = owner->parent;
	if (owner == TopTransactionResourceOwner)
		TopTransactionResourceOwner = NULL;
	ResourceOwnerDelete(owner);
}

/* A process that is no backend has one for all its life. */
void CreateAuxProcessResourceOwner(void)
{
	AuxProcessResourceOwner = ResourceOwnerCreate(NULL, "AuxiliaryProcess");
	CurrentResourceOwner = AuxProcessResourceOwner;
}

void ReleaseAuxProcessResources(bool isCommit)
{
	release_all(AuxProcessResourceOwner, isCommit, true);
}
