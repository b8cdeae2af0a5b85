// Pg-bgwd is the supervisor of pg-bgw: it runs workers beside PostgreSQL.
//
// See pg-bgwd(8). Everything it does is in cmd/internal/daemon.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/pg-bgw/pg-bgw/cmd/internal/daemon"
	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/units/config"
)

// version is set by the linker.
var version = "0.1.0-dev"

const usage = `usage: pg-bgwd [flags]

Runs PostgreSQL background workers as a service; see pg-bgwd(8).

  --config FILE       main configuration file (default %s)
  --workers DIR       directory of worker definitions; may be repeated, the first
                      wins (default: %s)
  --bus BUS           system, session, none, or the address of a message bus
                      (default system)
  --runtime-dir DIR   directory for run-time state (default %s)
  --log-level LEVEL   debug, info, notice, warning, error or critical (default: the
                      configuration's log_level)
  --version           print the version and exit
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	opts, show, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		printUsage(stdout)
		return daemon.ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "pg-bgwd: %v\n", err)
		printUsage(stderr)
		return daemon.ExitFailure
	case show:
		fmt.Fprintln(stdout, "pg-bgwd", version)
		return daemon.ExitOK
	}
	return daemon.ExitCode(daemon.Run(opts))
}

func printUsage(w io.Writer) {
	fmt.Fprintf(w, usage, config.DefaultMain, config.DefaultWorkers()[0]+", ...", daemon.DefaultRunDir)
}

func parse(args []string) (o daemon.Options, show bool, err error) {
	fs := flag.NewFlagSet("pg-bgwd", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.Config, "config", config.DefaultMain, "")
	fs.Func("workers", "", func(dir string) error {
		if dir == "" {
			return errors.New("it is empty; give a directory")
		}
		o.Workers, o.WorkersGiven = append(o.Workers, dir), true
		return nil
	})
	fs.StringVar(&o.Bus, "bus", "system", "")
	fs.StringVar(&o.RuntimeDir, "runtime-dir", daemon.DefaultRunDir, "")
	fs.Func("log-level", "", func(text string) error {
		l, ok := journal.ParseLevel(text)
		if !ok {
			return errors.New("use debug, info, notice, warning, error or critical")
		}
		o.LogLevel = &l
		return nil
	})
	fs.BoolVar(&show, "version", false, "")
	if err := fs.Parse(args); err != nil {
		return o, false, err
	}
	if fs.NArg() > 0 {
		return o, false, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	fs.Visit(func(f *flag.Flag) { o.ConfigGiven = o.ConfigGiven || f.Name == "config" })
	if !o.WorkersGiven {
		o.Workers = config.DefaultWorkers()
	}
	o.Version = version
	return o, show, nil
}
