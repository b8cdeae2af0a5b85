package config

import (
	"fmt"
	"strings"
)

// choice says what would be right where given is none of the options: the one
// it is taken for, or all of them.
func choice(given string, options []string) string {
	if o, ok := nearest(given, options); ok {
		return fmt.Sprintf("Did you mean %q?", o)
	}
	return "Use " + anyOf(options) + "."
}

// anyOf is `"a", "b" or "c"`.
func anyOf(options []string) string {
	var b strings.Builder
	for i, o := range options {
		switch {
		case i == 0:
		case i == len(options)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", o)
	}
	return b.String()
}

// nearest returns the option that given is most likely a misspelling of.
func nearest(given string, options []string) (string, bool) {
	best, at := 3, -1 // a third mistake is another word
	for i, o := range options {
		if plain(given) == plain(o) {
			return o, true
		}
		if len(given) > 2 && strings.HasPrefix(o, given) {
			return o, true
		}
		if d := distance(given, o); d < best && 2*d <= len(o) {
			best, at = d, i
		}
	}
	if at < 0 {
		return "", false
	}
	return options[at], true
}

// plain takes from a word what C adds to it: BGWORKER_SHMEM_ACCESS and
// BgWorkerStart_RecoveryFinished are shmem_access and recovery_finished.
func plain(s string) string {
	s = strings.ReplaceAll(strings.ToLower(s), "_", "")
	s = strings.TrimPrefix(s, "bgworker")
	if rest := strings.TrimPrefix(s, "start"); rest != "" {
		return rest
	}
	return s
}

// distance is the number of letters to insert, delete or replace to make b of
// a; words longer than any of ours are far from everything.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
