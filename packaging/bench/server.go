package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"text/tabwriter"
)

// A follower is one way in which workers follow the server.
type follower struct {
	name     string
	book     *ledger
	ours     *pgbgw    // nil: they are the server's own
	inside   *postgres // of those: their library
	settings []string  // of the server
}

// A followRunner measures followers in rounds.
type followRunner struct {
	opt       options
	out       io.Writer
	lab       *lab
	cluster   *followed
	followers []*follower
	notes     []string
	results   results
	busy      int
	begun     int
}

// cyclesPerRound is how often a follower is measured before the next one's turn.
const cyclesPerRound = 3

// follow is "bench server".
func follow(ctx context.Context, w io.Writer, b *lab, opt options) error {
	if err := card(ctx, w, b); err != nil {
		return err
	}
	r := &followRunner{opt: opt, out: w, lab: b, results: results{}}
	err := r.open(ctx)
	if err == nil {
		timed, done := context.WithTimeoutCause(ctx, opt.budget, errTime)
		err = r.run(timed)
		done()
	}
	if len(r.results) > 0 {
		r.report(w)
	}
	if r.cluster != nil {
		r.cluster.close()
	}
	return err
}

func (r *followRunner) open(ctx context.Context) error {
	var err error
	if r.cluster, err = newFollowed(ctx, r.lab); err != nil {
		return err
	}
	if err := r.openOurs(); err != nil {
		return err
	}
	return r.openInside(ctx)
}

// openOurs adds a pg-bgwd for each way of watching the server. None of them
// runs before its turn.
func (r *followRunner) openOurs() error {
	c := r.cluster
	local := fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", c.home, c.port)
	for _, f := range []struct{ evidence, conninfo, more string }{
		{"directory", local, fmt.Sprintf("  data_directory = %q\n", c.data())},
		{"socket", local, ""},
		{"network", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", c.port), ""},
	} {
		at, err := r.lab.seat(oursPhase + "-" + f.evidence)
		if err != nil {
			return err
		}
		p := newPgbgw(byPhase)(at).(*pgbgw)
		p.evidence = f.evidence
		p.settings = fmt.Sprintf("server \"followed\" {\n  conninfo = %q\n%s}\n", f.conninfo, f.more)
		if why := p.missing(); why != "" {
			return fmt.Errorf("cannot measure pg-bgw: %s", why)
		}
		r.followers = append(r.followers, &follower{name: p.name(), book: at.book, ours: p})
	}
	return nil
}

// openInside adds the server's own workers, if its headers are there.
func (r *followRunner) openInside(ctx context.Context) error {
	major := postgresMajors()[0]
	at, err := r.lab.seat(fmt.Sprint("postgresql-", major))
	if err != nil {
		return err
	}
	p := newPostgres(at, major).(*postgres)
	if why := p.missing(); why != "" {
		r.notes = append(r.notes, "PostgreSQL's own workers are not measured: "+why)
		return nil
	}
	if err := r.lab.makeModule(ctx, p.source, major); err != nil {
		return err
	}
	r.followers = append(r.followers, &follower{name: p.name(), book: at.book, inside: p, settings: []string{
		"shared_preload_libraries=" + p.library(), "pgbgw_bench.library=" + p.library(),
		"pgbgw_bench.ledger=" + at.book.path, "pgbgw_bench.follow=on",
	}})
	return nil
}

// run measures in an order that turns by one each round. When the time is up
// it returns nil and notes what is not measured.
func (r *followRunner) run(ctx context.Context) error {
	for number := range r.opt.rounds {
		fmt.Fprintf(r.out, "round %d of %d\n", number+1, r.opt.rounds)
		for k := range r.followers {
			f := r.followers[(k+number)%len(r.followers)]
			err := r.round(ctx, f, number)
			if errors.Is(context.Cause(ctx), errTime) {
				r.notes = append(r.notes, fmt.Sprintf("%v in round %d; the rest is not measured", errTime, number+1))
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

// round measures one follower for some cycles, with a daemon of its own.
func (r *followRunner) round(ctx context.Context, f *follower, number int) (err error) {
	if f.ours != nil {
		defer func() { err = errors.Join(err, f.ours.close()) }()
		if err := f.ours.open(ctx); err != nil {
			return err
		}
	}
	values := map[string][]float64{}
	for n := range cyclesPerRound {
		r.begun++
		if !quiet(ctx, runtime.NumCPU(), r.opt.quiet) {
			r.busy++
		}
		y := &cycle{followed: r.cluster, book: f.book, settings: f.settings, foreign: f.ours != nil, brief: n > 0,
			add: func(metric string, ns int64) { values[metric] = append(values[metric], micro(ns)) }}
		if err := y.run(ctx); err != nil {
			return fmt.Errorf("%w\n%s%s", err, r.lab.tail(f.name), r.lab.tail("followed"))
		}
	}
	for metric, v := range values {
		r.results.add(metric, f.name, number, v)
	}
	return nil
}

// goals are what is promised of each kind of evidence.
func (r *followRunner) goals() []goal {
	var goals []goal
	for _, f := range r.followers {
		if f.ours != nil {
			goals = append(goals, goal{what: toPromoted + ", " + f.name, limit: 100, unit: "ms",
				value: func(x results, _ string) spread { return scale(x.medians(toPromoted, f.name), 1e-3) }})
		}
	}
	return goals
}

func (r *followRunner) report(w io.Writer) {
	fmt.Fprintf(w, "\nA server and its workers (ms)\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\t\tmedian\tmin .. max of rounds\tworst\n")
	for _, m := range serverMetrics {
		for i, f := range r.followers {
			what := m
			if i > 0 {
				what = ""
			}
			s := scale(r.results.medians(m, f.name), 1e-3)
			worst := scale(r.results.over(m, f.name, func(x round) float64 { return x.worst }), 1e-3)
			if s.n == 0 {
				fmt.Fprintf(t, "%s\t%s\t-\t\t\n", what, f.name)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f .. %.1f\t%.1f\n", what, f.name, s.median, s.low, s.high, worst.high)
		}
	}
	t.Flush()
	printGoals(w, r.goals(), r.results, "")
	fmt.Fprintf(w, "\nHow they were measured\n")
	fmt.Fprintf(w, "  A session of the benchmark's own asks every millisecond, so a worker may be there a moment before the server is.\n")
	fmt.Fprintf(w, "  The server had been down for %v before each start; it is PostgreSQL %s.\n", downFor, filepath.Base(filepath.Dir(r.cluster.binDir)))
	fmt.Fprintf(w, "  pg-bgw: %s\n", byPhase.note())
	fmt.Fprintf(w, "  directory: by its socket, and its data directory may be read. socket: by that alone. network: by TCP on this machine.\n")
	fmt.Fprintf(w, "  postgresql: its own static workers, of an extension of ours; in a crash they get SIGQUIT, and nothing when the postmaster is killed.\n")
	for _, n := range r.notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
	fmt.Fprintf(w, "  %d of %d measurements began on a machine that was busy with something else.\n", r.busy, r.begun)
}
