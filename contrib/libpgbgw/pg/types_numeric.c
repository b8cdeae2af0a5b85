/*
 * Numbers of any precision, in the server's representation: digits to the base
 * 10,000, in a short form where the weight and the scale fit it and in a long one
 * otherwise (numeric.c of PostgreSQL 9.1 and later; infinities since 14).
 */
#include "internal.h"

#include <limits.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "types_number.h"

typedef struct numeric_value value;

enum {
	BASE = 10000,
	PER_DIGIT = 4, /* decimal digits in one to the base */
	KIND = 0xC000,
	NEGATIVE = 0x4000,
	SHORT = 0x8000,
	SPECIAL = 0xC000, /* its other bits say which */
	NOT_A_NUMBER = 0xC000,
	INFINITE = 0xD000,
	MINUS_INFINITE = 0xF000,
	SHORT_NEGATIVE = 0x2000,
	SHORT_SCALE_AT = 7,
	SHORT_SCALE_MAX = 0x3F,
	SHORT_WEIGHT_MAX = 0x3F,
	SHORT_WEIGHT_MIN = -0x40,
	SCALE_MAX = 0x3FFF,
};

/* What follows a varlena's length. The digits of the short form begin where the weight of the long one is. */
struct stored {
	uint16 head;
	int16 rest[];
};

static struct stored *stored_at(struct varlena *v)
{
	return (struct stored *)VARDATA(v);
}

static void overflow(void)
{
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("value overflows numeric format")));
}

static Datum special(uint16 head)
{
	struct varlena *v = palloc(VARHDRSZ + sizeof head);

	SET_VARSIZE(v, VARHDRSZ + sizeof head);
	stored_at(v)->head = head;
	return PointerGetDatum(v);
}

/* pack stores what strip has left of a value. */
static Datum pack(const value *n)
{
	bool small = n->scale <= SHORT_SCALE_MAX && n->weight <= SHORT_WEIGHT_MAX && n->weight >= SHORT_WEIGHT_MIN;
	Size size = VARHDRSZ + sizeof(uint16) + (small ? 0 : sizeof(int16)) + (Size)n->n * sizeof *n->digits;
	struct varlena *v;
	struct stored *s;

	if (n->scale > SCALE_MAX || n->weight > SHRT_MAX || n->weight < SHRT_MIN)
		overflow();
	v = palloc(size);
	SET_VARSIZE(v, size);
	s = stored_at(v);
	if (small)
		s->head = (uint16)(SHORT | (n->negative ? SHORT_NEGATIVE : 0) | n->scale << SHORT_SCALE_AT | (n->weight & 0x7F));
	else {
		s->head = (uint16)((n->negative ? NEGATIVE : 0) | n->scale);
		s->rest[0] = (int16)n->weight;
	}
	memcpy(s->rest + !small, n->digits, (size_t)n->n * sizeof *n->digits);
	return PointerGetDatum(v);
}

/* strip takes off digits that are zero at both ends; nothing is a positive zero. */
static void strip(value *n)
{
	for (; n->n > 0 && n->digits[0] == 0; n->n--, n->weight--)
		n->digits++;
	while (n->n > 0 && n->digits[n->n - 1] == 0)
		n->n--;
	if (n->n == 0) {
		n->negative = false;
		n->weight = 0;
	}
}

void numeric_open(Datum d, value *n)
{
	struct varlena *v = pg_detoast_datum((struct varlena *)DatumGetPointer(d));
	const struct stored *s = stored_at(v);
	bool small = (s->head & KIND) == SHORT;

	memset(n, 0, sizeof *n);
	n->special = (s->head & KIND) == SPECIAL;
	n->nan = s->head == NOT_A_NUMBER;
	n->negative = n->special ? s->head == MINUS_INFINITE : (s->head & (small ? SHORT_NEGATIVE : KIND)) != 0;
	if (n->special)
		return;
	n->scale = small ? s->head >> SHORT_SCALE_AT & SHORT_SCALE_MAX : s->head & SCALE_MAX;
	n->weight = small ? (int)(s->head & 0x3F) - (s->head & 0x40) : s->rest[0];
	n->digits = (int16 *)s->rest + !small;
	n->n = (int)((VARSIZE(v) - VARHDRSZ - sizeof(uint16)) / sizeof(int16)) - !small;
}

/* A number as it is written: its decimal digits, and how many of them stand before the point. */
struct decimal {
	char *digits;
	int n;
	int64 before;
};

