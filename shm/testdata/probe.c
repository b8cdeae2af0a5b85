/* Prints the layout as the C compiler sees it, "name offset size" a line. */
#include <stddef.h>
#include <stdio.h>

#include "pgbgw_abi.h"

#define TYPE(t) printf(#t " 0 %zu\n", sizeof(struct pgbgw_##t))
#define FIELD(t, f) printf(#t "." #f " %zu %zu\n", offsetof(struct pgbgw_##t, f), sizeof(((struct pgbgw_##t *)0)->f))
#define NUMBER(n) printf(#n " 0 %llu\n", (unsigned long long)PGBGW_##n)

int main(void)
{
	NUMBER(ABI_MAJOR); NUMBER(ABI_MINOR); NUMBER(SEGMENT_MAGIC); NUMBER(SLOTS_MAGIC);
	NUMBER(HEADER_ROOM); NUMBER(HEADER_SIZE); NUMBER(STATE_OFFSET); NUMBER(AREA_ALIGN); NUMBER(MAX_SLOTS);
	NUMBER(SECTION_WORDS); NUMBER(SECTION_RECORDS); NUMBER(SECTION_DATA); NUMBER(SECTION_LATCHES);
	NUMBER(SECTION_TRANCHE_WORDS); NUMBER(SECTION_TRANCHE_NAMES); NUMBER(SECTION_COUNT);
	NUMBER(LATCH_SET); NUMBER(LATCH_WAITING); NUMBER(LATCH_OWNED); NUMBER(LATCH_TAPPED);

	TYPE(section);
	FIELD(section, offset); FIELD(section, length); FIELD(section, stride); FIELD(section, count);

	TYPE(segment_header);
	FIELD(segment_header, magic); FIELD(segment_header, major); FIELD(segment_header, minor);
	FIELD(segment_header, room); FIELD(segment_header, features); FIELD(segment_header, total_size);
	FIELD(segment_header, incarnation); FIELD(segment_header, name); FIELD(segment_header, sections);
	FIELD(segment_header, section); FIELD(segment_header, checksum);

	TYPE(segment_state);
	FIELD(segment_state, next_record); FIELD(segment_state, next_tranche);

	TYPE(area_record);
	FIELD(area_record, name); FIELD(area_record, size); FIELD(area_record, offset);

	TYPE(tranche_name);
	FIELD(tranche_name, name);

	TYPE(latch_cell);
	FIELD(latch_cell, word);

	TYPE(slots_header);
	FIELD(slots_header, magic); FIELD(slots_header, major); FIELD(slots_header, minor);
	FIELD(slots_header, room); FIELD(slots_header, features); FIELD(slots_header, entry);
	FIELD(slots_header, count); FIELD(slots_header, checksum);

	TYPE(slots_state);
	FIELD(slots_state, used); FIELD(slots_state, max);

	TYPE(slot_entry);
	FIELD(slot_entry, version); FIELD(slot_entry, generation); FIELD(slot_entry, start);
	FIELD(slot_entry, pid); FIELD(slot_entry, state); FIELD(slot_entry, status); FIELD(slot_entry, flags);
	FIELD(slot_entry, exit_code); FIELD(slot_entry, exit_signal); FIELD(slot_entry, registered);
	FIELD(slot_entry, changed); FIELD(slot_entry, next_start); FIELD(slot_entry, restarts);
	FIELD(slot_entry, name); FIELD(slot_entry, kind); FIELD(slot_entry, segment);

	NUMBER(QUEUE_MAGIC); NUMBER(TOC_MAGIC); NUMBER(MIN_QUEUE_SIZE); NUMBER(WIDE_QUEUE); NUMBER(MAX_MESSAGE); NUMBER(TOC_ALIGN);
	NUMBER(QUEUE_DETACHED); NUMBER(QUEUE_SENDER_WAITS); NUMBER(QUEUE_RECEIVER_WAITS);

	TYPE(queue_header);
	FIELD(queue_header, magic); FIELD(queue_header, ring); FIELD(queue_header, sender); FIELD(queue_header, receiver);
	FIELD(queue_header, state); FIELD(queue_header, features); FIELD(queue_header, written); FIELD(queue_header, read);

	TYPE(wide_queue_header);
	FIELD(wide_queue_header, magic); FIELD(wide_queue_header, ring); FIELD(wide_queue_header, sender);
	FIELD(wide_queue_header, receiver); FIELD(wide_queue_header, state); FIELD(wide_queue_header, features);
	FIELD(wide_queue_header, written); FIELD(wide_queue_header, read);

	TYPE(toc_header);
	FIELD(toc_header, key); FIELD(toc_header, magic); FIELD(toc_header, total); FIELD(toc_header, taken);

	TYPE(toc_entry);
	FIELD(toc_entry, key); FIELD(toc_entry, offset); FIELD(toc_entry, size);

	NUMBER(LOCK_MAGIC); NUMBER(MAX_PLACES);
	TYPE(lock_header);
	FIELD(lock_header, magic); FIELD(lock_header, places); FIELD(lock_header, features); FIELD(lock_header, holder); FIELD(lock_header, tranche);

	NUMBER(CONDITION_MAGIC); NUMBER(BARRIER_MAGIC);
	NUMBER(BARRIER_PARTICIPANTS); NUMBER(BARRIER_ARRIVED); NUMBER(BARRIER_MASK); NUMBER(BARRIER_ELECTED); NUMBER(BARRIER_STATIC);
	TYPE(condition_header);
	FIELD(condition_header, magic); FIELD(condition_header, places); FIELD(condition_header, features); FIELD(condition_header, next);
	TYPE(condition_place);
	FIELD(condition_place, party); FIELD(condition_place, ticket);
	TYPE(barrier_header);
	FIELD(barrier_header, magic); FIELD(barrier_header, size); FIELD(barrier_header, features); FIELD(barrier_header, state);
	return 0;
}
