package man

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"github.com/pg-bgw/pg-bgw/units/config"
)

var update = flag.Bool("update", false, "write the pages that are made")

// TestMadePages holds the made pages against what they are made from. Making
// one fails where its source leaves out an attribute, a member or an error.
func TestMadePages(t *testing.T) {
	for _, page := range []string{"pg-bgw.hcl.5", "org.pgbgw1.5"} {
		t.Run(page, func(t *testing.T) {
			want := makePage(t, page)
			if *update {
				if err := os.WriteFile(page, want, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			got, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s is out of date; run: go generate ./packaging/man\n%s", page, d)
			}
		})
	}
}

// makePage executes the page's source.
func makePage(t *testing.T, page string) []byte {
	t.Helper()
	f := &fieldList{left: config.Schema()}
	a := readAPI(t)
	tmpl, err := template.New(page + ".in").Funcs(template.FuncMap{
		"fields": f.fields, "fieldsBeyond": f.fieldsBeyond,
		"method": a.method, "signal": a.signal, "property": a.property, "keys": a.keys, "errors": a.errors,
	}).ParseFiles(page + ".in")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, ".\\\" Made from %s.in; see doc.go.\n", page)
	if err := tmpl.Execute(&out, nil); err != nil {
		t.Fatal(err)
	}
	left := f.rest()
	if strings.HasPrefix(page, "org.") {
		left = a.rest()
	}
	if len(left) > 0 {
		t.Fatalf("%s.in leaves out %s", page, strings.Join(left, ", "))
	}
	return out.Bytes()
}

// A fieldList is the schema, less what a page has shown.
type fieldList struct {
	left []config.Field
}

// fields shows the attributes of a block. The empty block is the main file.
func (f *fieldList) fields(block string) (string, error) {
	var out strings.Builder
	for _, field := range f.take(block) {
		fmt.Fprintf(&out, ".TP\n\\fB%s\\fR (%s)\n%s", literal(field.Name), kindOf(field), sentences(field.Doc))
	}
	if out.Len() == 0 {
		return "", fmt.Errorf("there is no block %q", block)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// fieldsBeyond shows the attributes of a block, and of those in it, that other
// does not have, and fails where they differ in anything else.
func (f *fieldList) fieldsBeyond(block, other string) (string, error) {
	known := map[string]config.Field{}
	for _, field := range config.Schema() {
		if rest, ok := strings.CutPrefix(field.Block, other); ok && (rest == "" || rest[0] == '.') {
			field.Block = block + rest
			known[field.Block+"/"+field.Name] = field
		}
	}
	var beyond []config.Field
	for _, field := range f.left {
		same, ok := known[field.Block+"/"+field.Name]
		switch {
		case field.Block != block && !strings.HasPrefix(field.Block, block+"."):
		case !ok && field.Block == block:
			beyond = append(beyond, field)
		case !ok || same != field:
			return "", fmt.Errorf("%s.%s is not that of %s", field.Block, field.Name, other)
		}
	}
	f.left = slices.DeleteFunc(f.left, func(field config.Field) bool {
		return strings.HasPrefix(field.Block, block+".") || field.Block == block && known[block+"/"+field.Name].Name != ""
	})
	if len(beyond) == 0 {
		return "", fmt.Errorf("%s has all that %s has and no more", other, block)
	}
	return f.fields(block)
}

// take removes the attributes of a block from the list and returns them.
func (f *fieldList) take(block string) []config.Field {
	var taken, left []config.Field
	for _, field := range f.left {
		if field.Block == block {
			taken = append(taken, field)
		} else {
			left = append(left, field)
		}
	}
	f.left = left
	return taken
}

// rest names what no page has shown.
func (f *fieldList) rest() []string {
	var names []string
	for _, field := range f.left {
		names = append(names, strings.TrimPrefix(field.Block+"."+field.Name, "."))
	}
	return names
}

// kindOf is the part in brackets behind a name.
func kindOf(f config.Field) string {
	kind := literal(f.Type)
	switch {
	case f.Required:
		kind += "; required"
	case f.Default != "":
		kind += "; default " + literal(f.Default)
	}
	return kind
}
