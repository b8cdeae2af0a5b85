package module

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	w := newWorkshop(t)
	r := w.release()
	w.cc("libown.so", "int of_library; void own(void) {}", "-Wl,-soname,libown.so")
	own := []string{"-L" + w.dir, "-Wl,--no-as-needed", "-lown"}
	for _, c := range []moduleCase{
		{name: "all-provided", source: module("void f(void); int printf(const char *, ...); void m(void) { f(); printf(\"\"); }"),
			verdict: Loads, magic: MagicFits, provided: "f"},
		{name: "nothing", source: module(""), verdict: Loads, magic: MagicFits},
		{name: "stub", source: module("void f(void); void g(void); void m(void) { f(); g(); }"),
			verdict: Loads, magic: MagicFits, provided: "f", stubs: "g"},
		{name: "data", source: module("extern int d; int m(void) { return d; }"),
			verdict: Refused, magic: MagicFits, impossible: "d", fault: "data of the server, which exists only inside it: d"},
		{name: "weak-data", source: module("extern int d __attribute__((weak)); int m(void) { return &d ? d : 0; }"), verdict: Loads, magic: MagicFits},
		{name: "own-data", source: module("extern int d; int m(void) { return d; } int d;"), verdict: Loads, magic: MagicFits},
		{name: "missing", source: module("void nosuch(void); void m(void) { nosuch(); }"),
			verdict: Refused, magic: MagicFits, missing: "nosuch", fault: "neither PostgreSQL 15 nor a library that it is linked with defines: nosuch"},
		{name: "not-listed", source: module("extern int extra; int m(void) { return extra; }"), verdict: Loads, magic: MagicFits},
		{name: "library", source: module("void own(void); extern int of_library; int m(void) { own(); return of_library; }"),
			flags: append(slices.Clone(own), "-Wl,-rpath,$ORIGIN"), verdict: Loads, magic: MagicFits},
		{name: "no-library", source: module("void own(void); void m(void) { own(); }"), flags: own,
			verdict: Refused, magic: MagicFits, missing: "own", fault: "library libown.so, which no-library is linked with, is not found"},
		{name: "no-magic", source: "void m(void) {}", verdict: Refused, magic: MagicMissing, fault: "PG_MODULE_MAGIC"},
		{name: "magic-only-data", source: block("other", magic15), verdict: Refused, magic: MagicMissing},
		{name: "made-magic", source: "static int n[14]; int *Pg_magic_func(void) { n[0] = 56; n[1] = 1500; return n; }", verdict: Unknown, magic: MagicUnknown},
		{name: "two-magics", source: module(block("other", `56, 1700, 100, 32, 64, 1, "PostgreSQL"`)), verdict: Unknown, magic: MagicUnknown},
		{name: "same-twice", source: module(block("other", magic15)), verdict: Loads, magic: MagicFits},
		{name: "release-17", source: block(magicFunction, `56, 1700, 100, 32, 64, 1, "PostgreSQL"`),
			verdict: Refused, magic: MagicDiffers, fault: "it was built for PostgreSQL 17, the library is for 15"},
		{name: "release-14", source: block(magicFunction, `24, 1400, 100, 32, 64, 1`), verdict: Refused, magic: MagicDiffers, fault: "built for PostgreSQL 14"},
		{name: "release-9.6", source: block(magicFunction, `28, 906, 100, 32, 64, 1, 1`), verdict: Refused, magic: MagicDiffers, fault: "built for PostgreSQL 9.6"},
		{name: "namedatalen", source: block(magicFunction, `56, 1500, 100, 32, 128, 1, "PostgreSQL"`),
			verdict: Refused, magic: MagicDiffers, fault: "NAMEDATALEN is 128, the library's 64"},
		{name: "abi", source: block(magicFunction, `56, 1500, 100, 32, 64, 1, "EDB"`), verdict: Refused, magic: MagicDiffers, fault: `ABI "EDB", the library "PostgreSQL"`},
		{name: "release-18", source: `static const struct { int n[6]; char abi[32]; const char *name, *version; } b = { 72, 1800, 100, 32, 64, 1, "PostgreSQL", "mine", "1.0" };
const void *Pg_magic_func(void) { return &b; }`, verdict: Refused, magic: MagicDiffers, fault: "built for PostgreSQL 18"},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(&workshop{T: t, dir: w.dir}, r) })
	}
}

