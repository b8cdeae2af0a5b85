package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestSchema: what is documented is complete, and the defaults that it names
// are what a file without them means.
func TestSchema(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range Schema() {
		path := f.Block + "." + f.Name
		if seen[path] {
			t.Errorf("%s is listed twice", path)
		}
		seen[path] = true
		if f.Type == "" || !strings.HasSuffix(strings.TrimSuffix(f.Doc, ")"), ".") && !strings.Contains(f.Doc, ". (bgw_") {
			t.Errorf("%s: type %q, doc %q", path, f.Type, f.Doc)
		}
		if f.Required && f.Default != "" {
			t.Errorf("%s is required and has a default", path)
		}
	}
	for _, path := range []string{".max_worker_processes", "segment.size", "server.conninfo", "worker.flags",
		"worker.resources.memory_max", "template.connection.database", "template.argument_pattern"} {
		if !seen[path] {
			t.Errorf("%s is missing", path)
		}
	}
	if seen["worker.notify_pid"] || seen["worker.argument_pattern"] {
		t.Error("attributes are listed that are refused")
	}
}

// TestDefaults writes every default out and compares with leaving it out.
func TestDefaults(t *testing.T) {
	blocks := map[string]*strings.Builder{}
	for _, f := range Schema() {
		if f.Default == "" || f.Block == "worker.restart_backoff" && f.Required {
			continue
		}
		if blocks[f.Block] == nil {
			blocks[f.Block] = new(strings.Builder)
		}
		fmt.Fprintf(blocks[f.Block], "%s = %s\n", f.Name, f.Default)
	}
	const head = "command = [\"/bin/sleep\"]\nflags = [\"shmem_access\"]\nrestart_time = \"10s\"\n"
	without := fmt.Sprintf("segment \"main\" {\n}\nworker \"a\" {\n%srestart_backoff {\nmax = \"1h\"\n}\nresources {\ncpu_weight = 100\nio_weight = 100\noom_group = true\n}\n}\n", head)
	with := fmt.Sprintf("%ssegment \"main\" {\n%s}\nworker \"a\" {\n%s%srestart_backoff {\nmax = \"1h\"\n%s}\nresources {\n%s}\nsandbox {\n%s}\nlogs {\n%s}\n}\n",
		blocks[""], blocks["segment"], head, blocks["worker"], blocks["worker.restart_backoff"],
		blocks["worker.resources"], blocks["worker.sandbox"], blocks["worker.logs"])
	var cs [2]*Config
	for i, text := range []string{without, with} {
		c, diags := load([]File{{Path: "main", Source: []byte(text)}}, nil, "main", Options{})
		if c == nil {
			t.Fatalf("%v in:\n%s", diags.Err(), text)
		}
		cs[i] = c
	}
	for _, diff := range []string{
		cmp.Diff(cs[0].Settings, cs[1].Settings, cmpopts.EquateEmpty()),
		cmp.Diff(cs[0].Segments, cs[1].Segments),
		cmp.Diff(cs[0].Workers, cs[1].Workers),
	} {
		if diff != "" {
			t.Errorf("-left out +written:\n%s", diff)
		}
	}
}

// commented is a line of the shipped main file that is a default: "#name", the
// lines of a block, indented by two, and its end. Prose has one space after the
// sign, an example more.
var commented = regexp.MustCompile(`(?m)^#([a-z}]|  [a-z])`)

// TestShippedFiles: the files in packaging/etc are valid as they are, and what
// the main file shows as defaults is just that.
func TestShippedFiles(t *testing.T) {
	const dir = "../../packaging/etc/"
	text, err := os.ReadFile(dir + "pg-bgw.hcl")
	if err != nil {
		t.Fatal(err)
	}
	bare := shipped(t, string(text))
	full := shipped(t, commented.ReplaceAllString(string(text), "$1"))
	for _, diff := range []string{
		cmp.Diff(DefaultSettings(), bare.Settings), cmp.Diff(DefaultSettings(), full.Settings, cmpopts.EquateEmpty()),
		cmp.Diff(bare.Segments, full.Segments), cmp.Diff(bare.Servers, full.Servers),
	} {
		if diff != "" {
			t.Errorf("-default +shipped:\n%s", diff)
		}
	}
	for _, a := range settingsSchema.attrs {
		if !strings.Contains(string(text), "\n#"+a.name+" = "+a.def+"\n") {
			t.Errorf("%s = %s is not shown", a.name, a.def)
		}
	}
	example, err := os.ReadFile(dir + "workers.d/10-hello.hcl.example")
	if err != nil {
		t.Fatal(err)
	}
	if c := shipped(t, string(example)); len(c.Workers) != 1 {
		t.Errorf("the example defines %d workers", len(c.Workers))
	}
	if definitionName("10-hello.hcl.example") {
		t.Error("the example is read")
	}
}

func shipped(t *testing.T, text string) *Config {
	t.Helper()
	c, diags := load([]File{{Path: DefaultMain, Source: []byte(text)}}, nil, DefaultMain, Options{})
	if diags.Len() != 0 {
		t.Fatalf("%v in:\n%s", diags.Err(), text)
	}
	return c
}
