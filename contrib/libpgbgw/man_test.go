package libpgbgw

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write packaging/man/pgbgw.3")

// TestManPage makes pgbgw(3) again from the comments of pgbgw.h and its parts,
// and compares; with -update it writes it.
func TestManPage(t *testing.T) {
	const path = "../../packaging/man/pgbgw.3"
	made := manPage(header(t))
	if *update {
		if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != made {
		t.Error("packaging/man/pgbgw.3 is not what pgbgw.h says: go test ./contrib/libpgbgw -run TestManPage -update")
	}
	for _, name := range declared(t) {
		if !strings.Contains(made, name+"(") {
			t.Errorf("pgbgw(3) has no %s", name)
		}
	}
}

// manPage is the page: the header's paragraphs, each its declarations and then
// its comment.
func manPage(header string) string {
	var out strings.Builder
	out.WriteString(`.\" Made from contrib/libpgbgw/pgbgw.h by its TestManPage.
.TH PGBGW 3 2026-11-22 pg-bgw "pg-bgw"
.nh
.ad l
.SH NAME
pgbgw \- functions of libpgbgw, for background workers in C
.SH SYNOPSIS
.EX
#include <pgbgw.h>

cc worker.c $(pkg\-config \-\-cflags \-\-libs libpgbgw)
.EE
`)
	_, rest, _ := strings.Cut(header, "/*\n")
	about, rest, _ := strings.Cut(rest, " */\n")
	out.WriteString(".SH DESCRIPTION\n" + prose(comment("/*\n"+about)))
	_, rest, _ = strings.Cut(forReaders(rest), "/* The version of this header")
	for _, paragraph := range paragraphs("/* The version of this header" + rest) {
		if title, ok := strings.CutPrefix(paragraph, "/* ---- "); ok {
			title, _, _ = strings.Cut(title, " ---- */")
			out.WriteString(".SS " + title + "\n")
			continue
		}
		text, code := split(paragraph)
		if code == "" {
			continue
		}
		out.WriteString(".PP\n.EX\n" + literal(code) + ".EE\n")
		if text != "" {
			out.WriteString(".RS 4\n" + prose(text) + ".RE\n")
		}
	}
	page := strings.NewReplacer("\n.RS 4\n.PP\n", "\n.RS 4\n").Replace(out.String())
	out.Reset()
	for i, section := range strings.SplitAfter(page, "\n.SS ") {
		title, rest, _ := strings.Cut(section, "\n")
		if i > 0 {
			rest = strings.TrimPrefix(rest, ".PP\n") // a heading is one
		}
		out.WriteString(title + "\n" + rest)
	}
	out.WriteString(".SH SEE ALSO\n.BR libpgbgw (7),\n.BR pg\\-bgw\\-worker (5),\n.BR org.pgbgw1 (5)\n")
	return out.String()
}

var (
	onlyCPlusPlus = regexp.MustCompile(`(?ms)^#ifdef __cplusplus\n.*?^#endif\n`)
	inlineBody    = regexp.MustCompile(`(?ms)^static inline ([^\n]*)\n\{\n.*?^\}\n`)
)

// forReaders takes away what is for the compiler of C++, and the bodies of functions.
func forReaders(header string) string {
	return inlineBody.ReplaceAllString(onlyCPlusPlus.ReplaceAllString(header, ""), "$1;\n")
}

// paragraphs splits at blank lines outside of comments.
func paragraphs(s string) []string {
	var all []string
	var one strings.Builder
	inside := false
	for line := range strings.Lines(s) {
		inside = (inside || strings.HasPrefix(line, "/*")) && !strings.HasSuffix(line, "*/\n")
		if line == "\n" && !inside {
			if one.Len() > 0 {
				all = append(all, one.String())
			}
			one.Reset()
			continue
		}
		one.WriteString(line)
	}
	return append(all, one.String())
}

// split parts a paragraph into its comment, without marks, and its code.
func split(paragraph string) (text, code string) {
	if !strings.HasPrefix(paragraph, "/*") {
		return "", visible(paragraph)
	}
	text, code, _ = strings.Cut(paragraph, "*/\n")
	return comment(text), visible(code)
}

// visible is code as a reader needs it.
func visible(code string) string {
	var out strings.Builder
	for line := range strings.Lines(code) {
		if strings.HasPrefix(line, "#if") || strings.HasPrefix(line, "#endif") {
			continue
		}
		out.WriteString(strings.TrimPrefix(line, "PGBGW_API "))
	}
	return out.String()
}

// comment takes the marks of a comment away.
func comment(s string) string {
	var out strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(s, "/*")) {
		line = strings.TrimRight(line, "\n")
		line = strings.TrimPrefix(strings.TrimPrefix(line, " *"), " ")
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return strings.Trim(out.String(), "\n") + "\n"
}

// prose sets text: lines that begin with a tab as they are, a blank line as a
// paragraph.
func prose(s string) string {
	var out strings.Builder
	example, fresh := false, true
	for line := range strings.Lines(s) {
		code := strings.HasPrefix(line, "\t")
		switch {
		case code && !example:
			out.WriteString(".PP\n.RS 4\n.EX\n")
		case !code && example:
			out.WriteString(".EE\n.RE\n")
		}
		example = code
		switch {
		case code:
			out.WriteString(literal(line[1:]))
		case line == "\n":
			fresh = true
			continue
		default:
			if fresh && out.Len() > 0 && !strings.HasSuffix(out.String(), ".RE\n") {
				out.WriteString(".PP\n")
			}
			out.WriteString(literal(line))
		}
		fresh = false
	}
	if example {
		out.WriteString(".EE\n.RE\n")
	}
	return out.String()
}

// literal escapes what roff would take for its own.
func literal(s string) string {
	var out strings.Builder
	for line := range strings.Lines(strings.NewReplacer(`\`, `\e`, "-", `\-`, "\t", "    ").Replace(s)) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			out.WriteString(`\&`)
		}
		out.WriteString(line)
	}
	return out.String()
}
