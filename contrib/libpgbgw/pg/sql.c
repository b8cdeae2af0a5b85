/*
 * A lexer of SQL that knows words, quotes, comments, parentheses and the end of a statement.
 */
#include "internal.h"

#include "sql.h"

struct scan {
	const char *at;
	char word[32]; /* lower case; empty for anything else */
	char last[32]; /* the word before that, if nothing but space and comments is between */
	bool end;      /* of a statement */
	int depth;     /* of parentheses */
	bool routine;  /* the statement makes a function or a procedure */
	int body;      /* what of its body is open: BEGIN ATOMIC, and CASE in it; semicolons there end no statement of the text */
};

static const char *skip_block_comment(const char *p)
{
	int depth = 0;

	do {
		if (p[0] == '/' && p[1] == '*') {
			depth++;
			p += 2;
		} else if (p[0] == '*' && p[1] == '/') {
			depth--;
			p += 2;
		} else if (*p) {
			p++;
		}
	} while (depth > 0 && *p);
	return p;
}

/* skip_quoted returns what follows a text in quotes q; with escapes a backslash takes the next character along. */
static const char *skip_quoted(const char *p, char q, bool escapes)
{
	for (p++; *p; p++) {
		if (escapes && *p == '\\' && p[1])
			p++;
		else if (*p == q && p[1] == q)
			p++;
		else if (*p == q)
			return p + 1;
	}
	return p;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* skip_dollar returns what follows $tag$…$tag$, or the character after a $ that starts no such thing. */
static const char *skip_dollar(const char *p)
{
	const char *tag = p++, *end;
	size_t n;

	if (isdigit((unsigned char)*p))
		return p;
	while (is_word(*p))
		p++;
	if (*p != '$')
		return tag + 1;
	n = (size_t)(p + 1 - tag);
	for (end = p + 1; *end; end++)
		if (strncmp(end, tag, n) == 0)
			return end + n;
	return end;
}

static void take_word(struct scan *s)
{
	const char *start = s->at;
	size_t n;

	while (is_word(*s->at) || *s->at == '$')
		s->at++;
	n = Min((size_t)(s->at - start), sizeof s->word - 1);
	for (size_t i = 0; i < n; i++)
		s->word[i] = (char)tolower((unsigned char)start[i]);
	s->word[n] = 0;
}

/* next reads one token; false at the end of the text. */
static bool next(struct scan *s)
{
	char c = *s->at;

	s->word[0] = 0;
	s->end = false;
	if (!c)
		return false;
	if (c == '-' && s->at[1] == '-')
		s->at += strcspn(s->at, "\n");
	else if (c == '/' && s->at[1] == '*')
		s->at = skip_block_comment(s->at);
	else if (c == '\'')
		s->at = skip_quoted(s->at, c, false);
	else if (c == '"')
		s->at = skip_quoted(s->at, c, false);
	else if ((c == 'e' || c == 'E') && s->at[1] == '\'')
		s->at = skip_quoted(s->at + 1, '\'', true);
	else if (c == '$')
		s->at = skip_dollar(s->at);
	else if (is_word(c) && !isdigit((unsigned char)c))
		take_word(s);
	else {
		s->depth += (c == '(') - (c == ')');
		s->end = c == ';' && s->depth <= 0;
		if (!isspace((unsigned char)c))
			s->last[0] = 0;
		s->at++;
	}
	return true;
}

static bool one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static const char *const transactions[] = { "begin", "start", "commit", "rollback", "abort", "end", "savepoint", "release", NULL };
static const char *const cursors[] = { "declare", "fetch", "move", "close", NULL };
static const char *const readers[] = { "select", "values", "with", "table", "show", "explain", "fetch", "declare", "close", "move", NULL };
static const char *const changers[] = { "insert", "update", "delete", "merge", "into", NULL };

static void first_word(const char *word, struct sql_facts *out)
{
	out->statements++;
	strlcpy(out->first, word, sizeof out->first);
	out->transaction |= one_of(word, transactions);
	out->cursor |= one_of(word, cursors);
}

static void append_upper(const char *word, struct sql_facts *out)
{
	size_t n = strlen(out->writer);

	if (n > 0 && n < sizeof out->writer - 1)
		out->writer[n++] = ' ';
	for (; *word && n < sizeof out->writer - 1; word++)
		out->writer[n++] = (char)toupper((unsigned char)*word);
	out->writer[n] = 0;
}

static void writes(const char *word, struct sql_facts *out)
{
	if (!out->writes)
		append_upper(word, out);
	out->writes = true;
}

static const char *const definers[] = { "create", "alter", "drop", NULL };
static const char *const fillers[] = { "or", "replace", "temp", "temporary", "unlogged", "unique", "recursive", "global", "local", NULL };

/* what_is_defined completes the command tag of CREATE, ALTER and DROP by the kind of the thing. */
static void what_is_defined(const char *word, struct sql_facts *out)
{
	if (out->statements != 1 || strchr(out->writer, ' ') || one_of(word, fillers))
		return;
	append_upper(word, out);
}

/* special_word takes note of a statement that reads, and is no mere query; last is the word before. */
static void special_word(const char *word, const char *last, struct sql_facts *out)
{
	static const struct {
		const char *word, *last, *tag;
	} tags[] = {
		{ "show", "", "SHOW" }, { "explain", "", "EXPLAIN" }, { "fetch", "", "FETCH" }, { "move", "", "MOVE" },
		{ "declare", "", "DECLARE CURSOR" }, { "close", "", "CLOSE CURSOR" },
		{ "update", "for", "SELECT FOR UPDATE" }, { "update", "key", "SELECT FOR NO KEY UPDATE" },
		{ "share", "for", "SELECT FOR SHARE" }, { "share", "key", "SELECT FOR KEY SHARE" },
	};

	for (size_t i = 0; i < lengthof(tags) && !out->special[0]; i++)
		if (strcmp(word, tags[i].word) == 0 && strcmp(last, tags[i].last) == 0)
			strlcpy(out->special, tags[i].tag, sizeof out->special);
}

bool sql_is_query(const struct sql_facts *out)
{
	static const char *const queries[] = { "select", "values", "with", "table", NULL };

	return one_of(out->first, queries);
}

/*
 * later_word takes note of a word within the statement that out->first opened; last
 * is the one before it, and depth that of parentheses.
 */
static void later_word(const char *word, const char *last, int depth, struct sql_facts *out)
{
	static const char *const no_verbs[] = { "for", "key", "as", NULL }; /* what follows these is a lock, or a name */

	if (*last && sql_is_query(out))
		special_word(word, last, out);
	if (one_of(out->first, definers))
		what_is_defined(word, out);
	if (strcmp(out->first, "copy") == 0 && (strcmp(word, "stdin") == 0 || strcmp(word, "stdout") == 0))
		out->copy = true;
	if (strcmp(word, "returning") == 0 && depth == 0)
		out->returning = true;
	if (strcmp(out->first, "select") == 0 && strcmp(word, "into") == 0 && depth == 0) {
		out->selects_into = true;
		writes("select into", out);
	}
	if (strcmp(out->first, "with") == 0 && one_of(word, changers) && !one_of(last, no_verbs))
		writes(word, out);
	if (strcmp(out->first, "prepare") == 0 && strcmp(word, "transaction") == 0)
		out->transaction = true;
}

/* follow_body takes note of a word that opens or closes something in a routine's body. */
static void follow_body(struct scan *s, const struct sql_facts *out)
{
	static const char *const kinds[] = { "function", "procedure", NULL };

	if (strcmp(out->first, "create") != 0 || s->depth > 0)
		return;
	if (one_of(s->word, kinds))
		s->routine = true;
	else if (s->routine && strcmp(s->word, "begin") == 0)
		s->body++;
	else if (s->body > 0 && strcmp(s->word, "case") == 0)
		s->body++;
	else if (s->body > 0 && strcmp(s->word, "end") == 0)
		s->body--;
}

void sql_look(const char *text, struct sql_facts *out)
{
	struct scan s = { .at = text };
	bool fresh = true;

	memset(out, 0, sizeof *out);
	while (next(&s)) {
		if (s.end && s.body == 0) {
			fresh = true;
			s.routine = false;
			s.depth = 0;
		} else if (s.word[0] && fresh) {
			fresh = false;
			first_word(s.word, out);
			special_word(s.word, "", out);
			if (!one_of(s.word, readers))
				writes(s.word, out);
		} else if (s.word[0]) {
			follow_body(&s, out);
			if (s.body == 0)
				later_word(s.word, s.last, s.depth, out);
		}
		if (s.word[0])
			strlcpy(s.last, s.word, sizeof s.last);
	}
}
