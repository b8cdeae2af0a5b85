package main

import (
	"context"
	"slices"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/spf13/cobra"
)

const shutdownLong = `End the service as PostgreSQL's pg_ctl stop does. smart: run on, taking new workers,
until the servers have no clients of others. fast: stop the workers now, by their kill
signal. immediate: kill them. "systemctl stop pg-bgw" is fast. The command returns when
the shutdown has begun.`

func newShutdown(a *app) *cobra.Command {
	modes := []string{string(dbusapi.ShutdownSmart), string(dbusapi.ShutdownFast), string(dbusapi.ShutdownImmediate)}
	mode := string(dbusapi.ShutdownFast)
	cmd := &cobra.Command{
		Use:   "shutdown [--mode=smart|fast|immediate]",
		Short: "End the service",
		Long:  shutdownLong,
		Args:  between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if !slices.Contains(modes, mode) {
				return &failure{code: codeUsage, text: "--mode=" + mode + " is not known",
					hint: "use --mode=smart, --mode=fast or --mode=immediate"}
			}
			return a.withBus(func(ctx context.Context, b *bus) error {
				return explain(b.Shutdown(ctx, dbusapi.ShutdownMode(mode)), "shut the service down")
			})
		},
	}
	cmd.Flags().StringVarP(&mode, "mode", "m", mode, "smart, fast or immediate")
	return cmd
}
