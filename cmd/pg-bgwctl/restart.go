package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newRestart(a *app) *cobra.Command {
	return a.newChange(change{
		use: "restart WORKER...", short: "Stop a worker and start it again",
		long:  "Stop the processes of workers and start them again, under the same handles.",
		doing: "restart", until: "it runs again",
		do: func(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
			t := &target{handle: w.Handle, reached: started(w.StartNumber), gone: goneErr(w.Handle)}
			return t, b.Restart(ctx, w.Handle)
		},
	})
}
