package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A plan is what a runner measures, and how that is reported.
type plan struct {
	discover  func(b *lab) []func() (peer, error)
	first     func(ctx context.Context, w io.Writer, opt options) // scenario "step"; nil: none
	scenarios []scenario
	idle      []int // numbers of workers with which idle costs are watched, of all peers at once
	metrics   []metric
	goals     []goal
	method    []string // how it is measured, beside what each peer notes
	bases     []string // peers that the others are compared with, beside the newest server
}

// A runner measures its peers, scenario by scenario and in rounds.
type runner struct {
	plan
	opt     options
	out     io.Writer
	lab     *lab
	peers   []peer
	notes   []string // why something is not in the tables
	noted   map[string]bool
	results results
	values  map[[2]string][]float64 // of the round that is being measured
	busy    int                     // measurements begun on a busy machine
	begun   int
}

var errTime = errors.New("the time is up (-budget)")

// discover is every peer that there could be, PostgreSQL's newest first.
func discover(b *lab) []func() (peer, error) {
	all := []func() (peer, error){b.at(ours, newPgbgw(byTemplate))}
	for _, major := range postgresMajors() {
		all = append(all, b.at(fmt.Sprint("postgresql-", major), func(s seat) peer { return newPostgres(s, major) }))
	}
	all = append(all, b.at(oursDynamic, newPgbgw(byBus)), b.at(oursList, newPgbgw(byList)), b.at(oursControl, newPgbgw(byControl)))
	return append(all, b.at(floor, newCsup), b.at(runit, newRunit), b.at("s6", newS6), b.at("systemd", newSystemd))
}

// at makes a peer at a seat of that name, when it is called.
func (b *lab) at(name string, make func(seat) peer) func() (peer, error) {
	return func() (peer, error) {
		s, err := b.seat(name)
		return make(s), err
	}
}

// open brings up every peer that is wanted and there; the others are noted.
func (r *runner) open(ctx context.Context) error {
	for _, make := range r.discover(r.lab) {
		p, err := make()
		if err != nil {
			return err
		}
		if !r.opt.wants(r.opt.peers, p.name()) {
			continue
		}
		if why := p.missing(); why != "" {
			r.note("%s is not measured: %s", p.name(), why)
			continue
		}
		if err := r.openOne(ctx, p); err != nil {
			return err
		}
	}
	if len(r.peers) == 0 {
		return errors.New("none of the wanted supervisors can be measured here")
	}
	return ctx.Err()
}

// openOne keeps the peer if it comes up. The error is only ctx's.
func (r *runner) openOne(ctx context.Context, p peer) error {
	begun := time.Now()
	err := p.open(ctx)
	if err == nil {
		fmt.Fprintf(r.out, "%s is up (%.1f s)\n", p.name(), time.Since(begun).Seconds())
		r.peers = append(r.peers, p)
		return nil
	}
	r.note("%s is not measured: %v", p.name(), errors.Join(err, p.close()))
	return context.Cause(ctx)
}

// close ends all peers.
func (r *runner) close() error {
	var err error
	for _, p := range r.peers {
		if e := p.close(); e != nil {
			err = errors.Join(err, fmt.Errorf("cannot end %s: %w", p.name(), e))
		}
	}
	r.peers = nil
	return err
}

// note keeps a line for the end of the report and prints it now, once.
func (r *runner) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if r.noted[line] {
		return
	}
	r.noted[line] = true
	r.notes = append(r.notes, line)
	fmt.Fprintln(r.out, line)
}

// run measures everything wanted, then the idle costs. When the time is up it
// returns nil and notes what is not measured.
func (r *runner) run(ctx context.Context) error {
	begun := time.Now()
	for _, s := range r.scenarios {
		if !r.opt.wants(r.opt.scenarios, s.name) {
			continue
		}
		for number := range s.rounds(r.opt) {
			fmt.Fprintf(r.out, "%4.0f s  %s, round %d of %d\n", time.Since(begun).Seconds(), s.name, number+1, s.rounds(r.opt))
			if err := r.round(ctx, s, number); err != nil {
				return r.outOfTime(ctx, err, s.name, number)
			}
		}
	}
	if !r.opt.wants(r.opt.scenarios, "idle") {
		return nil
	}
	for _, n := range r.idle {
		fmt.Fprintf(r.out, "%4.0f s  idle with %d\n", time.Since(begun).Seconds(), n)
		if err := r.idleCosts(ctx, n); err != nil {
			return r.outOfTime(ctx, err, "idle", 0)
		}
	}
	return nil
}

