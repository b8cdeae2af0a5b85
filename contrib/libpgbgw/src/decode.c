/*
 * Reading the records of the control socket, as package shm/control describes
 * them. All lengths are checked before they are used; what is left over is
 * refused.
 */
#include "internal.h"

struct reader {
	const unsigned char *at;
	size_t left;
	bool bad;
};

static const unsigned char *take(struct reader *r, size_t n)
{
	static const unsigned char zeros[8];
	const unsigned char *p = r->at;

	if (r->bad || n > r->left) {
		r->bad = true;
		return zeros; /* who wants more than 8 bytes looks at bad first */
	}
	r->at += n;
	r->left -= n;
	return p;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
	const unsigned char *p = take(r, bytes);
	uint64_t v = 0;

	for (size_t i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static uint16_t take16(struct reader *r) { return (uint16_t)take_number(r, 2); }
static uint32_t take32(struct reader *r) { return (uint32_t)take_number(r, 4); }
static uint64_t take64(struct reader *r) { return take_number(r, 8); }

/* UTF-8 as the Unicode standard has it: shortest forms, no surrogates. */
static size_t sequence(const unsigned char *p, size_t left)
{
	uint32_t v;
	size_t n;

	if (*p < 0x80)
		return *p != 0;
	n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	if (*p < 0xc2 || *p > 0xf4 || n > left)
		return 0;
	v = *p & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && (v < 0x800 || (v >= 0xd800 && v < 0xe000))) || (n == 4 && (v < 0x10000 || v > 0x10ffff)))
		return 0;
	return n;
}

bool pgi_is_text(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	while (n) {
		size_t step = sequence(p, n);

		if (!step)
			return false;
		p += step;
		n -= step;
	}
	return true;
}

static struct pgi_text take_utf8(struct reader *r, size_t n)
{
	const char *p = (const char *)take(r, n);

	if (r->bad || !pgi_is_text(p, n)) {
		r->bad = true;
		return (struct pgi_text){ "", 0 };
	}
	return (struct pgi_text){ p, n };
}

static struct pgi_text take_text(struct reader *r) { return take_utf8(r, take32(r)); }

static pgbgw_handle take_handle(struct reader *r)
{
	pgbgw_handle h = { .slot = take32(r) };

	h.generation = take64(r);
	return h;
}

static void take_value(struct reader *r)
{
	uint16_t count;

	switch (*take(r, 1)) {
	case 1:
		(void)take_text(r);
		break;
	case 2:
	case 3:
		(void)take(r, 8);
		break;
	case 4:
		(void)take(r, take32(r));
		break;
	case 5:
		count = take16(r);
		if (count > PGI_MAX_LIST)
			r->bad = true;
		while (count-- && !r->bad)
			(void)take_text(r);
		break;
	default:
		r->bad = true;
	}
}

static void take_pairs(struct reader *r, struct pgi_record *rec)
{
	struct pgi_text keys[PGI_MAX_PAIRS];

	rec->flags = take64(r);
	rec->pair_count = take16(r);
	if (rec->pair_count > PGI_MAX_PAIRS)
		r->bad = true;
	rec->pairs.at = (const char *)r->at;
	for (uint16_t i = 0; i < rec->pair_count && !r->bad; i++) {
		uint16_t n = take16(r);

		if (n == 0 || n > PGI_MAX_KEY)
			r->bad = true;
		keys[i] = take_utf8(r, n);
		for (uint16_t j = 0; j < i && !r->bad; j++)
			if (keys[j].n == keys[i].n && memcmp(keys[j].at, keys[i].at, n) == 0)
				r->bad = true;
		take_value(r);
	}
	rec->pairs.n = (size_t)((const char *)r->at - rec->pairs.at);
}

static void take_event(struct reader *r, struct pgi_record *rec)
{
	rec->handle = take_handle(r);
	rec->start = take64(r);
	rec->state = take32(r);
	rec->status = take32(r);
	rec->pid = (int32_t)take32(r);
	rec->exit_code = (int32_t)take32(r);
	rec->exit_signal = (int32_t)take32(r);
	rec->text = take_text(r);
}

static bool take_bool(struct reader *r)
{
	uint32_t v = take32(r);

	if (v > 1)
		r->bad = true;
	return v == 1;
}

