package config

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// maxGiven is the longest word that is taken for a misspelling, in bytes: longer
// than any of ours.
const maxGiven = 64

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
		if len(given) > maxGiven {
			continue
		}
		if d := levenshtein.Distance(given, o, nil); d < best && 2*d <= len(o) {
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
