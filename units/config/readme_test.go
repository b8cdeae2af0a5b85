package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme: what README.md shows of a configuration is one, each block by itself. A block that begins with the name of
// the main file is read as that.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md shows no configuration")
	}
	for _, b := range blocks {
		dir := t.TempDir()
		paths := Paths{Main: filepath.Join(dir, "main.hcl"), Files: []string{filepath.Join(dir, "worker.hcl")}}
		file := paths.Files[0]
		if strings.HasPrefix(b[1], "# "+DefaultMain) {
			file, paths.Files = paths.Main, nil
		}
		if err := os.WriteFile(file, []byte(b[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		c, diags := Load(paths, Options{User: "pg-bgw"})
		if list := diags.List(); len(list) > 0 {
			t.Errorf("%s%+v", b[1], list)
		} else if len(c.Workers)+len(c.Servers)+len(c.Settings.SharedPreloadLibraries) == 0 {
			t.Errorf("it means nothing:\n%s", b[1])
		}
	}
}
