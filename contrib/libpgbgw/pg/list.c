/*
 * List: an array of cells that grows, with a type tag for pointers, integers and OIDs.
 * The empty list is NIL, a null pointer. What needs equal() of nodes is not
 * here: a worker has no parse trees.
 */
#include "internal.h"

#include "nodes/pg_list.h"

static List *list_of(NodeTag tag, int n, int room)
{
	List *l = palloc(offsetof(List, initial_elements) + (Size)room * sizeof(ListCell));

	l->type = tag;
	l->length = n;
	l->max_length = room;
	l->elements = l->initial_elements;
	return l;
}

/* grow makes room for one more cell, and returns the list. */
static List *grow(List *l, NodeTag tag)
{
	int room;
	ListCell *cells;

	if (!l)
		return list_of(tag, 0, 5);
	if (l->length < l->max_length)
		return l;
	room = l->max_length * 2;
	if (l->elements == l->initial_elements) {
		cells = MemoryContextAlloc(GetMemoryChunkContext(l), (Size)room * sizeof *cells);
		memcpy(cells, l->elements, (size_t)l->length * sizeof *cells);
	} else {
		cells = repalloc(l->elements, (Size)room * sizeof *cells);
	}
	l->elements = cells;
	l->max_length = room;
	return l;
}

static List *insert(List *l, NodeTag tag, int pos, ListCell cell)
{
	l = grow(l, tag);
	memmove(l->elements + pos + 1, l->elements + pos, (size_t)(l->length - pos) * sizeof cell);
	l->elements[pos] = cell;
	l->length++;
	return l;
}

#define POINTER_CELL(v) ((ListCell){ .ptr_value = (v) })
#define INT_CELL(v) ((ListCell){ .int_value = (v) })
#define OID_CELL(v) ((ListCell){ .oid_value = (v) })

List *list_make1_impl(NodeTag t, ListCell a)
{
	return insert(NIL, t, 0, a);
}

List *list_make2_impl(NodeTag t, ListCell a, ListCell b)
{
	return insert(list_make1_impl(t, a), t, 1, b);
}

List *list_make3_impl(NodeTag t, ListCell a, ListCell b, ListCell c)
{
	return insert(list_make2_impl(t, a, b), t, 2, c);
}

List *list_make4_impl(NodeTag t, ListCell a, ListCell b, ListCell c, ListCell d)
{
	return insert(list_make3_impl(t, a, b, c), t, 3, d);
}

List *list_make5_impl(NodeTag t, ListCell a, ListCell b, ListCell c, ListCell d, ListCell e)
{
	return insert(list_make4_impl(t, a, b, c, d), t, 4, e);
}

List *lappend(List *list, void *datum)
{
	return insert(list, T_List, list_length(list), POINTER_CELL(datum));
}

List *lappend_int(List *list, int datum)
{
	return insert(list, T_IntList, list_length(list), INT_CELL(datum));
}

List *lappend_oid(List *list, Oid datum)
{
	return insert(list, T_OidList, list_length(list), OID_CELL(datum));
}

List *lcons(void *datum, List *list)
{
	return insert(list, T_List, 0, POINTER_CELL(datum));
}

List *lcons_int(int datum, List *list)
{
	return insert(list, T_IntList, 0, INT_CELL(datum));
}

List *lcons_oid(Oid datum, List *list)
{
	return insert(list, T_OidList, 0, OID_CELL(datum));
}

List *list_insert_nth(List *list, int pos, void *datum)
{
	return insert(list, T_List, pos, POINTER_CELL(datum));
}

List *list_insert_nth_int(List *list, int pos, int datum)
{
	return insert(list, T_IntList, pos, INT_CELL(datum));
}

List *list_insert_nth_oid(List *list, int pos, Oid datum)
{
	return insert(list, T_OidList, pos, OID_CELL(datum));
}

List *list_copy_head(const List *old, int len)
{
	List *l;

	if (!old || len <= 0)
		return NIL;
	len = Min(len, old->length);
	l = list_of(old->type, len, Max(len, 5));
	memcpy(l->elements, old->elements, (size_t)len * sizeof(ListCell));
	return l;
}

List *list_copy(const List *list)
{
	return list_copy_head(list, list_length(list));
}

