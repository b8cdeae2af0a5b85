package man

import (
	"regexp"
	"strings"
	"testing"
)

// lineWidth is how long lines of a made page may be, in bytes of its source.
const lineWidth = 78

// literal escapes text that is to be shown as it is: program text, whose
// hyphens can be copied from the page.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `"`, `\(dq`, `'`, `\(aq`).Replace(s)
}

// programText is a word that is no English: its hyphens are minus signs.
var programText = regexp.MustCompile(`^-|[0-9_/.=$"%<:-].*-|-.*[0-9_/.=$"%<]`)

// sentences sets a text, one sentence on each line, or on several.
func sentences(s string) string {
	var out strings.Builder
	line := 0
	words := strings.Fields(s)
	for i, w := range words {
		set := escape(w)
		switch {
		case line == 0:
		case line+1+len(set) > lineWidth:
			out.WriteByte('\n')
			line = 0
		default:
			out.WriteByte(' ')
			line++
		}
		if line == 0 && strings.ContainsAny(set[:1], ".'") {
			set = `\&` + set
		}
		out.WriteString(set)
		line += len(set)
		if i == len(words)-1 || endsSentence(w, words[i+1]) {
			out.WriteByte('\n')
			line = 0
		}
	}
	return out.String()
}

// escape sets one word.
func escape(w string) string {
	set := strings.NewReplacer(`\`, `\e`, `"`, `\(dq`).Replace(w)
	if programText.MatchString(strings.Trim(w, "(),.;:")) {
		set = strings.ReplaceAll(set, "-", `\-`)
	}
	return set
}

// endsSentence reports whether a sentence ends with w: a full stop before a
// capital letter.
func endsSentence(w, next string) bool {
	return strings.HasSuffix(strings.TrimRight(w, `")`), ".") && next[0] >= 'A' && next[0] <= 'Z'
}

func TestSentences(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`One. Two`, "One.\nTwo\n"},
		{`e.g. this`, "e.g. this\n"},
		{`.hidden "x\y"`, "\\&.hidden \\(dqx\\ey\\(dq\n"},
		{`well-known 10-multi-user.conf, -1000 to 19`, "well-known 10\\-multi\\-user.conf, \\-1000 to 19\n"},
		{``, ""},
		{strings.Repeat("word ", 20), strings.Repeat("word ", 14) + "word\nword word word word word\n"},
	} {
		if got := sentences(c.in); got != c.want {
			t.Errorf("sentences(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
