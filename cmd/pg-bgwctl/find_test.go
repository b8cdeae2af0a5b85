package main

import (
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

func TestFind(t *testing.T) {
	named := func(slot uint32, gen uint64, label, name, state string) workerInfo {
		return workerInfo{Handle: handle{Slot: slot, Generation: gen}, Label: label, State: state,
			Definition: dbusapi.Definition{Name: name}, Changed: dbusapi.Timestamp{Realtime: gen}}
	}
	ws := workers{
		named(1, 1, "cron", "x", "running"),
		named(2, 2, "evil", "cron", "running"), // a name that is another's label
		named(3, 3, "evil2", "1.1", "running"), // a name that is another's handle
		named(4, 4, "9.9", "y", "running"),     // a label that looks like a handle
		named(5, 5, "1.1", "z", "running"),     // a label that is another's handle
		named(6, 6, "old", "old", "ended"),     // two lives of one label
		named(6, 7, "old", "old", "ended"),     //
		named(7, 8, "again", "a", "ended"),     // an ended one and its successor
		named(7, 9, "again", "a", "running"),   //
		named(8, 10, "p", "gone", "ended"),     // two ended ones of one name
		named(9, 11, "q", "gone", "ended"),     //
		named(10, 12, "", "", "running"),       // nothing but a handle
	}
	for _, c := range []struct {
		text string
		want string // handle
		code code
	}{
		{"cron", "1.1", 0}, {"s1_g1", "1.1", 0}, {"/org/pgbgw1/worker/s1_g1", "1.1", 0}, {"1.1", "", codeFailed},
		{"9.9", "4.4", 0}, {"x", "1.1", 0}, {"old", "6.7", 0}, {"6.6", "6.6", 0}, {"again", "7.9", 0}, {"7.8", "7.8", 0},
		{"gone", "", codeFailed}, {"10.12", "10.12", 0}, {"", "", codeNoWorker}, {"crom", "", codeNoWorker},
		{"2.3", "", codeNoWorker}, {"s01_g1", "", codeNoWorker}, {"/org/pgbgw1/worker/s1_g1/", "", codeNoWorker}, {"1.1.1", "", codeNoWorker},
	} {
		found := ws.match(c.text)
		err := ws.refuse(c.text, found)
		got := codeOK
		if f, ok := errors.AsType[*failure](err); ok {
			got = f.code
		}
		if got != c.code || err == nil && handleText(found[0].Handle) != c.want {
			t.Errorf("match(%q) = %v, %v; want %s, code %d", c.text, found, err, c.want, c.code)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"runing": "running", "HELD": "held", "xyz": "", "": "", "rnuning": "running", strings.Repeat("x", 1000): "",
	} {
		if got := nearest(word, stateNames()); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// TestPropertiesAreThoseOfTheBus: show and JSON know every property of the interfaces and no other.
func TestPropertiesAreThoseOfTheBus(t *testing.T) {
	check := func(file string, have []string) {
		var doc struct {
			Interfaces []struct {
				Properties []struct {
					Name string `xml:"name,attr"`
				} `xml:"property"`
			} `xml:"interface"`
		}
		text, err := os.ReadFile(filepath.Join("..", "..", "dbusapi", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, p := range doc.Interfaces[0].Properties {
			want = append(want, p.Name)
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s: have\n%v\nwant\n%v", file, have, want)
		}
	}
	check("org.pgbgw1.Worker.xml", names(workerProperties)[1:]) // without Handle, which is its path
	check("org.pgbgw1.Manager.xml", names(managerProperties))
}

func TestStartedOutcome(t *testing.T) {
	for _, c := range []struct {
		name  string
		w     workerInfo
		done  bool
		fails bool
	}{
		{"the old process still runs", workerInfo{State: "running", StartNumber: 3}, false, false},
		{"a new one runs", workerInfo{State: "running", StartNumber: 4}, true, false},
		{"it comes back after more than one", workerInfo{State: "running", StartNumber: 9}, true, false},
		{"it waits for its server", workerInfo{State: "waiting", StartNumber: 3, ExitCode: 1}, false, false},
		{"it is held still", workerInfo{State: "held", StartNumber: 3}, false, false},
		{"it is stopped first", workerInfo{State: "stopping", StartNumber: 3}, false, false},
		{"it did its work", workerInfo{State: "ended", StartNumber: 4}, true, false},
		{"it ended badly", workerInfo{State: "ended", StartNumber: 4, ExitCode: 2}, false, true},
		{"it was killed", workerInfo{State: "ended", StartNumber: 4, ExitSignal: 9}, false, true},
		{"it was terminated before", workerInfo{State: "ended", StartNumber: 3}, false, true},
		{"it failed and will be tried again", workerInfo{State: "restarting", StartNumber: 4, ExitCode: 1}, false, true},
	} {
		done, err := started(3)(&c.w)
		if done != c.done || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, done, err)
		}
	}
}
