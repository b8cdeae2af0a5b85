package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// TestDiagnostics compares what is said about the files of each archive with
// its last section. The file pg-bgw.hcl is the main file.
func TestDiagnostics(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := len(a.Files) - 1
			got := golden(t, a.Files[:last])
			if *update {
				a.Files[last].Data = got
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[last].Data), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func golden(t *testing.T, in []txtar.File) []byte {
	t.Helper()
	var files []File
	for _, f := range in {
		files = append(files, File{Path: f.Name, Source: f.Data})
	}
	c, ds := load(files, nil, "pg-bgw.hcl", Options{User: "pg-bgw"})
	if (c == nil) != ds.HasErrors() {
		t.Errorf("a Config and errors at once, or neither")
	}
	var b bytes.Buffer
	if err := ds.Print(&b, 80, false); err != nil {
		t.Fatal(err)
	}
	if c == nil {
		return b.Bytes()
	}
	for _, w := range c.Workers {
		fmt.Fprintf(&b, "worker %s at %s\n", w.Label, c.Origin(w.Label))
	}
	for _, tt := range c.Templates {
		fmt.Fprintf(&b, "template %s at %s\n", tt.Label, c.Origin(tt.Label))
	}
	for _, s := range c.Segments {
		fmt.Fprintf(&b, "segment %+v\n", s)
	}
	for _, s := range c.Servers {
		fmt.Fprintf(&b, "server %+v\n", s)
	}
	return b.Bytes()
}
