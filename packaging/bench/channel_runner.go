package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// channelRunner measures queues and latches in rounds.
type channelRunner struct {
	opt      options
	out      io.Writer
	lab      *lab
	ours     *pgbgw
	server   *postgres // nil: none here
	channels []*channel
	notes    []string
	results  results
	busy     int
	begun    int
}

// sharedMemory is "bench shm".
func sharedMemory(ctx context.Context, w io.Writer, b *lab, opt options) error {
	if err := card(ctx, w, b); err != nil {
		return err
	}
	r := &channelRunner{opt: opt, out: w, lab: b, results: results{}}
	err := r.open(ctx)
	if err == nil {
		err = r.run(ctx)
	}
	if len(r.results) > 0 {
		r.report(w)
	}
	return errors.Join(err, r.close())
}

func (r *channelRunner) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// open brings up a pg-bgwd with two workers, and a server where there is one.
func (r *channelRunner) open(ctx context.Context) error {
	at, err := r.lab.seat(oursPair)
	if err != nil {
		return err
	}
	r.ours = newPgbgw(byPair)(at).(*pgbgw)
	if why := r.ours.missing(); why != "" {
		return fmt.Errorf("cannot measure pg-bgw: %s", why)
	}
	if err := r.ours.open(ctx); err != nil {
		return err
	}
	r.channels = append(r.ours.members.channels(queueEach, queueBatched), r.ours.inC.channels(cEach, cBatched)...)
	if err := r.openServer(ctx); err != nil {
		return err
	}
	r.channels = append(r.channels, newChannels(r.lab)...)
	return ctx.Err()
}

// openServer notes why there is none, if there is none. The error is only ctx's.
func (r *channelRunner) openServer(ctx context.Context) error {
	majors := postgresMajors()
	if len(majors) == 0 {
		r.note("PostgreSQL is not measured: no server below /usr/lib/postgresql")
		return nil
	}
	at, err := r.lab.seat("postgresql-mq")
	if err != nil {
		return err
	}
	p := newMQ(at, majors[0])
	if why := p.missing(); why != "" {
		r.note("PostgreSQL is not measured: %s", why)
		return nil
	}
	if err := p.open(ctx); err != nil {
		r.note("PostgreSQL is not measured: %v", errors.Join(err, p.close()))
		return context.Cause(ctx)
	}
	r.server = p
	r.channels = append(r.channels, p.mq()...)
	return nil
}

func (r *channelRunner) close() error {
	var err error
	if r.server != nil {
		err = r.server.close()
	}
	if r.ours != nil {
		err = errors.Join(err, r.ours.close())
	}
	return err
}

func (r *channelRunner) run(ctx context.Context) error {
	for number := range r.opt.rounds {
		fmt.Fprintf(r.out, "round %d of %d\n", number+1, r.opt.rounds)
		if err := r.throughputs(ctx, number); err != nil {
			return err
		}
		if err := r.latencies(ctx, number); err != nil {
			return err
		}
	}
	return nil
}

// oneTimeout bounds one measurement.
const oneTimeout = 60 * time.Second

// add measures one value of one peer. What cannot be measured ends the run: a
// figure that is silently missing would be worse.
func (r *channelRunner) add(ctx context.Context, metric, peer string, number int, value func(context.Context) (float64, error)) error {
	r.begun++
	if !quiet(ctx, runtime.NumCPU(), r.opt.quiet) {
		r.busy++
	}
	ctx, cancel := context.WithTimeout(ctx, oneTimeout)
	defer cancel()
	v, err := value(ctx)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", metric, peer, err)
	}
	r.results.add(metric, peer, number, []float64{v})
	return nil
}

