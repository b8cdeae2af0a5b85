package server

import "testing"

// TestAdmits: the first line that fits counts, and what cannot be told admits
// nobody.
func TestAdmits(t *testing.T) {
	for _, tt := range []struct {
		hba            string
		database, role string
		mapped, want   bool
	}{
		{"", "", "r", false, false},
		{"local all all peer", "", "r", false, true},
		{"# local all all reject\n\n  local\tall  all   peer # yes", "d", "r", false, true},
		{"local all postgres peer\nlocal all all peer", "", "r", false, true},
		{"local all all peer", "", "r", true, false},
		{"local all all peer map=pg-bgw", "", "r", true, true},
		{"local all all peer map=pg-bgw", "", "r", false, false},
		{"local all all peer map=other", "", "r", false, false},
		{"local all r md5\nlocal all all peer", "", "r", false, false},
		{"local all \"all\" md5\nlocal all all peer", "", "r", false, true}, // a role of that name
		{"local d all md5\nlocal all all peer", "d", "r", false, false},
		{"local d all md5\nlocal all all peer", "e", "r", false, true},
		{"local a,d b,\"r\" peer", "d", "r", false, true},
		{"local a, d r peer", "d", "r", false, true},
		{"local all +staff md5\nlocal all all peer", "", "r", false, false},
		{"local sameuser all peer", "r", "r", false, true},
		{"local samerole all reject\nlocal all all peer", "d", "r", false, false},
		{"host all all 127.0.0.1/32 reject\nlocal all all peer", "", "r", false, true},
		{"local all Ä peer", "", "Ä", false, true},
		{"include more.conf\nlocal all all peer", "", "r", false, false},
		{"local all \\\n all peer", "", "r", false, true},
		{"local all all\nlocal \"", "", "r", false, false},
		{"local d ,e peer\nlocal all all peer", "e", "r", false, true}, // a role e, and no list
		{"local d,,e r peer", "e", "r", false, true},
		{",,,\nlocal ,all all peer", "", "r", false, true},
		{"local all \"a\"\"b\" peer", "", "a\"b", false, true},
		{"local all \"\"\"\" peer", "", "\"", false, true},
	} {
		if got := Admits(tt.hba, tt.database, tt.role, tt.mapped); got != tt.want {
			t.Errorf("%q, database %q, mapped %v: %v", tt.hba, tt.database, tt.mapped, got)
		}
	}
}

// TestWithRules: what is added is found again, once, and nothing is lost or comes
// to life.
func TestWithRules(t *testing.T) {
	for _, hba := range []string{"", "# a\n\n# b\nlocal all all reject\n", "# a \\\nlocal all all reject\n", "# a \\", "local all all reject", "# only comments"} {
		line, err := HBALine("", "r", true)
		if err != nil {
			t.Fatal(err)
		}
		got := WithRules(hba, "c", []string{line})
		if !Admits(got, "", "r", true) || len(got) < len(hba)+len(line) || len(hbaLines(got)) != len(hbaLines(hba))+1 {
			t.Errorf("%q becomes %q", hba, got)
		}
	}
	line, err := IdentLine("u", "a b")
	if err != nil {
		t.Fatal(err)
	}
	if got := WithMaps("x y z", "c", []string{line}); got != "x y z\n# c\npg-bgw          u               \"a b\"\n" || !Mapped(got, "u", "a b") || Mapped(got, "u", "r") || Mapped(got, "v", "a b") {
		t.Errorf("%q", got)
	}
	if !Mapped("pg-bgw u r # c", "u", "r") || Mapped("# pg-bgw u r", "u", "r") || Mapped("other u r", "u", "r") {
		t.Error("a map is read wrongly")
	}
}

func FuzzHBA(f *testing.F) {
	f.Add("local all \"a b\",c peer map=pg-bgw # x\n")
	f.Add("include \\\n,")
	f.Fuzz(func(t *testing.T, text string) {
		line, err := HBALine("", "r", false)
		if err != nil {
			t.Fatal(err)
		}
		Admits(text, "", "r", false)
		Mapped(text, "u", "r")
		_ = WithRules(text, "c", []string{line})
	})
}
