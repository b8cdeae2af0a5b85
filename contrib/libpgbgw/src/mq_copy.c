/*
 * Long copies into a ring. On the CPUs of AMD, where it was measured (Zen 4), a
 * store to a line which another core has read takes 8 ns, and 30 ns where that
 * core has another cache; one that goes past the caches (a stream) takes 1 to 2
 * ns, since the other's copy need not be fetched or waited for.
 *
 * But then the receiver has to fetch it from further away. Where the two ends
 * share a cache, copies through it are up to half as fast again, where they share
 * none they take five times as long; and a virtual machine goes from one to the
 * other while it runs. So both are tried now and then, on what is sent anyway.
 * What counts is the time in copies and in waits for room.
 */
#include "mq.h"

enum {
	MIN_UNIT = 512 << 10, /* bytes: enough to average over wake-ups; a ring if that is more */
	MAX_UNIT = 4 << 20,

	FIRST_HOLD = 8,  /* units before the first trial: a queue that is used less needs none */
	SHORT_HOLD = 64, /* after a trial that changed something */
	LONG_HOLD = 256, /* after one that was clear; else twice as many as before */
	LAST_HOLD = 1024,

	ROUND = 4, /* steps: the other way, once to settle, once measured; and the same as it is kept */
};

void pgi_mq_copying(struct pgi_mq_copying *c, uint64_t ring, uint64_t (*clock)(void))
{
	*c = (struct pgi_mq_copying){ .clock = clock, .stream = clock, .kept = clock, .unit = MIN_UNIT, .hold = FIRST_HOLD };
	if (ring > MIN_UNIT)
		c->unit = ring < MAX_UNIT ? (int64_t)ring : MAX_UNIT;
	c->left = c->hold * c->unit;
}

/* Whether one way is so much better that chance does not explain it. */
static bool clear(const struct pgi_mq_copying *c)
{
	return c->least[0] > 2 * c->least[1] || c->least[1] > 2 * c->least[0];
}

/* Ends a trial. A tenth is no reason to change. */
static void decide(struct pgi_mq_copying *c)
{
	if (c->least[1] < c->least[0] / 10 * 9) {
		c->kept = !c->kept;
		c->hold = SHORT_HOLD;
	} else {
		c->hold = c->hold * 2 < SHORT_HOLD ? SHORT_HOLD : c->hold * 2 > LAST_HOLD ? LAST_HOLD : c->hold * 2;
	}
	if (clear(c) && c->hold < LONG_HOLD)
		c->hold = LONG_HOLD;
	c->stream = c->kept;
	c->step = 0;
	c->least[0] = c->least[1] = 0;
	c->left = c->hold * c->unit;
}

/* Goes on to the next step. */
static void next(struct pgi_mq_copying *c)
{
	if (c->timed) {
		uint64_t *least = &c->least[c->stream != c->kept];
		uint64_t cost = c->spent * 1024 / ((uint64_t)(c->unit - c->left) * 1024 / (uint64_t)c->unit);

		if (*least == 0 || cost < *least)
			*least = cost ? cost : 1;
	}
	if ((c->step == ROUND && (clear(c) || c->least[1] > c->least[0])) || c->step == 2 * ROUND) {
		decide(c);
	} else {
		c->stream = c->kept != (c->step % ROUND < ROUND / 2);
		c->step++;
		c->left = c->unit;
	}
	c->timed = c->step > 0 && c->step % 2 == 0;
	c->spent = 0;
}

void pgi_mq_copied(struct pgi_mq_copying *c, uint64_t n)
{
	c->left -= (int64_t)n;
	if (c->left <= 0 && c->clock)
		next(c);
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <emmintrin.h>
#include <x86intrin.h>

enum {
	LINE = 64,
	STREAM_SEEN = 4096, /* bytes of a copy that may be streamed though it is to be seen at once, at least */
	STREAM_MORE = 1024, /* the same, where more comes before it is */
};

static uint64_t cycles(void) { return __rdtsc(); }

uint64_t (*pgi_mq_clock(void))(void)
{
	static atomic_int known; /* 1 no, 2 yes */
	int is = atomic_load(&known);
	unsigned eax, ebx = 0, ecx, edx;

	if (is == 0) {
		is = __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == 0x68747541 ? 2 : 1; /* "Auth"enticAMD */
		atomic_store(&known, is);
	}
	return is == 2 ? cycles : NULL;
}

/* Copies past the caches, as far as it is whole lines. */
static void stream(unsigned char *to, const unsigned char *from, uint64_t n)
{
	uint64_t head = -(uintptr_t)to % LINE;

	memcpy(to, from, (size_t)head);
	for (to += head, from += head, n -= head; n >= LINE; to += LINE, from += LINE, n -= LINE) {
		for (int i = 0; i < LINE; i += 16)
			_mm_stream_si128((__m128i *)(void *)(to + i), _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
	}
	memcpy(to, from, (size_t)n);
}

void pgi_mq_copy(pgbgw_mq *q, unsigned char *to, const void *from, uint64_t n, bool more)
{
	uint64_t begun;

	if (!q->copying.clock || n < STREAM_MORE || (!more && n < STREAM_SEEN)) {
		if (n)
			memcpy(to, from, (size_t)n);
		return;
	}
	begun = pgi_mq_begin(&q->copying);
	if (q->copying.stream) {
		stream(to, from, n);
		q->unfenced = true;
	} else {
		memcpy(to, from, (size_t)n);
	}
	pgi_mq_end(&q->copying, begun);
	pgi_mq_copied(&q->copying, n);
}

void pgi_mq_fence(pgbgw_mq *q)
{
	uint64_t begun;

	if (!q->unfenced)
		return;
	begun = pgi_mq_begin(&q->copying);
	_mm_sfence();
	pgi_mq_end(&q->copying, begun);
	q->unfenced = false;
}

#else

uint64_t (*pgi_mq_clock(void))(void) { return NULL; }

void pgi_mq_copy(pgbgw_mq *q, unsigned char *to, const void *data, uint64_t n, bool more)
{
	(void)q;
	(void)more;
	if (n)
		memcpy(to, data, (size_t)n);
}

void pgi_mq_fence(pgbgw_mq *q) { (void)q; }

#endif
