package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pg-bgw/pg-bgw/units"
)

const vacuum = `template "vacuum" {
  name         = "vacuum %i"
  type         = "100%%"
  command      = ["/usr/bin/vacuumdb", "--dbname=%i", "%%i", "%i%i"]
  flags        = ["shmem_access", "backend_database_connection"]
  start_time   = "recovery_finished"
  restart_time = "never"
  environment  = { A = "%i", B = "b" }
  connection {
    database = "%i"
  }
`

func template(t *testing.T, text string) *Template {
	t.Helper()
	c, diags := load([]File{{Path: "a.hcl", Source: []byte(text)}}, nil, "", Options{})
	if diags.Len() != 0 {
		t.Fatal(diags.Err())
	}
	if len(c.Workers) != 0 {
		t.Errorf("a template runs by itself: %+v", c.Workers)
	}
	found, ok := c.Template(c.Templates[0].Label)
	if !ok {
		t.Fatal("not found by its label")
	}
	return found
}

func TestInstantiate(t *testing.T) {
	tmpl := template(t, vacuum+"}\n")
	want := units.Worker{
		Name: "vacuum app", Type: "100%",
		Command:   []string{"/usr/bin/vacuumdb", "--dbname=app", "%i", "appapp"},
		Flags:     units.ShmemAccess | units.BackendDatabaseConnection,
		StartTime: units.RecoveryFinished, RestartTime: units.NeverRestart,
		Environment: map[string]string{"A": "app", "B": "b"},
		Connection:  &units.Connection{Database: "app"},
	}.WithDefaults()
	for range 2 { // an instance leaves the template as it was
		got, err := tmpl.Instantiate("app")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		got.Command[1], got.Connection.Database = "changed", "changed"
		got.Environment["A"] = "changed"
	}
}

func TestArguments(t *testing.T) {
	free := template(t, vacuum+"}\n")
	bound := template(t, vacuum+"  argument_pattern = \"[a-z]+|-x|\"\n}\n")
	for _, tt := range []struct {
		argument    string
		free, bound bool
	}{
		{"app", true, true},
		{"App", true, false},
		{"a b;$(c)`d`", true, false}, // no shell is between
		{"app\nx", false, false},
		{"app\n", false, false}, // "$" would match before it
		{"", false, true},       // the administrator's pattern allows it
		{"-x", false, true},
		{"--host=elsewhere", false, false},
		{"a\x00", false, false},
		{"a\x7f", false, false},
		{"a\u0085", false, false},
		{"\xff", false, false},
		{"%i", true, false}, // is not replaced again
		{strings.Repeat("a", 63), true, true},
		{strings.Repeat("a", 64), false, false}, // no name of a database
		{strings.Repeat("a", 129), false, false},
	} {
		if _, err := free.Instantiate(tt.argument); (err == nil) != tt.free {
			t.Errorf("%q without a pattern: %v", tt.argument, err)
		}
		if _, err := bound.Instantiate(tt.argument); (err == nil) != tt.bound {
			t.Errorf("%q with a pattern: %v", tt.argument, err)
		}
	}
}

// TestInstanceFaults: what the argument makes invalid is told by field.
func TestInstanceFaults(t *testing.T) {
	_, err := template(t, vacuum+"}\n").Instantiate(strings.Repeat("a", 100))
	var faults units.Faults
	if !errors.As(err, &faults) || faults[0].Field != "name" {
		t.Errorf("%v", err)
	}
	if !strings.HasPrefix(err.Error(), "name: ") {
		t.Errorf("%v", err)
	}
}

// TestPatternIsWhole: alternatives and anchors of the pattern cannot undo that
// all of the argument must match.
func TestPatternIsWhole(t *testing.T) {
	for _, pattern := range []string{"a|b", "^a|b$", "(?m)^a$", "(?i:a)", "(?s)a"} {
		re, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if !re.MatchString("a") || re.MatchString("a\nb") || re.MatchString("xb") || re.MatchString("ax") {
			t.Errorf("%q is not anchored", pattern)
		}
	}
	for _, pattern := range []string{"a)(b", "(", "a)|(?:b", "[", strings.Repeat("a", maxPattern+1), strings.Repeat("(", 500) + "a" + strings.Repeat("){2,1000}", 500)} {
		if _, err := compilePattern(pattern); err == nil {
			t.Errorf("%.20q was accepted", pattern)
		}
	}
}

func FuzzInstantiate(f *testing.F) {
	c, _ := load([]File{{Path: "a.hcl", Source: []byte(vacuum + "}\n")}}, nil, "", Options{})
	f.Add("app")
	f.Add("%")
	f.Fuzz(func(t *testing.T, argument string) {
		w, err := c.Templates[0].Instantiate(argument)
		if err != nil {
			return
		}
		if w.Command[0] != "/usr/bin/vacuumdb" || len(w.Command) != 4 || w.Command[1] != "--dbname="+argument || w.User != "" {
			t.Errorf("%q changed more than its places: %q", argument, w.Command)
		}
		if faults := w.Validate(); faults != nil {
			t.Errorf("%q: an invalid instance: %v", argument, faults)
		}
	})
}

// TestFixed: whether a template's argument decides about the connection.
func TestFixed(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "connection {\n database = \"d%%\"\n }": true, "connection {\n database = \"d%i\"\n }": false,
		"environment = { A = \"b%i\" }": false, "name = \"n %i\"": true,
	} {
		c, diags := load([]File{{Path: "a.hcl", Source: []byte("template \"t\" {\n command = [\"/x\", \"%i\"]\n flags = [\"shmem_access\", \"backend_database_connection\"]\n" +
			" start_time = \"recovery_finished\"\n restart_time = 1\n " + text + "\n}\n")}}, nil, "main", Options{})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		w, fixed := c.Templates[0].Fixed()
		if fixed != want || w.Label != "t" || w.Segment != "main" || w.Connection != nil && strings.Contains(w.Connection.Database, "%%") {
			t.Errorf("%s: %v, %+v", text, fixed, w)
		}
	}
}
