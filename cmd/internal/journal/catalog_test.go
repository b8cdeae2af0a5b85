package journal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const catalog = "../../../packaging/catalog/pg-bgw.catalog"

// constants finds the MessageID constants of ids.go, name by value.
func constants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "ids.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "MessageID" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if other, twice := found[value]; twice {
				t.Errorf("%s and %s have the same id", other, spec.Names[0].Name)
			}
			found[value] = spec.Names[0].Name
		}
		return true
	})
	return found
}

func TestEveryIDIsInTheCatalogAndViceVersa(t *testing.T) {
	text, err := os.ReadFile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# (\w+)\n-- ([0-9a-f]{32})$`).FindAllStringSubmatch(string(text), -1) {
		entries[m[2]] = m[1]
	}
	if n := strings.Count(string(text), "\n-- "); n != len(entries) {
		t.Errorf("the catalog has %d entries, of which %d have a name, a valid id and are unique", n, len(entries))
	}
	if diff := cmp.Diff(constants(t), entries); diff != "" {
		t.Errorf("ids.go (-) and the catalog (+) differ:\n%s", diff)
	}
}

// What the catalog's @FIELD@ refer to must be what records have.
func TestCatalogNamesOurFields(t *testing.T) {
	text, err := os.ReadFile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, key := range []string{
		Worker("").Key, Type("").Key, Slot(0).Key, Generation(0).Key, StartNumber(0).Key, State("").Key,
		Reason("").Key, Segment("").Key, ExitCode(0).Key, ExitSignal(0).Key, PID(0).Key, Error(nil).Key,
	} {
		known[fieldName("", key)] = true
	}
	for _, m := range regexp.MustCompile(`@(\w+)@`).FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("the catalog refers to %s, which no attribute makes", m[1])
		}
	}
}

func TestJournalctlReadsTheCatalog(t *testing.T) {
	journalctl, err := exec.LookPath("journalctl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("journalctl is not installed")
		}
		t.Skip("journalctl is not installed")
	}
	root := t.TempDir()
	if err := os.MkdirAll(root+"/usr/lib/systemd/catalog", 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/usr/lib/systemd/catalog/pg-bgw.catalog", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(journalctl, "--root="+root, "--update-catalog").CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("journalctl --update-catalog: %v\n%s", err, out)
	}
	out, err := exec.Command(journalctl, "--root="+root, "--list-catalog").CombinedOutput()
	if err != nil {
		t.Fatalf("journalctl --list-catalog: %v\n%s", err, out)
	}
	if got, want := strings.Count(string(out), "\n"), len(constants(t)); got != want {
		t.Errorf("journalctl lists %d entries, want %d:\n%s", got, want, out)
	}
}
