package man

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/units/config"
)

// TestCommandPage compares pg-bgwctl.1 with what the program says of itself:
// its commands, and the flags of each.
func TestCommandPage(t *testing.T) {
	program := build(t, "pg-bgwctl")
	page := plainPage(t, "pg-bgwctl.1")
	flags := map[string]bool{}
	verbs := verbsOf(output(t, program, "help"))
	if len(verbs) < 10 {
		t.Fatalf("pg-bgwctl help lists %q", verbs)
	}
	for _, verb := range verbs {
		if !regexp.MustCompile(`(?m)^\.BR? ` + verb + `( |$)`).MatchString(page) {
			t.Errorf("pg-bgwctl.1 has no entry for the command %s", verb)
		}
		help := []string{"help", verb}
		if verb == "module" {
			help = append(help, "check")
		}
		for _, flag := range flagsOf(output(t, program, help...)) {
			flags[flag] = true
			if !regexp.MustCompile(flag + `\b`).MatchString(page) {
				t.Errorf("pg-bgwctl.1 does not name %s of the command %s", flag, verb)
			}
		}
	}
	for _, named := range flagsIn(page) {
		if !flags[named] {
			t.Errorf("pg-bgwctl.1 names %s, which no command has", named)
		}
	}
}

// verbsOf reads the commands from the help of pg-bgwctl.
func verbsOf(help string) []string {
	_, list, _ := strings.Cut(help, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var verbs []string
	for line := range strings.Lines(list) {
		verbs = append(verbs, strings.Fields(line)[0])
	}
	return verbs
}

// TestDaemonPage compares pg-bgwd.8 with the program's own summary.
func TestDaemonPage(t *testing.T) {
	page := plainPage(t, "pg-bgwd.8")
	flags := flagsOf(output(t, build(t, "pg-bgwd"), "--help"))
	if len(flags) < 5 {
		t.Fatalf("pg-bgwd --help lists %q", flags)
	}
	for _, flag := range flags {
		if !strings.Contains(page, flag) {
			t.Errorf("pg-bgwd.8 does not name %s", flag)
		}
	}
	for _, named := range flagsIn(page) {
		if named != "--help" && !slices.Contains(flags, named) {
			t.Errorf("pg-bgwd.8 names %s, which is no flag", named)
		}
	}
}

// TestWorkerPage looks for the variables that the code sets for a worker.
func TestWorkerPage(t *testing.T) {
	page := plainPage(t, "pg-bgw-worker.5")
	set := map[string]bool{}
	for _, file := range []string{"../../cmd/internal/daemon/launcher.go", "../../units/server/login.go", "../../units/launch/wire.go", "../../units/server/target.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"((?:PGBGW|PATH|LANG|PGAPPNAME|PGDATABASE|PGUSER|PGHOST|PGPORT|PGOPTIONS|PGSSL|PGPASSFILE|JOURNAL|INVOCATION)[A-Z_]*)[="]`).FindAllStringSubmatch(string(text), -1) {
			set[m[1]] = true
		}
	}
	if len(set) < 10 {
		t.Fatalf("the code sets no more than %v", set)
	}
	for name := range set {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(page) {
			t.Errorf("pg-bgw-worker.5 does not name %s", name)
		}
	}
}

// TestShippedSettings holds the commented defaults of the shipped file against
// the schema.
func TestShippedSettings(t *testing.T) {
	text, err := os.ReadFile("../etc/pg-bgw.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range config.Schema() {
		if line := "\n#" + f.Name + " = " + f.Default + "\n"; f.Block == "" && !strings.Contains(string(text), line) {
			t.Errorf("packaging/etc/pg-bgw.hcl has no line %q", strings.TrimSpace(line))
		}
	}
}

// TestNoWarnings has the pages read by the programs that show them.
func TestNoWarnings(t *testing.T) {
	pages, err := filepath.Glob("*.[1-8]")
	if err != nil || len(pages) < 5 {
		t.Fatalf("pages %q, error %v", pages, err)
	}
	for _, reader := range [][]string{{"man", "--warnings", "--local-file"}, {"mandoc", "-T", "lint", "-W", "warning"}} {
		t.Run(reader[0], func(t *testing.T) {
			program, err := exec.LookPath(reader[0])
			switch {
			case err != nil && reader[0] == "man" && os.Getenv("CI") == "true":
				t.Fatal(err)
			case err != nil:
				t.Skip(err)
			}
			for _, page := range pages {
				cmd := exec.Command(program, append(slices.Clone(reader[1:]), page)...)
				cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANPAGER=cat")
				var complaints strings.Builder
				cmd.Stderr = &complaints
				out, err := cmd.Output()
				if reader[0] == "mandoc" {
					complaints.Write(out)
				}
				if err != nil || complaints.Len() > 0 {
					t.Errorf("%s %s: %v\n%s", reader[0], page, err, &complaints)
				}
			}
		})
	}
}

// build builds a program of this module.
func build(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", name, err, out)
	}
	return path
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return string(out)
}

// plainPage returns the source of a page without its escapes.
func plainPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`\\f.|\\`).ReplaceAllString(string(text), "")
}

// flagsOf reads the flags from a help text, where each begins a line.
func flagsOf(help string) []string {
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(help, -1) {
		flags = append(flags, m[1])
	}
	return flags
}

// flagsIn finds every long flag that a page names.
func flagsIn(page string) []string {
	return regexp.MustCompile(`--[a-z][a-z-]*[a-z]`).FindAllString(page, -1)
}
