package main

import (
	"context"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

const startLong = `Start workers: one that is held is released, one that waits for its restart time
waits no longer, and one of the files that has ended is registered again. That one gets a new handle,
which is printed. One that runs is left alone.`

func newStart(a *app) *cobra.Command {
	return a.newChange(change{
		use: "start WORKER...", short: "Release a held worker, or start it before its time",
		long: startLong, doing: "start", until: "it runs",
		do: func(ctx context.Context, b *bus, w *workerInfo) (*target, error) {
			h, err := b.Start(ctx, w.Handle)
			if err != nil {
				return nil, err
			}
			base := w.StartNumber
			if h != w.Handle {
				base = 0
			} else if runs(w) || w.State == units.Starting.String() {
				base = w.StartNumber - min(w.StartNumber, 1) // that process will do
			}
			return &target{handle: h, reached: started(base), gone: goneErr(h)}, nil
		},
		done: func(before *workerInfo, t *target) error {
			if t.handle == before.Handle {
				return nil
			}
			return a.printHandle(t.handle)
		},
	})
}
