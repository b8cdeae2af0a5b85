package main

import (
	"context"

	"github.com/spf13/cobra"
)

const stopLong = `Stop workers and hold them: each keeps its slot and its handle and does not run
until "pg-bgwctl start". A reload does not start it either. To be rid of a worker,
terminate it.`

func newStop(a *app) *cobra.Command {
	return a.newChange(change{
		use: "stop WORKER...", short: "Stop a worker and hold it",
		long: stopLong, doing: "stop", until: "its processes are gone",
		do: func(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
			return &target{handle: w.Handle, reached: stopped}, b.Stop(ctx, w.Handle)
		},
	})
}
