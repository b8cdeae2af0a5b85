package libpgbgw

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the tests build, once: a directory with the library, and the test
// programs with and without the sanitizers.
var built struct {
	dir  string
	role string // for kills, and many processes
	asan string // for everything else
}

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if _, err := exec.LookPath(compiler()); err != nil {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("skipped: no C compiler:", err)
		return 0
	}
	dir, err := os.MkdirTemp("", "libpgbgw-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built.dir, built.role, built.asan = dir, filepath.Join(dir, "plain/role"), filepath.Join(dir, "asan/role")
	for _, c := range [][]string{
		{filepath.Join(dir, "lib")},
		{"test", filepath.Join(dir, "plain"), "-g", "-O1"},
		{"test", filepath.Join(dir, "asan"), "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"},
	} {
		if out, err := exec.Command("./build.sh", c...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build.sh %v: %v\n%s", c, err, out)
			return 1
		}
	}
	return m.Run()
}

func compiler() string {
	if cc := os.Getenv("CC"); cc != "" {
		return cc
	}
	return "cc"
}

// TestHeader: the header is for C11 and C++, and the library links both ways,
// and without anything else.
func TestHeader(t *testing.T) {
	source := `#include <pgbgw.h>
int main() { pgbgw_worker *w; pgbgw_definition d; pgbgw_definition_init(&d); return pgbgw_open(&w) == -6 /* ENXIO */ ? 0 : 1; }
`
	for _, c := range []struct{ compiler, file, standard string }{
		{"cc", "t.c", "-std=c11"}, {"c++", "t.cc", "-std=c++11"}, {"clang", "t.c", "-std=c11"}, {"clang++", "t.cc", "-std=c++20"},
	} {
		if _, err := exec.LookPath(c.compiler); err != nil {
			t.Logf("not with %s: %v", c.compiler, err)
			continue
		}
		dir := t.TempDir()
		file, program := filepath.Join(dir, c.file), filepath.Join(dir, "t")
		if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, library := range []string{"-lpgbgw", "-l:libpgbgw.a"} {
			out, err := exec.Command(c.compiler, c.standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-I.", "-o", program, file,
				"-L"+filepath.Join(built.dir, "lib"), library, "-pthread").CombinedOutput()
			if err != nil {
				t.Fatalf("%s %s: %v\n%s", c.compiler, library, err, out)
			}
			run := exec.Command(program)
			run.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(built.dir, "lib")}
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%s %s: %v\n%s", c.compiler, library, err, out)
			}
		}
	}
}

// TestExports: the library exports what the header declares, and nothing else.
func TestExports(t *testing.T) {
	out, err := exec.Command("nm", "-D", "--defined-only", filepath.Join(built.dir, "lib", "libpgbgw.so.1")).Output()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); f[1] != "A" {
			name, version, _ := strings.Cut(f[2], "@@")
			if exported[name] = true; version != "PGBGW_1" {
				t.Errorf("%s has the version %q", name, version)
			}
		}
	}
	for _, name := range declared(t) {
		if !exported[name] {
			t.Errorf("pgbgw.h declares %s, which the library does not export", name)
		}
		delete(exported, name)
	}
	for name := range exported {
		t.Errorf("the library exports %s, which pgbgw.h does not declare", name)
	}
	dynamic, err := exec.Command("readelf", "-d", filepath.Join(built.dir, "lib", "libpgbgw.so.1")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(dynamic)) {
		if strings.Contains(line, "(NEEDED)") && !strings.Contains(line, "libc.so") && !strings.Contains(line, "ld-linux") {
			t.Errorf("it needs more than the C library: %s", line)
		}
		if strings.Contains(line, "(SONAME)") && !strings.Contains(line, "[libpgbgw.so.1]") {
			t.Error(line)
		}
	}
}

// TestArchive: the static library takes no name from the program that it is
// linked into but those with its prefixes.
func TestArchive(t *testing.T) {
	out, err := exec.Command("nm", "-g", "--defined-only", filepath.Join(built.dir, "lib", "libpgbgw.a")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasPrefix(f[2], "pgbgw_") && !strings.HasPrefix(f[2], "pgi_") {
			t.Errorf("the archive defines %s", f[2])
		}
	}
}

// header is pgbgw.h with its parts in their places.
func header(t *testing.T) string {
	part := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var all strings.Builder
	for line := range strings.Lines(part("pgbgw.h")) {
		name, ok := strings.CutPrefix(line, "#include \"")
		switch {
		case ok:
			_, text, _ := strings.Cut(part(strings.TrimSuffix(name, "\"\n")), "#endif\n\n")
			all.WriteString("\n" + text)
		case !strings.Contains(line, "PGBGW_PARTS") && line != "/* The parts, by subject. */\n":
			all.WriteString(line)
		}
	}
	return all.String()
}

// declared are the functions of the header.
func declared(t *testing.T) []string {
	var names []string
	for line := range strings.Lines(header(t)) {
		if rest, ok := strings.CutPrefix(line, "PGBGW_API "); ok {
			name, _, _ := strings.Cut(rest, "(")
			names = append(names, name[strings.LastIndexAny(name, " *")+1:])
		}
	}
	if len(names) < 40 {
		t.Fatalf("the header declares %q", names)
	}
	return names
}
