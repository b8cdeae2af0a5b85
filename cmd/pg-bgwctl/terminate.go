package main

import (
	"context"

	"github.com/spf13/cobra"
)

const terminateLong = `Stop workers and unregister them, as TerminateBackgroundWorker does: the slot is
free once the processes are gone. A worker from the configuration is back after
"pg-bgwctl start" or with the next start of the service.`

func newTerminate(a *app) *cobra.Command {
	return a.newChange(change{
		use: "terminate WORKER...", short: "Stop a worker and unregister it",
		long: terminateLong, doing: "terminate", until: "it is unregistered",
		do: func(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
			return &target{handle: w.Handle, reached: unregistered}, b.Terminate(ctx, w.Handle)
		},
	})
}