static const char *parse_exponent(const char *t, int64 *exponent)
{
	const char *start = ++t;
	bool minus = *t == '-';
	int64 v = 0;

	t += *t == '-' || *t == '+';
	if (!isdigit((unsigned char)*t))
		return start - 1;
	for (; isdigit((unsigned char)*t); t++)
		v = Min(v * 10 + (*t - '0'), INT_MAX / 2);
	*exponent = minus ? -v : v;
	return t;
}

/* parse_decimal reads digits, a point and an exponent; NULL when there is no digit. */
static const char *parse_decimal(const char *t, struct decimal *d)
{
	bool point = false;
	int64 exponent = 0;

	d->digits = palloc(strlen(t) + 1);
	d->n = 0;
	d->before = 0;
	for (; isdigit((unsigned char)*t) || (*t == '.' && !point); t++) {
		if (*t == '.') {
			point = true;
			continue;
		}
		d->digits[d->n++] = (char)(*t - '0');
		d->before += !point;
	}
	if (d->n == 0)
		return NULL;
	if (*t == 'e' || *t == 'E')
		t = parse_exponent(t, &exponent);
	d->before += exponent;
	return t;
}

/* to_base fills n from decimal digits; its scale is of all those that were written after the point. */
static void to_base(const struct decimal *d, value *n)
{
	int64 groups = d->before >= 0 ? (d->before + PER_DIGIT - 1) / PER_DIGIT : -(-d->before / PER_DIGIT);
	int skip = (int)(groups * PER_DIGIT - d->before); /* zeros before the first decimal digit in its group */

	if (d->before - d->n < -SCALE_MAX)
		overflow(); /* of the weight pack knows, when the zeros are gone */
	n->scale = (int)Max(d->n - d->before, 0);
	n->weight = (int)groups - 1;
	n->n = (skip + d->n + PER_DIGIT - 1) / PER_DIGIT;
	n->digits = palloc0(((Size)n->n + 1) * sizeof *n->digits);
	for (int i = 0; i < n->n * PER_DIGIT; i++) {
		int at = i - skip;

		n->digits[i / PER_DIGIT] = (int16)(n->digits[i / PER_DIGIT] * 10 + (at >= 0 && at < d->n ? d->digits[at] : 0));
	}
	strip(n);
}

static bool is_word(const char *t, const char *word)
{
	size_t n = strlen(word);

	if (pg_strncasecmp(t, word, n) != 0)
		return false;
	for (t += n; isspace((unsigned char)*t);)
		t++;
	return *t == '\0';
}

/* parse_word reads what is no number. */
static bool parse_word(const char *t, Datum *d)
{
	bool minus = *t == '-', sign = minus || *t == '+';

	if (!sign && is_word(t, "nan"))
		*d = special(NOT_A_NUMBER);
	else if (is_word(t + sign, "infinity") || is_word(t + sign, "inf"))
		*d = special(minus ? MINUS_INFINITE : INFINITE);
	else
		return false;
	return true;
}

Datum read_numeric(const char *text)
{
	const char *t = text;
	struct decimal written;
	value n = { 0 };
	Datum d;

	while (isspace((unsigned char)*t))
		t++;
	if (parse_word(t, &d))
		return d;
	n.negative = *t == '-';
	t = parse_decimal(t + (*t == '-' || *t == '+'), &written);
	while (t && isspace((unsigned char)*t))
		t++;
	if (!t || *t)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type %s: \"%s\"", "numeric", text)));
	to_base(&written, &n);
	pfree(written.digits);
	return pack(&n);
}

/* decimal_at is the decimal digit at a position, 0 that of ones, below it those behind the point. */
static char decimal_at(const value *n, int position)
{
	static const int16 powers[PER_DIGIT] = { 1, 10, 100, 1000 };
	int group = position >= 0 ? position / PER_DIGIT : -((PER_DIGIT - 1 - position) / PER_DIGIT);
	int i = n->weight - group;

	if (i < 0 || i >= n->n)
		return '0';
	return (char)('0' + n->digits[i] / powers[position - group * PER_DIGIT] % 10);
}

char *write_numeric(Datum d)
{
	char *text, *to;
	int first;
	value n;

	numeric_open(d, &n);
	if (n.special)
		return pstrdup(n.nan ? "NaN" : n.negative ? "-Infinity" : "Infinity");
	first = Max((n.weight + 1) * PER_DIGIT - 1, 0);
	while (first > 0 && decimal_at(&n, first) == '0')
		first--;
	to = text = palloc((Size)first + (Size)n.scale + 4);
	if (n.negative)
		*to++ = '-';
	for (int i = first; i >= -n.scale; i--) {
		if (i == -1)
			*to++ = '.';
		*to++ = decimal_at(&n, i);
	}
	*to = 0;
	return text;
}
