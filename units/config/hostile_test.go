package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// hostile are file contents made to crash or stall a parser that recurses,
// evaluates or compares without a limit. The first two end a process that
// gives them to the parser as they are.
var hostile = map[string]string{
	"parentheses":            "x = " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000),
	"brackets":               "x = " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
	"braces":                 "x = " + strings.Repeat("{a=", 60_000) + "1" + strings.Repeat("}", 60_000),
	"open brackets":          "x = " + strings.Repeat("[", 200_000),
	"blocks":                 strings.Repeat("a {\n", 60_000),
	"templates":              "x = " + strings.Repeat(`"${`, 60_000),
	"templates closed":       "x = " + strings.Repeat(`"${`, 30_000) + "1" + strings.Repeat(`}"`, 30_000),
	"directives":             `x = "` + strings.Repeat("%{if true}", 20_000) + `"`,
	"negations":              "x = " + strings.Repeat("!", 250_000) + "true",
	"minuses":                "x = " + strings.Repeat("-", 250_000) + "1",
	"conditions":             "x = " + strings.Repeat("1?1:", 60_000) + "1",
	"sum":                    "x = 1" + strings.Repeat("+1", 120_000),
	"comparisons":            "x = 1" + strings.Repeat("==1", 80_000),
	"traversal":              "x = a" + strings.Repeat(".a", 120_000),
	"splats":                 "x = a" + strings.Repeat("[*]", 80_000),
	"indexes":                "x = a" + strings.Repeat("[0]", 80_000),
	"index of quotes":        "x = a" + strings.Repeat(`["a"]`, 50_000),
	"loops":                  "x = " + strings.Repeat("[for a in [1,2,3,4,5,6,7,8,9]: ", 40) + "1" + strings.Repeat("]", 40),
	"loops in a list":        "worker \"a\" {\n command = [" + strings.Repeat("[for a in [1,2,3,4,5,6,7,8,9]: ", 40) + "1" + strings.Repeat("]", 40) + "]\n}\n",
	"huge exponent":          "max_worker_processes = 1e999999999\n",
	"tiny exponent":          "start_splay = 1e-999999999\n",
	"huge exponent, quoted":  "max_worker_processes = \"1e999999999\"\nworker \"a\" {\n main_arg = \"0x" + strings.Repeat("f", 200_000) + "\"\n name = 1e600000000\n restart_time = 1e600000000\n}\n",
	"many digits":            "max_worker_processes = " + strings.Repeat("9", 250_000),
	"one name redefined":     strings.Repeat("a=1\n", 60_000),
	"unknown names":          many(20_000, "u%d = 1\n"),
	"long name":              strings.Repeat("a", 250_000) + " = 1\n",
	"long word":              `log_level = "` + strings.Repeat("a", 250_000) + "\"\n",
	"empty workers":          many(10_000, "worker \"%d\" {\n}\n"),
	"one label":              strings.Repeat("worker \"a\" {\n}\n", 10_000),
	"labels":                 "worker " + strings.Repeat(`"a" `, 60_000) + "{\n}\n",
	"label for a terminal":   "worker \"\x1b[2J\" {\n}\n",
	"escaped terminal label": "worker \"\\u001b[2J\\u009b\" {\n name = \"\\u001b[2J\"\n}\n",
	"heredocs":               strings.Repeat("a = <<A\n", 30_000),
	"heredoc":                "a = <<A\n" + strings.Repeat("A \n", 80_000),
	"heredoc of short lines": "a = <<A\n" + strings.Repeat("a\n", 125_000) + "A\n",
	"dollars":                "a = \"" + strings.Repeat("$", 250_000) + "\"\n",
	"escaped dollars":        "a = \"" + strings.Repeat("$${", 80_000) + "\"\n",
	"escapes":                "a = \"" + strings.Repeat("\\n", 120_000) + "\"\n",
	"percents":               "a = \"" + strings.Repeat("%a", 120_000) + "\"\n",
	"quotes":                 strings.Repeat(`"`, 250_000),
	"comments":               strings.Repeat("/*", 120_000),
	"NUL":                    "max_worker_processes = 1\x00",
	"invalid UTF-8":          "worker \"\xff\" {}",
	"surrogate":              "worker \"\xed\xa0\x80\" {}",
	"UTF-16":                 "\xff\xfem\x00a\x00x\x00",
	"other normal form":      "worker \"a\" {\n command = [\"/bin/e\u0301\"]\n}\n",
	"combining marks":        "# e" + strings.Repeat("\u0301", 100_000) + "\n",
	"only a mark":            "\u0301",
	"pattern":                "template \"a\" {\n argument_pattern = \"" + strings.Repeat("(", 900) + "a" + strings.Repeat("){1000}", 10) + "\"\n}\n",
	"program":                "\x7fELF\x02\x01\x01\x00\x00\x00",
}

