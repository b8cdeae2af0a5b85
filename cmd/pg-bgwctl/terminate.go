package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/spf13/cobra"
)

const terminateLong = `Stop workers and unregister them, as TerminateBackgroundWorker does: the slot is
free once the processes are gone. A worker from the configuration is back after
"pg-bgwctl start" or with the next start of the service.

With --database, the interruptible workers of a database, so that it can be
dropped, renamed, moved or copied. They are waited for, at most a minute; the
exit code is 1 if one is still there, or one of that database is not
interruptible.`

// databaseWait bounds the wait for the workers of a database: kill_timeout is
// half of it where the definition has no other.
const databaseWait = time.Minute

func newTerminate(a *app) *cobra.Command {
	d := databaseFlags{}
	cmd := a.newChange(change{
		use: "terminate WORKER...", short: "Stop a worker and unregister it",
		long: terminateLong, doing: "terminate", until: "it is unregistered",
		do: func(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
			return &target{handle: w.Handle, reached: unregistered}, b.Terminate(ctx, w.Handle)
		},
	})
	cmd.Use = "terminate WORKER... | --database=NAME [--server=NAME]"
	cmd.Example = "  pg-bgwctl terminate nap\n  pg-bgwctl terminate --database=app && psql -c 'DROP DATABASE app'"
	cmd.Flags().StringVar(&d.database, "database", "", "terminate the interruptible workers of this database")
	cmd.Flags().StringVar(&d.server, "server", "", "the server of that database, where there are several")
	cmd.Flags().BoolVar(&d.noWait, "no-wait", false, "do not wait for the workers of a database")
	_ = cmd.RegisterFlagCompletionFunc("server", a.completeServers) // the flag exists
	some, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("database") {
			return some(cmd, args)
		}
		return between(0, 0, "")(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("database") {
			return a.terminateDatabase(cmd, &d)
		}
		for _, flag := range []string{"server", "no-wait"} {
			if cmd.Flags().Changed(flag) {
				return misused(cmd, "--"+flag+" means something with --database only")
			}
		}
		return run(cmd, args)
	}
	return cmd
}

// databaseFlags are those of terminate that are about a database.
type databaseFlags struct {
	database, server string
	noWait           bool
}

// wait is how long the workers are waited for: as --wait says, or databaseWait.
func (d *databaseFlags) wait(cmd *cobra.Command) (*waitFlag, error) {
	given := cmd.Flags().Lookup("wait")
	switch {
	case d.noWait && given.Changed:
		return nil, misused(cmd, "--wait and --no-wait exclude each other")
	case d.noWait:
		return &waitFlag{}, nil
	case !given.Changed:
		return &waitFlag{timeout: databaseWait}, nil
	}
	f := &waitFlag{text: given.Value.String()}
	return f, f.parse(cmd)
}

func (a *app) terminateDatabase(cmd *cobra.Command, d *databaseFlags) error {
	if d.database == "" {
		return misused(cmd, "--database is empty")
	}
	wait, err := d.wait(cmd)
	if err != nil {
		return err
	}
	doing := "terminate the workers of database " + safe(d.database)
	return a.withBus(func(ctx context.Context, b *bus) error {
		ws, err := b.index(ctx, doing) // what they are called, while they are there
		if err != nil {
			return err
		}
		watch, err := b.watch(wait, doing)
		if err != nil {
			return err
		}
		defer watch.close()
		terminated, remaining, err := b.TerminateBackgroundWorkersForDatabase(ctx, d.server, d.database)
		if err != nil {
			return explain(err, doing)
		}
		if err := a.printDatabase(ws, terminated, remaining); err != nil {
			return err
		}
		var targets []*target
		for _, h := range terminated {
			targets = append(targets, &target{handle: h, name: ws.called(h), reached: unregistered})
		}
		worst := a.await(watch, targets)
		if len(remaining) > 0 {
			worst = max(worst, a.report(remainErr(ws, d.database, remaining)))
		}
		return ended(worst)
	})
}

// printDatabase says which workers are ended.
func (a *app) printDatabase(ws workers, terminated, remaining []dbusapi.Handle) error {
	if a.wantsJSON() {
		return a.writeJSON(map[string]any{"Terminated": handleTexts(terminated), "Remaining": handleTexts(remaining)})
	}
	for _, h := range terminated {
		if a.quiet {
			break
		}
		if _, err := fmt.Fprintf(a.out, "%s %s\n", handleText(h), ws.called(h)); err != nil {
			return err
		}
	}
	return nil
}

func handleTexts(hs []dbusapi.Handle) []string {
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = handleText(h)
	}
	return out
}

// called is what the worker of a handle is called; safe.
func (ws workers) called(h dbusapi.Handle) string {
	for i := range ws {
		if ws[i].Handle == h {
			return safe(title(&ws[i]))
		}
	}
	return handleText(h)
}

// remainErr names the workers of a database that were not asked to leave.
func remainErr(ws workers, database string, remaining []dbusapi.Handle) error {
	var names []string
	for _, h := range remaining {
		names = append(names, fmt.Sprintf("%s (%s)", ws.called(h), handleText(h)))
	}
	return &failure{
		code: codeFailed,
		text: fmt.Sprintf("of database %s there %s: %s", safe(database), remainWords(len(remaining)), strings.Join(names, ", ")),
		hint: `stop them by name: pg-bgwctl stop WORKER; or give them the flag "interruptible"`,
	}
}

func remainWords(n int) string {
	if n == 1 {
		return "is still a worker that is not interruptible"
	}
	return fmt.Sprintf("are still %d workers that are not interruptible", n)
}
