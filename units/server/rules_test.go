package server

import "testing"

// TestRuleLines: names are written so that the files mean them, or are refused.
func TestRuleLines(t *testing.T) {
	for _, tt := range []struct{ database, role, want string }{
		{"", "clerk", "local   all             clerk           peer map=pg-bgw"},
		{"all", "clerk", `local   "all"           clerk           peer map=pg-bgw`},
		{"a b", "o'b-1", `local   "a b"           "o'b-1"         peer map=pg-bgw`},
		{"replication", "Ä", `local   "replication"   "Ä"             peer map=pg-bgw`},
		{"d", `a"b`, `local   d               "a""b"          peer map=pg-bgw`},
		{"d", "a\nb", ""}, {"d", "", ""}, {"/d", "r", ""}, {"d", "+r", ""}, {"@d", "r", ""},
	} {
		got, err := HBALine(tt.database, tt.role, true)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q, %q: %q, %v", tt.database, tt.role, got, err)
		}
	}
	if got, err := HBALine("d", "r", false); err != nil || got != "local   d               r               peer" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := IdentLine("pg-bgw", "o b"); err != nil || got != `pg-bgw          pg-bgw          "o b"` {
		t.Errorf("%q, %v", got, err)
	}
	for _, names := range [][2]string{{"/x", "r"}, {"u", "\n"}, {"", "r"}} {
		if got, err := IdentLine(names[0], names[1]); err == nil {
			t.Errorf("%q: %q", names, got)
		}
	}
	if got := QuoteIdent(`a"b`); got != `"a""b"` {
		t.Errorf("%s", got)
	}
}