var hostileJSON = map[string]string{
	"arrays":         `{"worker": ` + strings.Repeat("[", 100_000),
	"objects":        strings.Repeat(`{"worker":`, 25_000),
	"arrays closed":  `{"worker": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
	"quoted bracket": `{"worker": {"a": {"name": "` + strings.Repeat("[", 100_000) + `"}}}`,
	"half a string":  `{"worker": "\`,
	"one key":        "{" + strings.Repeat(`"worker": {},`, 10_000) + `"x": 1}`,
	"number":         `{"max_worker_processes": 1e999999999}`,
	"template":       `{"worker": {"a": {"name": "` + strings.Repeat("${", 60_000) + `"}}}`,
	"not an object":  `[1, 2]`,
	"null":           `null`,
	"null block":     `{"worker": {"a": null}}`,
	"null blocks":    `{"worker": null}`,
	"string block":   `{"worker": "a"}`,
	"empty":          ` `,
}

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestHostileText(t *testing.T) {
	run := func(name, path, text string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge(t, path, text)
		})
	}
	for name, text := range hostile {
		run(name, "pg-bgw.hcl", text)
	}
	for name, text := range hostileJSON {
		run("json "+name, "pg-bgw.hcl.json", text)
	}
}

// judge loads a text as the main file and checks what holds for all of them:
// either a Config or an error, few diagnostics, and none that does something
// to a terminal.
func judge(t *testing.T, path, text string) *Diagnostics {
	t.Helper()
	c, diags := load([]File{{Path: path, Source: []byte(text)}}, nil, path, Options{})
	if (c == nil) != diags.HasErrors() {
		t.Errorf("a Config and errors at once, or neither")
	}
	if diags.Len() > maxPerFile+1 {
		t.Errorf("%d diagnostics", diags.Len())
	}
	var b bytes.Buffer
	if err := diags.Print(&b, 80, false); err != nil {
		t.Error(err)
	}
	if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && r != '\t' && r < ' ' || r >= 0x7f && r < 0xa0 }) || !utf8.Valid(b.Bytes()) {
		t.Errorf("control characters are printed: %q", b.String())
	}
	for _, d := range diags.List() {
		if d.Summary == "" || d.Severity == "" {
			t.Errorf("empty diagnostic %+v", d)
		}
		if d.File != "" && (d.Line < 1 || d.Column < 1) {
			t.Errorf("%+v: no place", d)
		}
	}
	return diags
}

// TestRefusals holds what is said of a text that never reaches the parser.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		text, want   string
		line, column int
	}{
		{hostile["parentheses"], "Too deep", 1, 105},
		{"\n" + hostile["blocks"], "Too deep", 102, 3},
		{hostile["negations"], "Too many operators", 1, 1005},
		{"a = 1\nb = \x00", "Control character 0x00", 2, 5},
		{"a = 1\nb = \"\u00e9\xff\"", "The file is not UTF-8", 2, 7},
		{"a = 1\nb = \"\u00e9e\u0301\"", "Text that is not in Unicode's form NFC", 2, 7},
	} {
		diags := judge(t, "a.hcl", tt.text)
		if got := diags.List()[0]; diags.Len() != 1 || got.Summary != tt.want || got.Line != tt.line || got.Column != tt.column {
			t.Errorf("%.40q: %+v, want %q at %d:%d", tt.text, got, tt.want, tt.line, tt.column)
		}
	}
}

