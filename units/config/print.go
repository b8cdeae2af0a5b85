package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"
)

// Bounds of what is shown of a source line, in bytes before the place that is
// pointed at and after its start.
const (
	snippetBefore = 120
	snippetAfter  = 120
)

// Print writes the diagnostics for people, each with the line it is about.
// Text is wrapped at width columns (0: never) and coloured if color is set.
// Control characters of the files do not reach w, and long lines are cut.
func (d *Diagnostics) Print(w io.Writer, width int, color bool) error {
	var b strings.Builder
	for i, h := range d.list {
		if i > 0 {
			b.WriteByte('\n')
		}
		d.print(&b, h, width, color)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *Diagnostics) print(b *strings.Builder, h *hcl.Diagnostic, width int, color bool) {
	title, paint := "Error", "\x1b[1;31m"
	if h.Severity == hcl.DiagWarning {
		title, paint = "Warning", "\x1b[1;33m"
	}
	if color {
		title = paint + title + "\x1b[0m"
	}
	fmt.Fprintf(b, "%s: %s\n", title, clean(h.Summary))
	if h.Subject != nil {
		d.printPlace(b, *h.Subject)
	}
	if h.Detail != "" {
		b.WriteByte('\n')
		wrap(b, clean(h.Detail), width)
	}
}

// printPlace writes where a diagnostic points, and what is there.
func (d *Diagnostics) printPlace(b *strings.Builder, r hcl.Range) {
	tree := d.trees[r.Filename]
	in := ""
	if tree != nil && tree.Nav != nil {
		if block := hcled.ContextString(tree, r.Start.Byte); block != "" {
			in = ", in " + clean(block)
		}
	}
	fmt.Fprintf(b, "\n  on %s%s:\n", where(r), in)
	if tree == nil || r.Start.Byte > len(tree.Bytes) {
		return
	}
	before, marked, after := cutLine(tree.Bytes, r)
	head := fmt.Sprintf("%4d: ", r.Start.Line)
	fmt.Fprintf(b, "%s%s%s%s\n", head, before, marked, after)
	indent := strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, head+before)
	fmt.Fprintf(b, "%s^%s\n", indent, strings.Repeat("~", max(utf8.RuneCountInString(marked)-1, 0)))
}

// cutLine returns the line in which r starts, in three parts, of which the
// middle one is r as far as the line goes.
func cutLine(src []byte, r hcl.Range) (before, marked, after string) {
	at := r.Start.Byte
	start := bytes.LastIndexByte(src[:at], '\n') + 1
	end := len(src)
	if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
		end = at + i
	}
	src = masked(src, start, end)
	stop := min(max(r.End.Byte, at), end)
	dots := ""
	if at-start > snippetBefore {
		start, dots = at-snippetBefore, "..."
	}
	before = dots + clean(string(src[start:at]))
	tail := ""
	if end-at > snippetAfter {
		end, tail = at+snippetAfter, "..."
	}
	stop = min(stop, end)
	return before, clean(string(src[at:stop])), clean(strings.TrimRight(string(src[stop:end]), "\r")) + tail
}

// clean puts a visible character for each one that a terminal would obey.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || unicode.IsPrint(c) {
			return c
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// wrap writes text indented, in lines of at most width columns where its words
// permit that.
func wrap(b *strings.Builder, text string, width int) {
	const indent = "  "
	for _, line := range strings.Split(text, "\n") {
		column := 0
		for _, word := range strings.Fields(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case column == 0:
				b.WriteString(indent)
				column = len(indent)
			case width > 0 && column+1+n > width:
				b.WriteString("\n" + indent)
				column = len(indent)
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
		b.WriteByte('\n')
	}
}
