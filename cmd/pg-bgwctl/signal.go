package main

import (
	"context"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

const signalLong = `Send a signal to the main process of workers. What follows is the worker's affair:
one that ends of it is started again by its rules. To stop it, use stop.`

func newSignal(a *app) *cobra.Command {
	var text string
	var sig units.Signal
	cmd := a.newChange(change{
		use: "signal [-s SIGNAL] WORKER...", short: "Send a worker a signal", long: signalLong,
		aliases: []string{"kill"}, doing: "send a signal to",
		do: func(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
			if w.MainPID == 0 {
				return nil, &failure{code: codeFailed, text: "worker " + safe(title(w)) + " has no process: it is " + safe(w.State),
					hint: "start it with: pg-bgwctl start " + handleText(w.Handle)}
			}
			return &target{handle: w.Handle}, b.Signal(ctx, w.Handle, int32(sig))
		},
	})
	cmd.Flags().StringVarP(&text, "signal", "s", "SIGTERM", "name or number of the signal")
	cmd.PreRunE = func(*cobra.Command, []string) (err error) {
		if sig, err = units.ParseSignal(text); err != nil {
			return &failure{code: codeUsage, text: "--signal: " + err.Error(), hint: "see: kill -l"}
		}
		return nil
	}
	return cmd
}