// TestSigns: a sign is no operator, however many there are.
func TestSigns(t *testing.T) {
	text := "x = [" + strings.Repeat("-5,\n", 5000) + "]\n"
	if _, diags := parse(File{Path: "a.hcl", Source: []byte(text)}); diags.HasErrors() {
		t.Error(diags)
	}
}

// TestUnknownRest: what a file that cannot be read would have defined is not
// missed in another one.
func TestUnknownRest(t *testing.T) {
	refers := File{Path: "b.hcl", Source: []byte(strings.Replace(workerText("b"), "command", "segment = \"s\"\n  command", 1))}
	for name, c := range map[string]struct {
		files  []File
		unread hcl.Diagnostics
	}{
		"not text":   {[]File{{Path: "a.hcl", Source: []byte("segment \"s\" {\n}\n\x00")}, refers}, nil},
		"not read":   {[]File{refers}, hcl.Diagnostics{unreadable("a.hcl", errors.New("too far away"))}},
		"not parsed": {[]File{{Path: "a.hcl", Source: []byte("x = \"\nsegment \"s\" {\n}\n")}, refers}, nil},
	} {
		_, diags := load(c.files, c.unread, "main", Options{})
		for _, d := range diags.List() {
			if d.File == "b.hcl" {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
	if _, diags := load([]File{refers}, nil, "main", Options{}); diags.Len() != 1 {
		t.Errorf("with nothing else: %v", diags.Err())
	}
}

// TestManyMistakes: of one bad file no more is told than can be read, of the
// others everything.
func TestManyMistakes(t *testing.T) {
	_, diags := load([]File{
		{Path: "a.hcl", Source: []byte(many(1000, "u%d = 1\n"))},
		{Path: "b.hcl", Source: []byte("u = 1\n")},
	}, nil, "main", Options{})
	list := diags.List()
	if len(list) != maxPerFile+2 {
		t.Fatalf("%d diagnostics", len(list))
	}
	if got := list[maxPerFile]; got.Summary != "More than 100 mistakes in a.hcl" {
		t.Errorf("%+v", got)
	}
	if got := list[maxPerFile+1]; got.File != "b.hcl" {
		t.Errorf("%+v", got)
	}
	if got, want := diags.Err().Error(), "a.hcl:1:1: Unsupported argument (and 101 more)"; got != want {
		t.Errorf("Err() = %q, want %q", got, want)
	}
}

// FuzzParse looks for a text that crashes, stalls or escapes.
func FuzzParse(f *testing.F) {
	for _, text := range hostile {
		if len(text) < 1000 {
			f.Add(text, false)
		}
	}
	for _, text := range hostileJSON {
		if len(text) < 1000 {
			f.Add(text, true)
		}
	}
	f.Add(workerText("a"), false)
	f.Add(`{"worker": {"a": {"command": ["/bin/sleep", "${x}"], "flags": ["shmem_access"], "restart_time": "never", "environment": {"A": null}, "resources": {"nice": 5}}}}`, true)
	f.Add("template \"t\" {\n command = [\"/bin/echo\", \"%i\"]\n flags = [\"shmem_access\"]\n restart_time = \"never\"\n}\n", false)
	f.Fuzz(func(t *testing.T, text string, json bool) {
		path := "pg-bgw.hcl"
		if json {
			path += ".json"
		}
		if len(text) <= maxFileSize {
			judge(t, path, text)
		}
	})
}
