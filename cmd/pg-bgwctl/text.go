package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// maxText bounds one line of foreign text, in bytes.
const maxText = 8192

// maxLines bounds a text of several lines, in bytes.
const maxLines = 16 << 20

// safe makes one line of foreign text that no terminal obeys: control characters, escape sequences, line ends, and what
// reorders or hides text are written as \x1b or \u202e; what is not UTF-8 as its bytes. It is at most maxText long.
func safe(s string) string { return escape(s, maxText, false) }

// safeLines is safe for a text of several lines: line ends and tabs stay.
func safeLines(s string) string { return escape(s, maxLines, true) }

func escape(s string, limit int, lines bool) string {
	var b strings.Builder
	for i, r := range s {
		if b.Len() >= limit {
			b.WriteString("...")
			break
		}
		switch {
		case lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// columns returns how many columns of a terminal s takes; s is safe.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens s to at most n columns, and marks that by mark. s is safe.
func cut(s string, n int, mark string) string {
	if columns(s) <= n {
		return s
	}
	room := n - columns(mark)
	if room <= 0 {
		return strings.Repeat(".", n)
	}
	for i, r := range s {
		if room -= runeColumns(r); room < 0 {
			return s[:i] + mark
		}
	}
	return s
}

// quoted writes a word as a shell would take it, for a command line that is shown.
func quoted(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(safe(word), "'", `'\''`) + "'"
}

// plain are the characters that no shell gives a meaning inside a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@%+,-"

// quotedAll writes a command line.
func quotedAll(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quoted(w)
	}
	return strings.Join(out, " ")
}

// count writes a number with the word it counts: "1 worker", "2 workers".
func count[N int | uint64](n N, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