/* Reads what is about dynamic segments; false for an unknown type. */
static bool take_dynamic(struct reader *r, struct pgi_record *rec)
{
	switch (rec->type) {
	case PGI_DYNAMIC_CREATE:
		rec->size = take64(r);
		break;
	case PGI_DYNAMIC_ATTACH:
	case PGI_DYNAMIC_DETACH:
	case PGI_DYNAMIC_PIN:
	case PGI_DYNAMIC_UNPIN:
		rec->segment = take32(r);
		break;
	case PGI_DYNAMIC_NAMED:
		rec->size = take64(r);
		rec->text = take_text(r);
		if (rec->text.n == 0 || rec->text.n > PGI_MAX_DYNAMIC)
			r->bad = true;
		break;
	case PGI_DYNAMIC_READY:
		rec->segment = take32(r);
		rec->done = take_bool(r);
		break;
	case PGI_DYNAMIC_CREATE | PGI_ANSWER:
	case PGI_DYNAMIC_ATTACH | PGI_ANSWER:
	case PGI_DYNAMIC_NAMED | PGI_ANSWER:
		rec->segment = take32(r);
		rec->size = take64(r);
		rec->found = take_bool(r);
		break;
	default:
		return false;
	}
	return true;
}

/* Reads the body; false for an unknown type. */
static bool take_body(struct reader *r, struct pgi_record *rec)
{
	switch (rec->type) {
	case PGI_HELLO:
	case PGI_HELLO | PGI_ANSWER:
	case PGI_READY:
		rec->text = take_text(r);
		break;
	case PGI_ATTACH:
	case PGI_DETACH:
	case PGI_ATTACH | PGI_ANSWER:
	case PGI_DETACH | PGI_ANSWER:
	case PGI_READY | PGI_ANSWER:
	case PGI_TERMINATE | PGI_ANSWER:
	case PGI_LATCH_OF | PGI_ANSWER:
	case PGI_DYNAMIC_DETACH | PGI_ANSWER:
	case PGI_DYNAMIC_PIN | PGI_ANSWER:
	case PGI_DYNAMIC_UNPIN | PGI_ANSWER:
	case PGI_DYNAMIC_READY | PGI_ANSWER:
		break;
	case PGI_REGISTER:
		take_pairs(r, rec);
		break;
	case PGI_REGISTER | PGI_ANSWER:
	case PGI_GET_PID:
	case PGI_TERMINATE:
		rec->handle = take_handle(r);
		break;
	case PGI_WAIT_STARTUP:
	case PGI_WAIT_SHUTDOWN:
		rec->handle = take_handle(r);
		rec->timeout_usec = take64(r);
		break;
	case PGI_GET_PID | PGI_ANSWER:
	case PGI_WAIT_STARTUP | PGI_ANSWER:
	case PGI_WAIT_SHUTDOWN | PGI_ANSWER:
		rec->status = take32(r);
		rec->pid = (int32_t)take32(r);
		break;
	case PGI_LATCH_OF:
		rec->slot = take32(r);
		break;
	case PGI_WORKER_STATE_CHANGED:
		take_event(r, rec);
		break;
	default:
		return take_dynamic(r, rec);
	}
	return true;
}

static bool is_event(uint16_t type) { return (type & 0xc000) == 0x4000; }

int pgi_decode(const void *data, size_t n, struct pgi_record *rec)
{
	struct reader r = { data, n, false };
	uint16_t version;

	memset(rec, 0, sizeof *rec);
	rec->text.at = rec->pairs.at = "";
	if (n < PGI_RECORD_HEADER || n > PGI_RECORD_MAX || take32(&r) != n)
		return -EBADMSG;
	version = take16(&r);
	rec->type = take16(&r);
	rec->id = take64(&r);
	if (version != PGI_RECORD_VERSION)
		return -EPROTONOSUPPORT;
	if ((rec->id == 0) != is_event(rec->type))
		return -EBADMSG;
	if (rec->type & PGI_ANSWER) {
		int32_t status = (int32_t)take32(&r);

		if (r.bad || status > 0 || status < -PGI_MAX_ERRNO)
			return -EBADMSG;
		rec->error = -status;
	}
	if (rec->error)
		rec->text = take_text(&r);
	else if (!take_body(&r, rec))
		return -ENOSYS;
	return r.bad || r.left ? -EBADMSG : 0;
}