// A moduleCase is a module's source and what is said of the module.
type moduleCase struct {
	name, source string
	flags        []string
	verdict      Verdict
	magic        string
	provided     string
	stubs        string
	impossible   string
	missing      string
	fault        string // part of one of them
}

func (c *moduleCase) check(w *workshop, r *Release) {
	f, err := Open(w.cc(c.name, c.source, c.flags...))
	if err != nil {
		w.Fatal(err)
	}
	got := Check(f, r)
	if got.Verdict != c.verdict || got.Magic != c.magic {
		w.Errorf("verdict %s, magic %s; want %s, %s", got.Verdict, got.Magic, c.verdict, c.magic)
	}
	for _, l := range []struct {
		name, want string
		got        []string
	}{{"provided", c.provided, got.Provided}, {"stubs", c.stubs, got.Stubs}, {"impossible", c.impossible, got.Impossible}, {"missing", c.missing, got.Missing}} {
		if strings.Join(l.got, " ") != l.want || l.got == nil {
			w.Errorf("%s: %q, want %q", l.name, l.got, l.want)
		}
	}
	if faults := strings.Join(got.Faults, "\n"); (got.Verdict == Refused) != (faults != "") || !strings.Contains(faults, c.fault) {
		w.Errorf("faults %q, want %q among them", faults, c.fault)
	}
}

// TestVersionOfLibrary: a library that lacks the version of a symbol is refused by the dynamic linker.
func TestVersionOfLibrary(t *testing.T) {
	w := newWorkshop(t)
	r := w.release()
	script := "-Wl,--version-script=" + w.write("map", "V2 { own; };")
	w.cc("libown.so", "void own(void) {}", "-Wl,-soname,libown.so", script)
	path := w.cc("m.so", module("void own(void); void m(void) { own(); }"), "-L"+w.dir, "-lown", "-Wl,-rpath,${ORIGIN}")
	if got := checkFile(t, path, r); got.Verdict != Loads {
		t.Errorf("%s: %q", got.Verdict, got.Faults)
	}
	w.write("map", "V1 { own; };")
	w.cc("libown.so", "void own(void) {}", "-Wl,-soname,libown.so", script)
	if got := checkFile(t, path, r); got.Verdict != Refused || !strings.Contains(got.Faults[0], "has no version V2, which m.so needs") {
		t.Errorf("%s: %q", got.Verdict, got.Faults)
	}
}

func checkFile(t *testing.T, path string, r *Release) *Report {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return Check(f, r)
}

// TestLikeTheLinker compares the verdict about each module of an installed server with what dlopen says of it, when the
// release's library is loaded before as the launcher does. The module of contrib/workers, built as its author would, needs
// nothing that is not provided.
func TestLikeTheLinker(t *testing.T) {
	w := newWorkshop(t)
	r := w.realRelease()
	modules, err := filepath.Glob(filepath.Join(w.config("--pkglibdir"), "*.so"))
	if err != nil || len(modules) < 10 {
		t.Fatalf("modules %q, error %v", modules, err)
	}
	ours := w.pgxs("../../../contrib/workers/worker_spi", "bgw_spi.so")
	modules = append(modules, ours)
	out, err := exec.Command(w.cc("prober", prober, "-pie", "-ldl"), append([]string{r.Library}, modules...)...).Output()
	if err != nil {
		t.Fatalf("the prober: %v\n%s", err, out)
	}
	lines, loaded := strings.Split(strings.TrimSpace(string(out)), "\n"), 0
	if len(lines) != len(modules) {
		t.Fatalf("%d answers for %d modules", len(lines), len(modules))
	}
	for i, path := range modules {
		got := checkFile(t, path, r)
		if want := lines[i] == "loaded"; want != (got.Verdict == Loads) {
			t.Errorf("%s: %s %q; dlopen: %s", path, got.Verdict, got.Faults, lines[i])
		} else if want {
			loaded++
		}
	}
	t.Logf("%d of %d are loaded", loaded, len(modules))
	if loaded == 0 || loaded == len(modules) {
		t.Errorf("%d of %d are loaded: that shows nothing", loaded, len(modules))
	}
	got := checkFile(t, ours, r)
	if got.Verdict != Loads || len(got.Stubs) > 0 || !slices.Contains(got.Provided, "RegisterBackgroundWorker") || !slices.Contains(got.Provided, "SPI_connect") {
		t.Errorf("%+v", got)
	}
}

