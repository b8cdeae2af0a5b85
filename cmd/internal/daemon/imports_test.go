package daemon

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pg-bgw/pg-bgw/"

// mayImport is the import table of the module: what each package may import of
// it, besides its own sub-packages. Imports go down only, so that what a
// worker is can be read without knowing how it is run. Tests are not held to
// it.
var mayImport = []struct {
	prefix  string
	allowed []string // prefixes; nil: everything
}{
	{"units/", []string{"units"}},
	{"units", []string{}},
	{"shm", []string{}},
	{"policy", []string{}},
	{"dbusapi", []string{}},
	{"cmd/internal/daemon", nil},
	{"cmd/internal/", []string{}},
	{"cmd/pg-bgwd", []string{"cmd/internal/daemon", "cmd/internal/journal", "units/config"}},
	{"cmd/pg-bgwctl", []string{"dbusapi", "units", "units/config", "units/server", "policy"}}, // the server for check --connect and setup
	{"contrib/", []string{"shm"}},
	{"packaging/", []string{"dbusapi", "shm"}},
}

func TestImportTable(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		checkImports(t, strings.TrimPrefix(p.ImportPath, module), p.Imports, used)
	}
	for _, row := range mayImport {
		if !used[row.prefix] && row.prefix != "contrib/" {
			t.Errorf("the row %q of the table is about no package", row.prefix)
		}
	}
}

func checkImports(t *testing.T, pkg string, imports []string, used map[string]bool) {
	for _, row := range mayImport {
		if !within(pkg, row.prefix) {
			continue
		}
		used[row.prefix] = true
		for _, i := range imports {
			i, ours := strings.CutPrefix(i, module)
			own := strings.HasPrefix(i, strings.TrimSuffix(row.prefix, "/")+"/") && !strings.HasPrefix(row.prefix, "units/")
			if !ours || row.allowed == nil || own || strings.HasPrefix(i, pkg+"/") || slices.ContainsFunc(row.allowed, func(a string) bool { return a == i }) {
				continue
			}
			t.Errorf("%s imports %s; it may import %v of this module", pkg, i, row.allowed)
		}
		return
	}
	t.Errorf("%s is in no row of the import table: say what it may import", pkg)
}

// within reports whether pkg is the package prefix, or below it.
func within(pkg, prefix string) bool {
	return pkg == strings.TrimSuffix(prefix, "/") && !strings.HasSuffix(prefix, "/") || strings.HasPrefix(pkg, strings.TrimSuffix(prefix, "/")+"/")
}
