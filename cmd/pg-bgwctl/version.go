package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// version is set by the linker, as pg-bgwd's is.
var version = "0.1.0-dev"

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this command and of the service",
		Args:  between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			daemon, why := a.daemonVersion()
			if a.wantsJSON() {
				v := map[string]any{"pg-bgwctl": version, "pg-bgwd": nil}
				if why == "" {
					v["pg-bgwd"] = daemon
				}
				return a.writeJSON(v)
			}
			if why != "" {
				daemon = why
			}
			_, err := fmt.Fprintf(a.out, "pg-bgwctl %s\npg-bgwd %s\n", version, safe(daemon))
			return err
		},
	}
}

// daemonVersion asks the service for its version; why says why there is none. The command's own version is worth
// printing all the same, so nothing here is an error.
func (a *app) daemonVersion() (daemon, why string) {
	err := a.withBus(func(ctx context.Context, b *bus) error {
		m, err := b.Manager(ctx)
		if absent(err) {
			why = "does not run"
			return nil
		}
		daemon = m.Version
		return err
	})
	if err != nil {
		why = "cannot be reached"
	}
	return daemon, why
}
