package main

import (
	"context"
	"fmt"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/spf13/cobra"
)

// change is a verb that does one thing to each worker it is given.
type change struct {
	use, short, long string
	aliases          []string
	doing            string // "stop", as in "cannot stop worker cron"
	until            string // what --wait waits for; empty: there is no --wait

	// do changes one worker and says what to wait for.
	do func(context.Context, *bus, *workerInfo) (*target, error)
	// done prints the result for one worker, if there is any to print; may be nil.
	done func(before *workerInfo, t *target) error
}

func (a *app) newChange(c change) *cobra.Command {
	var wait waitFlag
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Aliases: c.aliases,
		Args:              between(1, -1, "a worker"),
		ValidArgsFunction: a.completeWorkers,
	}
	if c.until != "" {
		wait.register(cmd, c.until)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := wait.parse(cmd); err != nil {
			return err
		}
		return a.withBus(func(ctx context.Context, b *bus) error { return a.change(ctx, b, c, &wait, args) })
	}
	return cmd
}

// change finds all workers before it touches the first, so that a misspelt one stops nothing.
func (a *app) change(ctx context.Context, b *bus, c change, wait *waitFlag, args []string) error {
	ws, err := b.index(ctx, c.doing+" a worker")
	if err != nil {
		return err
	}
	found, worst := workers{}, codeOK
	for _, arg := range args {
		w, err := b.find(ctx, ws, arg)
		if err != nil {
			worst = max(worst, a.report(err))
			continue
		}
		if len(found.where(func(f *workerInfo) bool { return f.Handle == w.Handle })) == 0 {
			found = append(found, w)
		}
	}
	if worst != codeOK {
		return ended(worst)
	}
	watch, err := b.watch(wait, c.doing+" a worker")
	if err != nil {
		return err
	}
	defer watch.close()
	var targets []*target
	for i := range found {
		t, err := c.apply(ctx, b, &found[i])
		if err != nil {
			worst = max(worst, a.report(err))
			continue
		}
		if c.done != nil {
			if err := c.done(&found[i], t); err != nil {
				return err
			}
		}
		targets = append(targets, t)
	}
	return ended(max(worst, a.await(watch, targets)))
}

func (c *change) apply(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
	name := safe(title(w))
	t, err := c.do(ctx, b, w)
	if err != nil {
		return nil, explain(err, fmt.Sprintf("%s worker %s (%s)", c.doing, name, handleText(w.Handle)))
	}
	t.name = name
	return t, nil
}

// await waits for targets if watch is not nil, and prints what went wrong.
func (a *app) await(w *watch, targets []*target) code {
	worst := codeOK
	if w == nil {
		return worst
	}
	for _, err := range w.await(targets) {
		worst = max(worst, a.report(err))
	}
	return worst
}

// printHandle prints a new handle: the result of register, instantiate, and of a start that registers again.
func (a *app) printHandle(h dbusapi.Handle) error {
	if a.wantsJSON() {
		return a.writeJSON(map[string]any{"Handle": handleText(h), "Path": string(h.Path())})
	}
	_, err := fmt.Fprintln(a.out, handleText(h))
	return err
}

// goneErr is what it means that a worker which is to run is no more.
func goneErr(h dbusapi.Handle) error {
	return &failure{code: codeNoWorker, text: fmt.Sprintf("the worker %s was unregistered", handleText(h)),
		hint: "see: pg-bgwctl list --all; journalctl -u pg-bgw"}
}
