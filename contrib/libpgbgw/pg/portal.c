/*
 * Portals as far as a worker makes one by hand: it is what a procedure that ends
 * transactions is called under in the server, where it holds the snapshot and the memory.
 * Cursors, which are portals too, are spi_cursor.c's.
 */
#include "internal.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "tcop/pquery.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

Portal ActivePortal;

Portal CreateNewPortal(void)
{
	static unsigned made;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "PortalContext", ALLOCSET_SMALL_SIZES);
	Portal p = MemoryContextAllocZero(context, sizeof *p);

	p->portalContext = context;
	p->name = MemoryContextStrdup(context, psprintf("<unnamed portal %u of the worker>", ++made));
	p->sourceText = "";
	p->createSubid = p->activeSubid = GetCurrentSubTransactionId();
	p->createLevel = GetCurrentTransactionNestLevel();
	p->status = PORTAL_NEW;
	p->strategy = PORTAL_MULTI_QUERY;
	p->cursorOptions = CURSOR_OPT_NO_SCROLL;
	p->atStart = p->atEnd = true;
	p->visible = true;
	p->creation_time = GetCurrentStatementStartTimestamp();
	return p;
}

Portal GetPortalByName(const char *name)
{
	return name ? SPI_cursor_find(name) : NULL;
}

void PortalDrop(Portal portal, bool isTopCommit)
{
	if (SPI_cursor_find(portal->name) == portal) {
		SPI_cursor_close(portal);
		return;
	}
	if (portal->portalPinned)
		ereport(ERROR, (errcode(ERRCODE_INVALID_CURSOR_STATE), errmsg("cannot drop pinned portal \"%s\"", portal->name)));
	MemoryContextDelete(portal->portalContext); /* and itself */
}

void PinPortal(Portal portal)
{
	if (portal->portalPinned)
		elog(ERROR, "portal already pinned");
	portal->portalPinned = true;
}

void UnpinPortal(Portal portal)
{
	if (!portal->portalPinned)
		elog(ERROR, "portal not pinned");
	portal->portalPinned = false;
}

void EnsurePortalSnapshotExists(void)
{
	if (ActiveSnapshotSet())
		return;
	if (!PortalIsValid(ActivePortal))
		elog(ERROR, "cannot execute SQL without an outer snapshot or portal");
	PushActiveSnapshot(GetTransactionSnapshot());
	ActivePortal->portalSnapshot = GetActiveSnapshot();
}
