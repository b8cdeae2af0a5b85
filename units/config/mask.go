package config

import (
	"bytes"
	"regexp"
	"slices"
)

// secretForm finds what may be a password in a line: the value of something
// that is called so, in HCL, JSON and connection strings, and in a URI. Where a
// value ends is taken from its own quotation marks, whatever of it is escaped;
// in doubt too much is found.
var secretForm = regexp.MustCompile(`(?i)pass(?:word|wd|phrase)\\*["']?\s*[=:]\s*(?:\\?"((?:[^"\\]|\\.)*)|'((?:[^'\\]|\\+.)*)|((?:[^\s"\\]|\\+.)+))|://[^\s:/@"]*:([^\s@"]+)@`)

// masked returns src with stars for what may be a password in the line from
// start to end: what is shown of a mistake goes to logs.
func masked(src []byte, start, end int) []byte {
	found := secretForm.FindAllSubmatchIndex(src[start:end], -1)
	if found == nil {
		return src
	}
	src = slices.Clone(src)
	for _, m := range found {
		for g := 2; g < len(m); g += 2 {
			if m[g] >= 0 {
				copy(src[start+m[g]:start+m[g+1]], bytes.Repeat([]byte("*"), m[g+1]-m[g]))
			}
		}
	}
	return src
}
