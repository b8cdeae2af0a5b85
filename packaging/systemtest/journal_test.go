package systemtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Kinds of systemd's own records, which name the unit in UNIT.
const (
	unitStarted = "39f53479d3a045ac8e11786248231fbf"
	unitStopped = "9d1aaa27d60140bd96365438aad20286"
	unitFailed  = "d9b373ed55a64feb8242e02dbe79a49c"
)

// message is the MESSAGE_ID of a kind of our records, by its name in the catalog.
func message(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../catalog/pg-bgw.catalog")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^# ` + name + `\n-- ([0-9a-f]{32})$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the catalog has no %s", name)
	}
	return string(found[1])
}

// A record is one record of the journal. Values that are not text are left out.
type record map[string]string

func (r *record) UnmarshalJSON(b []byte) error {
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	*r = record{}
	for key, value := range fields {
		if s, ok := value.(string); ok {
			(*r)[key] = s
		}
	}
	return nil
}

// A mark is a place in the journal.
type mark string

// mark is the place after all that is in the journal now.
func (m *machine) mark(t *testing.T) mark {
	t.Helper()
	m.run(t, "journalctl", "--sync")
	var last record
	if err := json.Unmarshal([]byte(m.run(t, "journalctl", "--lines=1", "--output=json")), &last); err != nil {
		t.Fatal(err)
	}
	return mark(last["__CURSOR"])
}

// await waits for a record after from that matches all of FIELD=value.
func (m *machine) await(t *testing.T, from mark, matches ...string) record {
	t.Helper()
	return m.awaitThat(t, from, fmt.Sprintf("one that matches %q", matches), func(r record) bool { return r.matches(matches) })
}

// awaitThat waits for a record after from that is as told, which what says. It is
// not journalctl that looks: together with a cursor, that of systemd 252 passes over
// the first match.
func (m *machine) awaitThat(t *testing.T, from mark, what string, is func(record) bool) record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := m.command(ctx, "journalctl", "--follow", "--lines=all", "--output=json", "--after-cursor="+string(from))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); cmd.Wait() }()
	for d := json.NewDecoder(out); ; {
		var r record
		if err := d.Decode(&r); err != nil {
			t.Fatalf("no record came that is %s: %v", what, err)
		}
		if is(r) {
			return r
		}
	}
}

func (r record) matches(all []string) bool {
	for _, match := range all {
		key, value, _ := strings.Cut(match, "=")
		if got, ok := r[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// has checks that a record's fields have these values.
func (r record) has(t *testing.T, fields map[string]string) {
	t.Helper()
	for key, want := range fields {
		if r[key] != want {
			t.Errorf("the record %q has %s=%q, want %q", r["MESSAGE"], key, r[key], want)
		}
	}
}

// of is a match.
func of(field string, value any) string { return fmt.Sprintf("%s=%v", field, value) }