// throughputs are measured in an order that turns by one each round.
func (r *channelRunner) throughputs(ctx context.Context, number int) error {
	for _, ring := range rings {
		for _, size := range messageSizes {
			c := channelCase{ring, size}
			for k := range r.channels {
				ch := r.channels[(k+number)%len(r.channels)]
				if ch.ringless && ring != rings[len(rings)-1] {
					continue
				}
				err := r.add(ctx, c.metric(), ch.name, number, func(ctx context.Context) (float64, error) { return ch.measure(ctx, c) })
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

const (
	trips    = 2000
	asleep   = 300 // trips with a sleep before each
	sleepFor = 200 // microseconds
)

func (r *channelRunner) latencies(ctx context.Context, number int) error {
	type probe struct {
		metric, peer string
		measure      func(context.Context) (time.Duration, error)
	}
	ours := r.ours.members
	inC := r.ours.inC
	probes := []probe{
		{wakeUp, oursShm, func(ctx context.Context) (time.Duration, error) { return ours.wake(ctx, trips) }},
		{wakeUp, futexPeer, func(ctx context.Context) (time.Duration, error) { return channels(ctx, r.lab, "futex", trips) }},
		{tripAsleep, oursShm, func(ctx context.Context) (time.Duration, error) { return ours.roundTrip(ctx, asleep, sleepFor) }},
		{tripAsleep, oursInC, func(ctx context.Context) (time.Duration, error) { return inC.roundTrip(ctx, asleep, sleepFor) }},
	}
	if r.server != nil {
		probes = append(probes, probe{tripAsleep, mqPeer, func(ctx context.Context) (time.Duration, error) { return r.server.mqTrip(ctx, asleep, sleepFor) }})
	}
	if runtime.NumCPU() > 1 {
		probes = append(probes,
			probe{tripAwake, oursShm, func(ctx context.Context) (time.Duration, error) { return ours.roundTrip(ctx, 10*trips, 0) }},
			probe{tripAwake, oursInC, func(ctx context.Context) (time.Duration, error) { return inC.roundTrip(ctx, 10*trips, 0) }},
			probe{tripAwake, linePeer, func(ctx context.Context) (time.Duration, error) { return channels(ctx, r.lab, "line", 50*trips) }})
	}
	for _, p := range probes {
		err := r.add(ctx, p.metric, p.peer, number, func(ctx context.Context) (float64, error) {
			d, err := p.measure(ctx)
			return float64(d), err
		})
		if err != nil {
			return err
		}
	}
	return r.add(ctx, waiters, oursShm, number, func(ctx context.Context) (float64, error) {
		n, err := ours.second.ask(ctx, "waiters 1000")
		if err != nil {
			return 0, err
		}
		return float64(n[1] - n[0]), nil
	})
}

// report writes the throughputs, the times, and the goals.
func (r *channelRunner) report(w io.Writer) {
	for _, ring := range rings {
		r.throughputTable(w, ring)
	}
	fmt.Fprintf(w, "\nTimes (us), and threads\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, metric := range []string{wakeUp, tripAsleep, tripAwake, waiters} {
		by := 1e-3
		if metric == waiters {
			by = 1
		}
		for _, peer := range []string{oursShm, oursInC, mqPeer, futexPeer, linePeer} {
			if s := scale(r.results.medians(metric, peer), by); s.n > 0 {
				fmt.Fprintf(t, "  %s\t%s\t%.4g\t%.4g .. %.4g\n", metric, peer, s.median, s.low, s.high)
			}
		}
	}
	t.Flush()
	printGoals(w, channelGoals(), r.results, "")
	fmt.Fprintf(w, "\nHow they were measured\n")
	fmt.Fprintf(w, "  Two processes, not pinned, copy on both sides and sleep when they must; round trips have a processor each.\n")
	fmt.Fprintf(w, "  A wake-up has both on one processor; who wakes sleeps until the other has run, without a timer.\n")
	fmt.Fprintf(w, "  pg-bgw: %s\n", r.ours.way.note())
	fmt.Fprintf(w, "  shm_mq: PostgreSQL's, in two background workers, by an extension of ours; each published is force_flush.\n")
	fmt.Fprintf(w, "  The pipe holds 1 MiB. The Go channel is within one process and passes the numbers of buffers: a hint, no peer.\n")
	for _, n := range r.notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
	fmt.Fprintf(w, "  %d of %d measurements began on a machine that was busy with something else.\n", r.busy, r.begun)
}

func (r *channelRunner) throughputTable(w io.Writer, ring int) {
	fmt.Fprintf(w, "\nA million messages a second, ring of %d KiB: median (min .. max of rounds)\n", ring>>10)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, size := range messageSizes {
		fmt.Fprintf(t, "%s B\t", sizeName(size))
	}
	fmt.Fprintln(t)
	for _, ch := range r.channels {
		if ch.ringless && ring != rings[len(rings)-1] {
			continue
		}
		fmt.Fprintf(t, "%s\t", ch.name)
		for _, size := range messageSizes {
			s := scale(r.results.medians(channelCase{ring, size}.metric(), ch.name), 1e-6)
			fmt.Fprintf(t, "%.3g (%.3g .. %.3g)\t", s.median, s.low, s.high)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}
