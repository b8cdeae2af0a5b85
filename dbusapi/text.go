package dbusapi

import (
	"strings"
	"unicode/utf8"
)

// clean makes s a valid D-Bus string of at most limit bytes: what is not UTF-8, and NUL, becomes U+FFFD. Workers and
// configuration files can put anything into a text, and one bad byte would lose the whole message.
func clean(s string, limit int) string {
	s = bounded(s, limit)
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	return bounded(strings.ReplaceAll(s, "\x00", "\uFFFD"), limit)
}

// bounded cuts s to limit bytes, between characters, and marks the cut.
func bounded(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := max(limit-len("…"), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
