package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags of "bench lifecycle".
type options struct {
	quick        bool
	rounds       int
	samples      int // single measurements of a peer in a round
	soak         int // restarts
	soakTime     time.Duration
	window       time.Duration // of the idle costs
	quiet        time.Duration // how long to wait for an idle machine
	budget       time.Duration
	maxProcesses int
	peers        string
	scenarios    string
}

const usage = `usage: bench card | peers | lifecycle [flags] | shm [flags] |
             server [flags] | modules [flags]

  card        print what this machine's system calls, wake-ups and starts cost
  peers       print which supervisors can be measured here
  lifecycle   measure start, restart, crash, stop, memory and idle cost of
              pg-bgw, PostgreSQL, csup (the floor), runit, s6 and systemd
  shm         measure the message queues and latches of pg-bgw, PostgreSQL's
              shm_mq, a pipe, a socket and Go's channels; of the flags below
              -quick, -rounds and -quiet
  server      measure how long after a server is ready, promoted, crashed or
              stopped a worker runs its first instruction or gets SIGTERM, of
              pg-bgw and of PostgreSQL's own workers; of the flags below
              -quick, -rounds, -quiet and -budget
  modules     measure start, restart and memory of workers that are functions
              of one library, inside of PostgreSQL and under pg-bgw; of the
              flags below -quick, -rounds, -samples, -quiet, -budget, -peers
              and -scenarios, with register, register-cold, restart, up100, memory10
              and memory50

flags of lifecycle:
`

func init() {
	// Children die with the thread that started them (Pdeathsig), so all of
	// them are started by the main goroutine, which stays on the main thread.
	runtime.LockOSThread()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second Ctrl-C ends at once; children still die with this process.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var bad usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, &bad):
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// A usageError is a mistake in the command line; the exit status is 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opt, flags := newFlags(stderr)
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "card", "peers", "lifecycle", "shm", "server", "modules":
	case dialCommand:
		if len(args) != 1 {
			return usageError("dial is for this program itself")
		}
		return dial(args[0])
	case controlCommand:
		if len(args) != 1 {
			return usageError("control-worker is for this program itself")
		}
		return controlWorker(ctx, args[0])
	case memberCommand:
		if len(args) != 2 {
			return usageError("shm-member is for this program itself")
		}
		return member(ctx, args[0], args[1])
	case "help", "-h", "-help", "--help":
		flags.Usage()
		return nil
	default:
		return usageError(fmt.Sprintf("unknown command %q; want card, peers, lifecycle, shm, server or modules", command))
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return usageError(err.Error())
	}
	if err := opt.check(flags, command); err != nil {
		return err
	}
	b, err := newLab(ctx)
	if err != nil {
		return err
	}
	switch command {
	case "card":
		err = card(ctx, stdout, b)
	case "peers":
		err = listPeers(stdout, b)
	case "shm":
		err = sharedMemory(ctx, stdout, b, *opt)
	case "server":
		err = follow(ctx, stdout, b, *opt)
	case "modules":
		err = measure(ctx, stdout, b, *opt, modulesPlan())
	default:
		err = measure(ctx, stdout, b, *opt, lifecyclePlan())
	}
	return errors.Join(err, b.close())
}

func newFlags(stderr io.Writer) (*options, *flag.FlagSet) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.BoolVar(&o.quick, "quick", false, "two and a half minutes at most: 2 rounds, 1,000 restarts, short windows, no up500")
	f.IntVar(&o.rounds, "rounds", 5, "`number` of interleaved rounds")
	f.IntVar(&o.samples, "samples", 20, "single measurements of a supervisor in each round, 1 to 200")
	f.IntVar(&o.soak, "soak", 10000, "`number` of restarts among which the worst is looked for")
	f.DurationVar(&o.soakTime, "soak-time", 40*time.Second, "end a supervisor's soak after this time")
	f.DurationVar(&o.window, "window", 10*time.Second, "time over which idle costs are watched")
	f.DurationVar(&o.quiet, "quiet", time.Second, "wait this long at most for an idle machine before a measurement")
	f.DurationVar(&o.budget, "budget", 12*time.Minute, "end after this time, counted from when the supervisors are up, and print what there is")
	f.IntVar(&o.maxProcesses, "max-processes", 1100, "never more processes than this; runit and s6 need two for each worker")
	f.StringVar(&o.peers, "peers", "", "measure only these supervisors, a comma-separated `list`")
	f.StringVar(&o.scenarios, "scenarios", "", "measure only these, a comma-separated `list` of register, restart, register-glibc, up100, up500, thousand, terminate, soak, idle, step")
	return o, f
}

