package server

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/units"
)

// TestReadme: what README.md's table calls the phase of a server, row by row,
// is what we conclude from what such a server shows. What becomes of workers
// then, the test of that name in cmd/internal/daemon shows.
func TestReadme(t *testing.T) {
	running, consistent := units.PhaseRunning, units.PhaseConsistent
	rows := map[string][]seen{
		"is not there": {{answer: refused}},
		"starts":       {{answer: startingUp}, {answer: notNow}},
		"recovers, and accepts no sessions (yet)":         {{answer: notConsistent}},
		"is a hot standby":                                {{session: true, standby: true, answer: accepted}},
		"is promoted":                                     {{session: true, answer: accepted, wasUp: true}},
		"is ready as a primary":                           {{session: true, answer: accepted}},
		"stops smartly, and has other clients":            {{session: true, answer: shuttingDown, clients: 1}},
		"stops smartly, and only pg-bgw is left":          {{session: true, answer: shuttingDown}, {left: running, answer: shuttingDown}},
		"stops fast":                                      {{answer: shuttingDown}, {ended: shuttingDown}},
		"stops immediately, or is killed":                 {{answer: refused, wasUp: true}},
		"is back after a stop":                            {{session: true, answer: accepted}},
		"is back as a standby":                            {{session: true, standby: true, answer: accepted}},
		"is back as a standby, and its stop was not seen": {{session: true, standby: true, answer: accepted, wasUp: true}},
		"crashes and begins anew":                         {{ended: crashed}, {answer: crashed}},
		"is back after a crash":                           {{session: true, answer: accepted}},
		"ends our session, for whatever reason":           {{ended: unclear}},
		"does not answer (SIGSTOP, network)":              {{session: true, answer: silent}, {answer: silent}, {answer: noRoute}, {ended: silent}},
		"answers again":                                   {{session: true, answer: accepted, wasUp: true}},
		"has no connection to spare, or refuses our credentials; before, it let us in": {
			{session: true, answer: full}, {session: true, answer: denied},
			{answer: full, reached: running, wasUp: true}, {answer: denied, reached: running, wasUp: true}},
		"does that, and has never let us in":                         {{answer: full}, {answer: denied}},
		"has TLS that we cannot agree with, and has never let us in": {{answer: insecure}},
		"cannot be asked: its conninfo is wrong":                     {{answer: unclear}},
	}
	reached := map[string]units.Phase{ // of those whose phase alone does not say it
		"does that, and has never let us in": consistent, "has TLS that we cannot agree with, and has never let us in": units.PhaseStarted,
		"stops smartly, and has other clients": running, "stops smartly, and only pg-bgw is left": running,
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- servers: made")
	table, _, _ = strings.Cut(table, "<!-- servers: end")
	found := regexp.MustCompile(`(?m)^\| ([^|]+) \| (\w+) \| [^|]+ \| [^|]+ \| [^|]+ \|$`).FindAllStringSubmatch(table, -1)
	for _, row := range found {
		title, phase := row[1], row[2]
		if len(rows[title]) == 0 {
			t.Errorf("README.md: nothing here shows that the server %q", title)
		}
		for _, s := range rows[title] {
			if st := conclude(s); st.Kind.String() != phase || st.Reached != reached[title] {
				t.Errorf("the server %s: README.md says %s, we conclude %+v from %+v", title, phase, st, s)
			}
		}
		delete(rows, title)
	}
	for title := range rows {
		t.Errorf("README.md has no row %q", title)
	}
}