// outOfTime turns the end of the budget into a note.
func (r *runner) outOfTime(ctx context.Context, err error, what string, number int) error {
	if errors.Is(context.Cause(ctx), errTime) {
		r.note("%v in round %d of %s; the rest is not measured", errTime, number+1, what)
		return nil
	}
	return err
}

// round measures one scenario of every peer, in an order that turns by one
// each round. A peer that fails is noted and brought up anew.
func (r *runner) round(ctx context.Context, s scenario, number int) error {
	peers := r.those(s.name)
	for k := range peers {
		p := peers[(k+number)%len(peers)]
		r.begun++
		if !quiet(ctx, runtime.NumCPU(), r.opt.quiet) {
			r.busy++
		}
		r.values = map[[2]string][]float64{}
		err := r.measure(ctx, p, func(ctx context.Context, m *measuring) error { return s.run(m, ctx, p) }, number)
		if err != nil && !errors.Is(err, errNotOffered) {
			r.values = nil
		}
		for key, v := range r.values {
			r.results.add(key[0], key[1], number, v)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case errors.Is(err, errNotOffered):
			r.note("%s of %s: %v", s.name, p.name(), err)
		case err != nil:
			r.note("%s of %s failed in round %d: %v", s.name, p.name(), number+1, err)
			if err := r.renew(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// those are the peers that the scenario is about.
func (r *runner) those(scenario string) []peer {
	var peers []peer
	for _, p := range r.peers {
		if only := p.traits().only; only == nil || slices.Contains(only, scenario) {
			peers = append(peers, p)
		}
	}
	return peers
}

func (r *runner) measure(ctx context.Context, p peer, body func(context.Context, *measuring) error, number int) error {
	limit := patience + r.opt.soakTime + r.opt.window
	ctx, done := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer done()
	return body(ctx, &measuring{opt: r.opt, round: number, add: func(metric, name string, v ...float64) {
		key := [2]string{metric, name}
		r.values[key] = append(r.values[key], v...)
	}})
}

// renew closes a peer of unknown state and opens it again, or drops it.
func (r *runner) renew(ctx context.Context, p peer) error {
	for i, q := range r.peers {
		if q == p {
			r.peers = append(r.peers[:i:i], r.peers[i+1:]...)
			break
		}
	}
	if err := p.close(); err != nil {
		r.note("cannot end %s: %v", p.name(), err)
	}
	return r.openOne(ctx, p)
}

// idleCosts measures all peers in one window, n workers each.
func (r *runner) idleCosts(ctx context.Context, n int) error {
	r.values = map[[2]string][]float64{}
	var up []peer
	for _, p := range r.those("idle") {
		err := p.prepare(ctx, n, "worker-nolibc")
		if err == nil {
			_, err = startAll(ctx, p, n)
		}
		if err == nil {
			up = append(up, p)
			continue
		}
		r.note("idle of %s failed: %v", p.name(), err)
		if err := r.renew(ctx, p); err != nil {
			return err
		}
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	err := r.measure(ctx, nil, func(ctx context.Context, m *measuring) error { return m.idle(ctx, up, n) }, 0)
	for key, v := range r.values {
		r.results.add(key[0], key[1], 0, v)
	}
	for _, p := range up {
		err = errors.Join(err, stopAndReturn(ctx, p, n))
	}
	return err
}

// wants says whether a comma-separated choice names it; an empty one names all,
// and "postgresql" every PostgreSQL.
func (o options) wants(choice, name string) bool {
	if choice == "" {
		return true
	}
	for word := range strings.SplitSeq(choice, ",") {
		if w := strings.TrimSpace(word); w == name || w != "" && strings.HasPrefix(name, w+"-") {
			return true
		}
	}
	return false
}
