package main

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":        "plain text",
		"ä漢字":               "ä漢字",
		"\x1b[31mred":       `\x1b[31mred`,
		"a\nb\tc\r":         `a\x0ab\x09c\x0d`,
		"\u009b31m":         `\x9b31m`,
		"\u202egnp.exe":     `\u202egnp.exe`,
		"\U000e0041":        `\U000e0041`,
		"bad \xff\xfe utf8": `bad \xff\xfe utf8`,
		"\uFFFD":            "\uFFFD",
		"":                  "",
	} {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %q, want %q", in, got, want)
		}
	}
	if got := safeLines("a\n\tb\x1b"); got != "a\n\tb\\x1b" {
		t.Errorf("safeLines = %q", got)
	}
	if n := len(safe(strings.Repeat("\x00", 10*maxText))); n > maxText+16 {
		t.Errorf("a long text became %d bytes, want at most %d", n, maxText)
	}
}

// FuzzCut holds that what reaches a terminal is printable UTF-8 and as short as asked for.
func FuzzCut(f *testing.F) {
	f.Add("e\u0301漢\x1b[2J", 3, true)
	f.Fuzz(func(t *testing.T, s string, n int, uni bool) {
		n = 1 + (n&0x7fffffff)%200
		clean := safe(s)
		got := cut(clean, n, screen{unicode: uni}.mark())
		if columns(got) > n {
			t.Errorf("%q takes %d columns, at most %d wanted", got, columns(got), n)
		}
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("%q reaches the terminal", got)
		}
	})
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"/bin/sh": "/bin/sh", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "a=b": "a=b",
	} {
		if got := quoted(in); got != want {
			t.Errorf("quoted(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestRelative(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 21, 31, 500_000_000, time.UTC)
	for _, c := range []struct {
		from time.Duration
		want string
	}{
		{0, "just now"}, {-999 * time.Millisecond, "just now"}, {-time.Second, "1s ago"}, {-59999 * time.Millisecond, "59s ago"},
		{-time.Minute, "1min ago"}, {-200 * time.Second, "3min ago"}, {-time.Hour, "1h ago"}, {-7400 * time.Second, "2h 3min ago"},
		{-24 * time.Hour, "1 day ago"}, {-70 * 24 * time.Hour, "2 months ago"}, {-800 * 24 * time.Hour, "2 years ago"},
		{time.Millisecond, "in 1s"}, {6001 * time.Millisecond, "in 7s"}, {7 * time.Second, "in 7s"}, {90 * time.Second, "in 1min"},
	} {
		if got := relative(uint64(now.Add(c.from).UnixMicro()), now); got != c.want {
			t.Errorf("%v: %q, want %q", c.from, got, c.want)
		}
	}
	if got := relative(0, now) + stamp(0, now); got != "--" {
		t.Errorf("never is %q", got)
	}
	if got := relative(1<<64-1, now); got != "in 290 years" {
		t.Errorf("the end of time is %q", got)
	}
	if got, want := stamp(uint64(now.UnixMicro()), now), "Sun 2026-11-22 08:21:31 UTC"; got != want {
		t.Errorf("stamp = %q, want %q", got, want)
	}
}

func TestScreen(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == k {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	var file strings.Builder
	for _, c := range []struct {
		env  []string
		want screen
	}{
		{nil, screen{}},
		{[]string{"COLUMNS", "40"}, screen{width: 40}},
		{[]string{"COLUMNS", "-1"}, screen{}},
		{[]string{"COLUMNS", "x"}, screen{}},
		{[]string{"LANG", "de_DE.UTF-8"}, screen{unicode: true}},
		{[]string{"LANG", "de_DE.UTF-8", "LC_ALL", "C"}, screen{}},
		{[]string{"SYSTEMD_COLORS", "1"}, screen{color: true}},
		{[]string{"SYSTEMD_COLORS", "1", "NO_COLOR", "1"}, screen{color: true}},
		{[]string{"SYSTEMD_COLORS", "maybe"}, screen{}},
	} {
		if got := screenOf(&file, env(c.env...)); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.env, got, c.want)
		}
	}
	for _, c := range []struct {
		env  []string
		want bool
	}{{nil, true}, {[]string{"NO_COLOR", "1"}, false}, {[]string{"TERM", "dumb"}, false}, {[]string{"SYSTEMD_COLORS", "0"}, false}} {
		if got := wantsColor(true, env(c.env...)); got != c.want {
			t.Errorf("on a terminal with %v: colour %v, want %v", c.env, got, c.want)
		}
	}
}