// check applies -quick to what was not given and refuses what cannot be.
func (o *options) check(f *flag.FlagSet, command string) error {
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.quick {
		quick := map[string]func(){
			"rounds":    func() { o.rounds = 2 },
			"samples":   func() { o.samples = 10 },
			"soak":      func() { o.soak = 1000 },
			"soak-time": func() { o.soakTime = 4 * time.Second },
			"window":    func() { o.window = 2 * time.Second },
			"quiet":     func() { o.quiet = 50 * time.Millisecond },
			"budget":    func() { o.budget = 125 * time.Second },
		}
		for name, set := range quick {
			if !given[name] {
				set()
			}
		}
	}
	switch {
	case f.NArg() > 0:
		return usageError(fmt.Sprintf("unexpected argument %q", f.Arg(0)))
	case o.rounds < 1 || o.rounds > 1000:
		return usageError("-rounds must be 1 to 1000")
	case o.samples < 1 || o.samples > 200:
		return usageError("-samples must be 1 to 200")
	case o.soak < 1 || o.soakTime <= 0 || o.window <= 0 || o.budget <= 0 || o.quiet < 0:
		return usageError("-soak, -soak-time, -window and -budget must be positive, -quiet not negative")
	case o.maxProcesses < 300 || o.maxProcesses > 4096:
		return usageError("-max-processes must be 300 to 4096")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if taken, some := taken[command]; some && !slices.Contains(taken, name) {
			return usageError(fmt.Sprintf("%s takes no -%s", command, name))
		}
	}
	if command == "modules" {
		return o.checkScenarios(moduleScenarios)
	}
	return o.checkScenarios(scenarios, "idle", "step")
}

// taken are the flags that a command takes; lifecycle takes all.
var taken = map[string][]string{
	"card":    {},
	"peers":   {},
	"shm":     {"quick", "rounds", "quiet"},
	"server":  {"quick", "rounds", "quiet", "budget"},
	"modules": {"quick", "rounds", "samples", "quiet", "budget", "peers", "scenarios"},
}

// checkScenarios refuses a word of -scenarios that names none.
func (o *options) checkScenarios(scenarios []scenario, others ...string) error {
	if o.scenarios == "" {
		return nil
	}
	for word := range strings.SplitSeq(o.scenarios, ",") {
		found := slices.ContainsFunc(others, func(name string) bool { return o.wants(word, name) }) ||
			slices.ContainsFunc(scenarios, func(s scenario) bool { return o.wants(word, s.name) })
		if !found || strings.TrimSpace(word) == "" {
			return usageError(fmt.Sprintf("-scenarios: there is no %q", word))
		}
	}
	return nil
}

func listPeers(w io.Writer, b *lab) error {
	for _, make := range discover(b) {
		p, err := make()
		if err != nil {
			return err
		}
		state := p.missing()
		if state == "" {
			state = "can be measured"
		}
		fmt.Fprintf(w, "%-15s %s\n", p.name(), state)
	}
	if len(postgresMajors()) == 0 {
		fmt.Fprintf(w, "%-15s no server below /usr/lib/postgresql\n", "postgresql")
	}
	return nil
}

// lifecyclePlan is "bench lifecycle".
func lifecyclePlan() plan {
	return plan{discover: discover, first: step, scenarios: scenarios, idle: []int{1, 100}, metrics: metrics, goals: goals, bases: []string{runit, floor},
		method: []string{"PostgreSQL's memory is the postmaster's alone, its share of the shared buffers included."}}
}

// measure prints the card, measures, and prints the report, also when it was
// interrupted: what is there by then.
func measure(ctx context.Context, w io.Writer, b *lab, opt options, what plan) error {
	if err := card(ctx, w, b); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if what.first != nil && opt.wants(opt.scenarios, "step") {
		what.first(ctx, w, opt)
	}
	debug.SetGCPercent(400)
	runtime.GOMAXPROCS(1) // idle threads that spin are at the cost of what is measured
	r := &runner{plan: what, opt: opt, out: w, lab: b, results: results{}, noted: map[string]bool{}}
	if len(postgresMajors()) == 0 {
		r.note("PostgreSQL is not measured: no server below /usr/lib/postgresql")
	}
	err := r.open(ctx)
	if err == nil {
		timed, done := context.WithTimeoutCause(ctx, opt.budget, errTime)
		defer done()
		err = r.run(timed)
	}
	r.report(w)
	return errors.Join(err, r.close())
}