List *list_copy_tail(const List *old, int skip)
{
	List *l;

	skip = Max(skip, 0);
	if (!old || skip >= old->length)
		return NIL;
	l = list_of(old->type, old->length - skip, Max(old->length - skip, 5));
	memcpy(l->elements, old->elements + skip, (size_t)l->length * sizeof(ListCell));
	return l;
}

List *list_concat(List *list1, const List *list2)
{
	int n = list_length(list2);

	for (int i = 0; i < n; i++) /* n is taken first: both may be the same list */
		list1 = insert(list1, list2->type, list_length(list1), list2->elements[i]);
	return list1;
}

List *list_concat_copy(const List *list1, const List *list2)
{
	return list_concat(list_copy(list1), list2);
}

List *list_truncate(List *list, int new_size)
{
	if (new_size <= 0)
		return NIL;
	if (list && list->length > new_size)
		list->length = new_size;
	return list;
}

/* find returns the position of the first cell that has these bits, or -1. */
static int find_pointer(const List *l, const void *datum)
{
	for (int i = 0; i < list_length(l); i++)
		if (l->elements[i].ptr_value == datum)
			return i;
	return -1;
}

static int find_int(const List *l, int datum)
{
	for (int i = 0; i < list_length(l); i++)
		if (l->elements[i].int_value == datum)
			return i;
	return -1;
}

static int find_oid(const List *l, Oid datum)
{
	for (int i = 0; i < list_length(l); i++)
		if (l->elements[i].oid_value == datum)
			return i;
	return -1;
}

bool list_member_ptr(const List *list, const void *datum)
{
	return find_pointer(list, datum) >= 0;
}

bool list_member_int(const List *list, int datum)
{
	return find_int(list, datum) >= 0;
}

bool list_member_oid(const List *list, Oid datum)
{
	return find_oid(list, datum) >= 0;
}

List *list_delete_nth_cell(List *list, int n)
{
	Assert(n >= 0 && n < list->length);
	if (list->length == 1) {
		list_free(list);
		return NIL;
	}
	memmove(list->elements + n, list->elements + n + 1, (size_t)(list->length - n - 1) * sizeof(ListCell));
	list->length--;
	return list;
}

List *list_delete_cell(List *list, ListCell *cell)
{
	return list_delete_nth_cell(list, (int)(cell - list->elements));
}

static List *delete_at(List *list, int at)
{
	return at < 0 ? list : list_delete_nth_cell(list, at);
}

List *list_delete_ptr(List *list, void *datum)
{
	return delete_at(list, find_pointer(list, datum));
}

List *list_delete_int(List *list, int datum)
{
	return delete_at(list, find_int(list, datum));
}

List *list_delete_oid(List *list, Oid datum)
{
	return delete_at(list, find_oid(list, datum));
}

List *list_delete_first(List *list)
{
	return list ? list_delete_nth_cell(list, 0) : NIL;
}

List *list_delete_last(List *list)
{
	return list ? list_delete_nth_cell(list, list->length - 1) : NIL;
}

List *list_append_unique_ptr(List *list, void *datum)
{
	return list_member_ptr(list, datum) ? list : lappend(list, datum);
}

List *list_append_unique_int(List *list, int datum)
{
	return list_member_int(list, datum) ? list : lappend_int(list, datum);
}

List *list_append_unique_oid(List *list, Oid datum)
{
	return list_member_oid(list, datum) ? list : lappend_oid(list, datum);
}

static void free_list(List *list, bool deep)
{
	if (!list)
		return;
	for (int i = 0; deep && i < list->length; i++)
		pfree(list->elements[i].ptr_value);
	if (list->elements != list->initial_elements)
		pfree(list->elements);
	pfree(list);
}

void list_free(List *list)
{
	free_list(list, false);
}

void list_free_deep(List *list)
{
	free_list(list, true);
}

void list_sort(List *list, list_sort_comparator cmp)
{
	typedef int (*compare)(const void *, const void *);

	if (list_length(list) > 1)
		qsort(list->elements, (size_t)list->length, sizeof(ListCell), (compare)cmp);
}

int list_int_cmp(const ListCell *a, const ListCell *b)
{
	return a->int_value < b->int_value ? -1 : a->int_value > b->int_value;
}

int list_oid_cmp(const ListCell *a, const ListCell *b)
{
	return a->oid_value < b->oid_value ? -1 : a->oid_value > b->oid_value;
}
