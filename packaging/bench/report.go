package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// report writes a table for each metric that anybody showed, then the goals,
// then how the peers were asked and what is not there.
func (r *runner) report(w io.Writer) {
	server := r.server()
	for _, m := range r.metrics {
		if len(r.results[m.id]) > 0 {
			r.table(w, m, server)
		}
	}
	printGoals(w, r.goals, r.results, server)
	fmt.Fprintf(w, "\nHow they were measured\n")
	for _, p := range r.peers {
		fmt.Fprintf(w, "  %s\n", p.traits().note)
	}
	for _, n := range slices.Concat(r.method, r.notes) {
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(strings.TrimSpace(n), "\n", "\n    "))
	}
	fmt.Fprintf(w, "  %d of %d measurements began on a machine that was busy with something else.\n", r.busy, r.begun)
}

// server is the PostgreSQL to compare with, the newest that was measured.
func (r *runner) server() string {
	for _, p := range r.peers {
		if strings.HasPrefix(p.name(), "postgresql-") {
			return p.name()
		}
	}
	return ""
}

// columns are those of ratios: what a goal compares with, and the floor.
func (r *runner) columns(m metric, server string) []string {
	var names []string
	for _, b := range append([]string{server}, r.bases...) {
		if len(r.results[m.id][b]) > 0 {
			names = append(names, b)
		}
	}
	return names
}

func (r *runner) table(w io.Writer, m metric, server string) {
	bases := r.columns(m, server)
	fmt.Fprintf(w, "\n%s (%s)\n", m.title, m.unit)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tmedian\tmin .. max of rounds\tp99\tworst\tn\t")
	for _, b := range bases {
		fmt.Fprintf(t, "/ %s\t", b)
	}
	fmt.Fprintln(t)
	for _, p := range r.peers {
		name := p.name()
		s := r.results.medians(m.id, name)
		if s.n == 0 {
			continue
		}
		p99 := r.results.over(m.id, name, func(x round) float64 { return x.p99 })
		worst := r.results.over(m.id, name, func(x round) float64 { return x.worst })
		fmt.Fprintf(t, "%s\t%s\t%s .. %s\t%s\t%s\t%d\t", name, m.show(s.median), m.show(s.low),
			m.show(s.high), m.show(p99.median), m.show(worst.high), r.count(m.id, name))
		for _, b := range bases {
			fmt.Fprintf(t, "%s\t", showRatio(r.results.ratio(m.id, name, m.id, b)))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

func (r *runner) count(metric, peer string) int {
	n := 0
	for _, x := range r.results[metric][peer] {
		n += x.n
	}
	return n
}

// show prints a value as it was collected: times in microseconds.
func (m metric) show(v float64) string {
	switch m.unit {
	case "ms":
		return fmt.Sprintf("%.1f", v/1e3)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

func showRatio(s spread) string {
	if s.n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", s.median)
}

// printGoals judges what was measured.
func printGoals(w io.Writer, goals []goal, r results, server string) {
	fmt.Fprintf(w, "\nGoals of pg-bgw\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "goal\tbound\tmedian\tmin .. max\t\n")
	for _, g := range goals {
		s := g.value(r, server)
		value, extremes := "-", "-"
		if s.n > 0 {
			value = fmt.Sprintf("%.4g", s.median)
			extremes = fmt.Sprintf("%.4g .. %.4g", s.low, s.high)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", g.what, g.bound(), value, extremes, g.verdict(s))
	}
	t.Flush()
}
