/*
 * StringInfo: a string that grows.
 */
#include "internal.h"

#include "lib/stringinfo.h"

StringInfo makeStringInfo(void)
{
	StringInfo s = palloc(sizeof *s);

	initStringInfo(s);
	return s;
}

void initStringInfo(StringInfo str)
{
	str->maxlen = 1024;
	str->data = palloc(str->maxlen);
	resetStringInfo(str);
}

#if PG_VERSION_NUM >= 170000
void destroyStringInfo(StringInfo str)
{
	pfree(str->data);
	pfree(str);
}
#endif

void resetStringInfo(StringInfo str)
{
	str->data[0] = 0;
	str->len = 0;
	str->cursor = 0;
}

void enlargeStringInfo(StringInfo str, int needed)
{
	size_t size, want;

	if (needed < 0)
		elog(ERROR, "invalid string enlargement request size: %d", needed);
	want = (size_t)str->len + (size_t)needed + 1;
	if (want > MaxAllocSize)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("out of memory"),
				errdetail("Cannot enlarge string buffer containing %d bytes by %d more bytes.", str->len, needed)));
	if (want <= (size_t)str->maxlen)
		return;
	for (size = 2 * (size_t)str->maxlen; size < want;)
		size *= 2;
	size = Min(size, MaxAllocSize);
	str->data = repalloc(str->data, size);
	str->maxlen = (int)size;
}

int appendStringInfoVA(StringInfo str, const char *fmt, va_list args)
{
	int room = str->maxlen - str->len, n;

	if (room < 16)
		return 32;
	n = vsnprintf(str->data + str->len, (size_t)room, fmt, args);
	if (n < 0)
		elog(ERROR, "vsnprintf failed: %m with format string \"%s\"", fmt);
	if (n < room) {
		str->len += n;
		return 0;
	}
	str->data[str->len] = 0;
	return n + 1;
}

void appendStringInfo(StringInfo str, const char *fmt, ...)
{
	int saved = errno, needed;

	for (;;) {
		va_list args;

		errno = saved;
		va_start(args, fmt);
		needed = appendStringInfoVA(str, fmt, args);
		va_end(args);
		if (needed == 0)
			return;
		enlargeStringInfo(str, needed);
	}
}

void appendBinaryStringInfoNT(StringInfo str, const VOID_BYTES *data, int datalen)
{
	enlargeStringInfo(str, datalen);
	memcpy(str->data + str->len, data, (size_t)datalen);
	str->len += datalen;
}

void appendBinaryStringInfo(StringInfo str, const VOID_BYTES *data, int datalen)
{
	appendBinaryStringInfoNT(str, data, datalen);
	str->data[str->len] = 0;
}

void appendStringInfoString(StringInfo str, const char *s)
{
	appendBinaryStringInfo(str, s, (int)strlen(s));
}

void appendStringInfoChar(StringInfo str, char ch)
{
	appendBinaryStringInfo(str, &ch, 1);
}

void appendStringInfoSpaces(StringInfo str, int count)
{
	if (count <= 0)
		return;
	enlargeStringInfo(str, count);
	memset(str->data + str->len, ' ', (size_t)count);
	str->len += count;
	str->data[str->len] = 0;
}
