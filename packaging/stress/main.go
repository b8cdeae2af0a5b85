package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what is asked for.
type options struct {
	duration time.Duration
	kills    bool
	race     bool // Go with the race detector
	source   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	flags := flag.NewFlagSet("stress", flag.ExitOnError)
	minutes := flags.Float64("minutes", 30, "how long")
	calm := flags.Bool("no-kills", false, "kill nobody")
	if len(os.Args) < 2 || os.Args[1] != "shm" {
		fmt.Fprintln(os.Stderr, "usage: stress shm [flags]")
		flags.PrintDefaults()
		os.Exit(2)
	}
	_ = flags.Parse(os.Args[2:]) // ends the program on an error
	if flags.NArg() > 0 || *minutes <= 0 {
		fmt.Fprintln(os.Stderr, "stress: no arguments are taken, and -minutes has to be positive")
		os.Exit(2)
	}
	opt := options{duration: time.Duration(*minutes * float64(time.Minute)), kills: !*calm, race: true, source: "."}
	if err := run(ctx, os.Stdout, opt); err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(1)
	}
}

// run builds everything in a scratch directory, runs it for its time, and
// returns what was found wrong.
func run(ctx context.Context, w io.Writer, opt options) (err error) {
	dir, err := os.MkdirTemp("", "pg-bgw-stress-")
	if err != nil {
		return fmt.Errorf("cannot make a scratch directory: %w", err)
	}
	defer func() {
		if err != nil {
			fmt.Fprintf(w, "the log is kept: %s\n", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	b := &builder{ctx: ctx, dir: dir, opt: opt}
	members, err := b.all()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "members: %v; race detector: %v; for %v\n", members.names, opt.race, opt.duration)
	d, err := startDaemon(dir, members.programs)
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, opt.duration)
	defer cancel()
	k := &killer{parent: d.cmd.Process.Pid}
	if opt.kills {
		go k.run(timed)
	}
	found := d.watch(ctx, opt.duration, w, k)
	return errors.Join(found, d.stop(), d.verdict(w, k))
}
