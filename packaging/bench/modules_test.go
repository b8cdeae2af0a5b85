package main

import (
	"strings"
	"testing"
)

// What is judged is what is measured: without a figure no goal is met, and each
// of its metrics has a table.
func TestModuleGoals(t *testing.T) {
	goals := moduleGoals(15)
	var text strings.Builder
	printGoals(&text, goals, results{}, "")
	if n := strings.Count(text.String(), "not measured"); n != len(goals) {
		t.Errorf("%d of %d goals are not measured where nothing was:\n%s", n, len(goals), text.String())
	}
	r := results{}
	for _, m := range moduleMetrics {
		for _, peer := range []string{"pg-bgw-15", "pg-bgw-control-15"} {
			r.add(m.id, peer, 0, []float64{1})
		}
		r.add(m.id, "postgresql-15", 0, []float64{10})
		r.add(m.id, "postgresql-17", 0, []float64{1}) // another release is nobody's measure
	}
	text.Reset()
	printGoals(&text, goals, r, "postgresql-17")
	if n := strings.Count(text.String(), " met\n"); n != len(goals) {
		t.Errorf("%d of %d goals are met by a tenth of PostgreSQL's:\n%s", n, len(goals), text.String())
	}
}

// All ways of registering are compared, one of them in everything.
func TestModuleWays(t *testing.T) {
	var r runner
	for _, w := range []way{byModule, byModuleControl, byModuleBus} {
		r.peers = append(r.peers, newModules(w, 15)(seat{}))
	}
	for scenario, want := range map[string]int{"register": 3, "register-cold": 3, "restart": 1, "up100": 3, "memory10": 1, "memory50": 1} {
		if got := len(r.those(scenario)); got != want {
			t.Errorf("%s is measured in %d ways, want %d", scenario, got, want)
		}
	}
	for i, want := range []string{"pg-bgw-15", "pg-bgw-control-15", "pg-bgw-bus-15"} {
		if got := r.peers[i].name(); got != want {
			t.Errorf("way %d is called %q, want %q", i, got, want)
		}
	}
}
