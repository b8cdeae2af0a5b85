package main

import (
	"context"

	"github.com/spf13/cobra"
)

const reloadLong = `Have the service read its configuration again: all of it or, if a file has a
mistake, nothing. Workers whose definition did not change keep running.`

func newReload(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Read the configuration again",
		Long:  reloadLong,
		Args:  between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			return a.withBus(func(ctx context.Context, b *bus) error {
				// A service that does not run reads its files when it starts; it is not started to read them twice.
				if _, err := b.Manager(ctx); err != nil {
					return explain(err, "reload the configuration")
				}
				ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
				defer cancel()
				return explain(b.Reload(ctx), "reload the configuration")
			})
		},
	}
}
