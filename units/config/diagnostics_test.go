package config

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestDiagnosticsJSON(t *testing.T) {
	_, diags := load([]File{{Path: "a.hcl", Source: []byte("worker \"a\" {\n  \u00fc = 1\n\tnotify_pid = 1\n" + strings.TrimPrefix(workerText("a"), "worker \"a\" {\n"))}}, nil, "", Options{})
	text, err := json.Marshal(diags.List()[1])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"severity":"error","summary":"Unsupported argument: notify_pid","detail":"A worker that a file defines has no owner. Register it over the bus to own it, or leave this out.","file":"a.hcl","line":3,"column":2}`
	if string(text) != want {
		t.Errorf("%s\nwant %s", text, want)
	}
	if none := (&Diagnostics{}).List(); none == nil {
		t.Error("an empty list is null")
	}
}

// TestPrint: colours only where asked for, lines wrapped at the width and cut
// where the source's are endless, tabs under tabs.
func TestPrint(t *testing.T) {
	text := "\tlog_level = \"" + strings.Repeat("x", 5000) + "\"" + strings.Repeat(" ", 5000) + "# end\r\n"
	_, diags := load([]File{{Path: "main", Source: []byte(text)}}, nil, "main", Options{})
	var plain, color strings.Builder
	if err := errors.Join(diags.Print(&plain, 60, false), diags.Print(&color, 0, true)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.HasPrefix(color.String(), "\x1b[1;31mError\x1b[0m: ") {
		t.Errorf("colours:\n%s%q", plain.String(), color.String()[:20])
	}
	for _, line := range strings.Split(plain.String(), "\n") {
		if strings.HasPrefix(line, "  ") && !strings.Contains(line, "\"xxx") && len(line) > 60 && !strings.Contains(line, "^") {
			t.Errorf("%d columns: %q", len(line), line)
		}
		if len(line) > 320 {
			t.Errorf("%d bytes: %.100q...", len(line), line)
		}
		if strings.Contains(line, "^") && !strings.HasPrefix(line, "      \t            ^~~") {
			t.Errorf("the marker is not under its word: %.40q", line)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestPrintFails(t *testing.T) {
	_, diags := load([]File{{Path: "a.hcl", Source: []byte("x = 1")}}, nil, "", Options{})
	if err := diags.Print(full{}, 0, false); err == nil {
		t.Error("a failed write is not told")
	}
}

// FuzzPrint: any place in any text can be shown.
func FuzzPrint(f *testing.F) {
	f.Add("a\n\tb\r\nc", 3, 5)
	f.Fuzz(func(t *testing.T, text string, from, to int) {
		if from < 0 || from > len(text) {
			return
		}
		d := refusal(File{Path: "a", Source: []byte(text)}, from, "s", "d")
		d.Subject.End.Byte = to
		before, marked, after := cutLine([]byte(text), *d.Subject)
		if len(before)+len(marked)+len(after) > 4*(snippetBefore+snippetAfter)+6 {
			t.Errorf("%d bytes are shown", len(before)+len(marked)+len(after))
		}
	})
}

// TestMasked: what is shown of a line holds no password, and is as long.
func TestMasked(t *testing.T) {
	for in, want := range map[string]string{
		`password = "geheim"`:                      `password = "******"`,
		`PASSWORD="geheim`:                         `PASSWORD="******`,
		`environment = { PGPASSWORD = "geheim" }`:  `environment = { PGPASSWORD = "******" }`,
		`"password": "geheim", "x": 1`:             `"password": "******", "x": 1`,
		`conninfo = "host=a password=geheim b=c"`:  `conninfo = "host=a password=****** b=c"`,
		`conninfo = "sslpassword = 'ge heim' b=c"`: `conninfo = "sslpassword = '*******' b=c"`,
		`"postgres://u:geheim@h/d?password=x"`:     `"postgres://u:******@h/d?password=*"`,
		`password_file = "/etc/secret"`:            `password_file = "/etc/secret"`,
		`passphrase = geheim`:                      `passphrase = ******`,
		`# a password`:                             `# a password`,
		`password = "a\"geheim"`:                   `password = "*********"`,
		`password = "a\\", b = "c"`:                `password = "***", b = "c"`,
		`conninfo = "password=a,geheim'} b=c"`:     `conninfo = "password=********** b=c"`,
		`conninfo = "password=a\\ geheim b=c"`:     `conninfo = "password=********** b=c"`,
		`conninfo = "password='a\\' geheim' b=c"`:  `conninfo = "password='***********' b=c"`,
		`x = "{\"password\": \"geheim\"}"`:         `x = "{\"password\": \"*********"`,
	} {
		if got := string(masked([]byte("a\n"+in), 2, 2+len(in))); got != "a\n"+want {
			t.Errorf("%s is shown as %s", in, got)
		}
	}
}
