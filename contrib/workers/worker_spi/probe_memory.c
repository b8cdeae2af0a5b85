/*
 * Memory contexts, StringInfo, lists and text.
 */
#include "bgw_spi.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

static int called;

static void on_reset(void *arg)
{
	called += *(int *)arg;
}

static void probe_contexts(void)
{
	MemoryContext parent = AllocSetContextCreate(TopMemoryContext, "parent", ALLOCSET_DEFAULT_SIZES);
	MemoryContext child = AllocSetContextCreate(parent, "child", ALLOCSET_SMALL_SIZES), old;
	MemoryContextCallback cb = { .func = on_reset };
	static int one = 1;
	char *p;

	old = MemoryContextSwitchTo(child);
	p = palloc0(10);
	saw("palloc0", "%d %d", p[0], p[9]);
	strcpy(p, "a string");
	p = repalloc(p, 100000);
	saw("repalloc", "%s", p);
	saw("chunk's context", "%d", GetMemoryChunkContext(p) == child);
	saw("parent", "%d %d", MemoryContextGetParent(child) == parent, MemoryContextIsEmpty(child));
	cb.arg = &one;
	MemoryContextRegisterResetCallback(child, &cb);
	MemoryContextReset(child);
	saw("reset", "%d %d", called, MemoryContextIsEmpty(child));
	MemoryContextRegisterResetCallback(child, &cb);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(parent);
	saw("delete", "%d", called);
	saw("palloc_extended", "%d", palloc_extended(MaxAllocHugeSize / 2, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM) == NULL);
	p = pnstrdup("shortened", 5);
	saw("pnstrdup", "%s", p);
	saw("pchomp", "[%s]", pchomp("line\n\n"));
	saw("psprintf", "%s", psprintf("%5d|%-5s|%05.1f|%c|%%|%x", 42, "ab", 3.14159, 'z', 255));
	errno = ENOENT;
	saw("percent m", "%s", psprintf("%m"));
}

static void probe_lists(void)
{
	List *l = list_make3(pstrdup("b"), pstrdup("c"), pstrdup("d")), *ints = NIL;
	StringInfoData s;
	ListCell *cell;

	l = lcons(pstrdup("a"), l);
	for (int i = 0; i < 20; i++)
		ints = lappend_int(ints, i * 7 % 20);
	list_sort(ints, list_int_cmp);
	initStringInfo(&s);
	foreach (cell, l)
		appendStringInfo(&s, "%s,", (char *)lfirst(cell));
	foreach (cell, ints)
		appendStringInfo(&s, "%d,", lfirst_int(cell));
	saw("list", "%s %d %d", s.data, list_length(l), list_length(ints));
	l = list_delete_nth_cell(l, 1);
	l = list_delete_last(l);
	ints = list_delete_int(ints, 19);
	ints = list_append_unique_int(ints, 3);
	saw("list after deletions", "%s %d %d %d", (char *)llast(l), list_length(l), list_length(ints), list_member_int(ints, 19));
	saw("list copy", "%d %d", list_length(list_copy_tail(ints, 15)), list_length(list_concat(list_copy(ints), ints)));
	list_free_deep(l);
	list_free(ints);
}

void probe_memory(void)
{
	StringInfoData s;

	probe_contexts();
	probe_lists();
	initStringInfo(&s);
	for (int i = 0; i < 1000; i++)
		appendStringInfo(&s, "%d ", i);
	saw("stringinfo", "%d %d %s", s.len, s.maxlen, s.data + s.len - 4);
	resetStringInfo(&s);
	appendBinaryStringInfo(&s, "ab\0cd", 5);
	appendStringInfoSpaces(&s, 3);
	appendStringInfoChar(&s, '!');
	saw("binary stringinfo", "%d %c", s.len, s.data[8]);
}

static void list_names(const char *text)
{
	char *copy = pstrdup(text);
	StringInfoData s;
	ListCell *cell;
	List *names;
	bool ok = SplitIdentifierString(copy, ',', &names);

	initStringInfo(&s);
	if (ok)
		foreach (cell, names)
			appendStringInfo(&s, "[%s]", (char *)lfirst(cell));
	saw("split", "%d %s", ok, s.data);
}

void probe_strings(void)
{
	static const char *const identifiers[] = { "plain", "Upper", "with space", "select", "abort", "a\"b", "_x1", "1x", "über", "" };
	static const char *const literals[] = { "", "it's", "back\\slash", "both'\\" };
	char name[NAMEDATALEN + 10];
	bool b;

	for (int i = 0; i < (int)lengthof(identifiers); i++)
		saw("quote_identifier", "%s", quote_identifier(identifiers[i]));
	for (int i = 0; i < (int)lengthof(literals); i++)
		saw("quote_literal_cstr", "%s", quote_literal_cstr(literals[i]));
	saw("quote_qualified_identifier", "%s", quote_qualified_identifier("My Schema", "t"));
	saw("text", "%s %d", text_to_cstring(cstring_to_text("round trip")), (int)VARSIZE(cstring_to_text("four")));
	list_names("a, B ,\"C d\",\"e\"\"f\"");
	list_names("");
	list_names("a,,b");
	list_names("\"open");
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = 0;
	truncate_identifier(name, (int)strlen(name), false);
	saw("truncate_identifier", "%d", (int)strlen(name));
	saw("parse_bool", "%d %d %d", parse_bool("tRu", &b), parse_bool("o", &b), parse_bool("off", &b) && !b);
}

void probe_parameters(void)
{
	static const char *const names[] = { "bgw_spi.naptime", "bgw_spi.flag", "bgw_spi.size", "bgw_spi.ratio", "bgw_spi.color",
					     "bgw_spi.checked", "bgw_spi.database" };

	for (int i = 0; i < (int)lengthof(names); i++)
		saw(names[i], "%s", GetConfigOptionByName(names[i], NULL, false));
	saw("values", "%d %d %d %g %d %d %d", bgw_spi_naptime, bgw_spi_flag, bgw_spi_size, bgw_spi_ratio, bgw_spi_color,
	    bgw_spi_checked, bgw_spi_assigned);
	saw("missing option", "%d", GetConfigOption("bgw_spi.none", true, false) == NULL);
	PG_TRY();
	{
		GetConfigOption("no_such.option_at_all", false, false);
	}
	PG_CATCH();
	{
		ErrorData *e;

		MemoryContextSwitchTo(TopMemoryContext);
		e = CopyErrorData();
		FlushErrorState();
		saw("unknown option", "%s", e->message);
	}
	PG_END_TRY();
}