// prober loads a library for all, and then each module in a process of its own.
const prober = `#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (!dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL))
		return puts(dlerror()), 2;
	for (int i = 2; i < argc; i++) {
		if (fork() == 0) {
			puts(dlopen(argv[i], RTLD_NOW | RTLD_GLOBAL) ? "loaded" : dlerror());
			fflush(stdout);
			_exit(0);
		}
		wait(NULL);
	}
}`

// config asks pg_config.
func (w *workshop) config(what string) string {
	w.Helper()
	out, err := exec.Command("pg_config", what).Output()
	if err != nil {
		w.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// realRelease builds the library of the release whose server headers are there.
func (w *workshop) realRelease() *Release {
	w.Helper()
	need(w.T, "pg_config")
	if need(w.T, "make"); !exists(filepath.Join(w.config("--includedir-server"), "postgres.h")) || !exists(filepath.Join(w.config("--bindir"), "postgres")) {
		missing(w.T, "the server and its headers (postgresql-server-dev-NN)")
	}
	build := exec.Command("sh", "../../../contrib/libpgbgw/pg/build.sh", "pg_config", w.dir)
	build.Env = append(os.Environ(), "CFLAGS=-O0") // what is defined is the same
	if out, err := build.CombinedOutput(); err != nil {
		w.Fatalf("build.sh: %v\n%s", err, out)
	}
	r, err := OpenRelease(w.dir, 0)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// pgxs builds a module in a copy of its directory.
func (w *workshop) pgxs(source, name string) string {
	w.Helper()
	dir := w.path("module")
	for _, c := range [][]string{{"cp", "-r", source, dir}, {"make", "-s", "-C", dir, "with_llvm=no"}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			w.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	return filepath.Join(dir, name)
}

func TestReleases(t *testing.T) {
	w := newWorkshop(t)
	if _, err := OpenRelease(w.path("nosuch"), 15); err == nil || !strings.Contains(err.Error(), "has no libpgbgw-pgNN.so of any release") {
		t.Error(err)
	}
	w.release()
	for _, n := range []string{"libpgbgw-pg9.so.old", "libpgbgw-pg017.so", "libpgbgw-pgx.so"} {
		w.write(n, "")
	}
	w.cc("libpgbgw-pg16.so", "int nothing;")
	w.write("libpgbgw-pg17.so", "text")
	w.cc("libpgbgw-pg18.so", block("ours", magic15))
	if got := Releases(w.dir); !slices.Equal(got, []int{15, 16, 17, 18}) {
		t.Errorf("releases %v", got)
	}
	for major, want := range map[int]string{
		14: "there is no library for PostgreSQL 14 in " + w.dir + ", but for 15, 16, 17, 18",
		16: "libpgbgw-pg16.so is no library of PostgreSQL 16: its magic block cannot be found",
		17: "cannot read the library of PostgreSQL 17, " + w.path("libpgbgw-pg17.so") + ": it is no ELF file",
		18: "is no library of PostgreSQL 18",
	} {
		if _, err := OpenRelease(w.dir, major); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", major, err)
		}
	}
	for text, want := range map[string]string{
		"f provided\ng stubb\n":                "symbols:2: \"g stubb\" is not the name of a symbol and",
		"f":                                    "symbols:1",
		"":                                     "it names no symbol",
		strings.Repeat("x", 1<<20) + " stub\n": "token too long",
	} {
		w.write("libpgbgw-pg15.symbols", text)
		if _, err := OpenRelease(w.dir, 15); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if err := os.Remove(w.path("libpgbgw-pg15.symbols")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRelease(w.dir, 15); err == nil || !strings.Contains(err.Error(), "libpgbgw-pg15.symbols: no such file") {
		t.Error(err)
	}
}
