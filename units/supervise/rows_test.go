package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRows holds that every row of PostgreSQL's behaviour that the table
// decides is named by a scenario or a test. Not here: rows about what a
// definition may say (units), about processes (launch) and about clients (043).
func TestRows(t *testing.T) {
	var all strings.Builder
	for _, pattern := range []string{"testdata/step/*.txtar", "*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ := strings.Cut(string(b), "\n-- events --")
			all.WriteString(text)
		}
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile(`BGW-\d{3}`).FindAllString(all.String(), -1) {
		named[row] = true
	}
	for _, r := range [][2]int{{16, 16}, {22, 42}, {44, 94}, {117, 119}, {130, 131}} {
		for n := r[0]; n <= r[1]; n++ {
			if row := fmt.Sprintf("BGW-%03d", n); !named[row] {
				t.Errorf("nothing names %s", row)
			}
		}
	}
}
