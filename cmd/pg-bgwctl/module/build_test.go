package module

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A workshop is a directory in which a test builds libraries.
type workshop struct {
	*testing.T
	dir string
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	need(t, "cc")
	return &workshop{T: t, dir: t.TempDir()}
}

// need is missing where there is no such program.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, program)
	}
}

// missing skips a test for want of something, or fails it where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }

func (w *workshop) write(name, text string) string {
	w.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return w.path(name)
}

// cc makes the file name of a source, as a shared library unless the flags say otherwise.
func (w *workshop) cc(name, source string, flags ...string) string {
	w.Helper()
	if len(flags) == 0 || flags[0][:2] == "-L" || flags[0][:2] == "-W" {
		flags = append([]string{"-shared", "-fPIC"}, flags...)
	}
	c := w.write(name+".c", source)
	args := append([]string{"-O1", "-w", "-o", w.path(name), c}, flags...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		w.Fatalf("cc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return w.path(name)
}

// magic15 are the members of a magic block of PostgreSQL 15 as Debian has it.
const magic15 = `56, 1500, 100, 32, 64, 1, "PostgreSQL"`

// block is C for a function that returns a block of the members.
func block(function, members string) string {
	return fmt.Sprintf(`static const struct { int n[6]; char abi[32]; } %[1]s_data = { %s };
const void *%[1]s(void) { return &%[1]s_data; }
`, function, members)
}

// module is C for a module of PostgreSQL 15 that has the functions of source.
func module(source string) string { return block(magicFunction, magic15) + source }

// release makes a small library of PostgreSQL 15: f is provided, g a stub, d data.
func (w *workshop) release() *Release {
	w.Helper()
	w.cc("libpgbgw-pg15.so", block("ours", magic15)+"void f(void) {} void g(void) {} int extra;")
	w.write("libpgbgw-pg15.symbols", "f provided\ng stub\nd data\nof_library data\n")
	r, err := OpenRelease(w.dir, 0)
	if err != nil {
		w.Fatal(err)
	}
	return r
}
