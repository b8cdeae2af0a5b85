package man

import (
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// An api is what is on the bus: members as in "Manager.Reload", with the text
// that a page shows for them, and errors. Names that a page has shown are in
// shown.
type api struct {
	methods, signals, properties map[string]string
	errorDocs                    map[string]string // by name, what the code says of it
	shown                        map[string]bool
}

type xmlInterface struct {
	Name       string      `xml:"name,attr"`
	Methods    []xmlMember `xml:"method"`
	Signals    []xmlMember `xml:"signal"`
	Properties []xmlMember `xml:"property"`
}

type xmlMember struct {
	Name   string `xml:"name,attr"`
	Type   string `xml:"type,attr"`
	Access string `xml:"access,attr"`
	Args   []struct {
		Name      string `xml:"name,attr"`
		Type      string `xml:"type,attr"`
		Direction string `xml:"direction,attr"`
	} `xml:"arg"`
}

func readAPI(t *testing.T) *api {
	t.Helper()
	a := &api{methods: map[string]string{}, signals: map[string]string{}, properties: map[string]string{},
		errorDocs: errorDocs(t), shown: map[string]bool{}}
	for _, short := range []string{"Manager", "Worker", "Server"} {
		text, err := os.ReadFile("../../dbusapi/org.pgbgw1." + short + ".xml")
		if err != nil {
			t.Fatal(err)
		}
		var node struct {
			Interface xmlInterface `xml:"interface"`
		}
		if err := xml.Unmarshal(text, &node); err != nil {
			t.Fatal(err)
		}
		for _, m := range node.Interface.Methods {
			a.methods[short+"."+m.Name] = m.signature()
		}
		for _, m := range node.Interface.Signals {
			a.signals[short+"."+m.Name] = m.signature()
		}
		for _, p := range node.Interface.Properties {
			a.properties[short+"."+p.Name] = fmt.Sprintf("\\fB%s\\fR %s", p.Name, p.Type)
		}
	}
	return a
}

// signature sets a member with its arguments: name and type of each, and behind
// an arrow what a method returns.
func (m xmlMember) signature() string {
	var in, out []string
	for _, arg := range m.Args {
		set := fmt.Sprintf("%s \\fI%s\\fR", arg.Type, arg.Name)
		if arg.Direction == "out" {
			out = append(out, set)
		} else {
			in = append(in, set)
		}
	}
	text := fmt.Sprintf("\\fB%s\\fR(%s)", m.Name, strings.Join(in, ", "))
	if len(out) > 0 {
		text += " \\(-> (" + strings.Join(out, ", ") + ")"
	}
	return text
}

func (a *api) method(name string) (string, error)   { return a.show(a.methods, name) }
func (a *api) signal(name string) (string, error)   { return a.show(a.signals, name) }
func (a *api) property(name string) (string, error) { return a.show(a.properties, name) }

func (a *api) show(of map[string]string, name string) (string, error) {
	text, ok := of[name]
	if !ok {
		return "", fmt.Errorf("the XML has no %s of that kind", name)
	}
	a.shown[name] = true
	return text, nil
}

// rest names what the page has not shown.
func (a *api) rest() []string {
	var names []string
	for _, of := range []map[string]string{a.methods, a.signals, a.properties, a.errorDocs} {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			if !a.shown[name] {
				names = append(names, name)
			}
		}
	}
	return names
}

// keys shows the keys of a definition, each with its type, which is that of the
// property of the same name.
func (a *api) keys() (string, error) {
	var set []string
	for _, key := range strings.Split((2*dbusapi.KeyStopWithOwner - 1).String(), ", ") {
		text, ok := a.properties["Worker."+key]
		if !ok {
			return "", fmt.Errorf("the key %s is no property", key)
		}
		a.shown["Worker."+key] = true
		set = append(set, text)
	}
	return strings.Join(set, ",\n"), nil
}

// errors shows the errors of the API.
func (a *api) errors() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.errorDocs)) {
		a.shown[name] = true
		fmt.Fprintf(&out, ".TP\n.B %s\n%s", name, sentences(a.errorDocs[name]))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// errorDocs are the constants of dbusapi that name an error of org.pgbgw1, with
// their comments: "ErrorNoFreeSlot: ...".
func errorDocs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../dbusapi/errors.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		value, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		name, err := strconv.Unquote(value.Value)
		if err != nil || !strings.HasPrefix(name, "org.pgbgw1.Error.") {
			return true
		}
		_, text, found := strings.Cut(strings.Join(strings.Fields(spec.Doc.Text()), " "), ": ")
		if !found {
			t.Errorf("%s: the comment should be \"%s: what it says.\"", name, spec.Names[0])
			return true
		}
		docs[name] = withoutRow(asSentence(text))
		return true
	})
	if len(docs) == 0 {
		t.Fatal("dbusapi/errors.go names no error")
	}
	return docs
}

// asSentence gives a text a capital letter, unless a name begins it.
func asSentence(s string) string {
	if word, _, _ := strings.Cut(s, " "); strings.Contains(word, "_") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// withoutRow takes a conformance row from the end of a sentence.
func withoutRow(s string) string {
	i := strings.LastIndex(s, " (BGW-")
	if i < 0 {
		return s
	}
	return s[:i] + "."
}
