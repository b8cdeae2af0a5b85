package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newDump(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "dump",
		Short: "Print the state of the service, for a report of a defect",
		Args:  between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			return a.withBus(func(ctx context.Context, b *bus) error {
				text, err := b.Dump(ctx)
				if err != nil {
					return explain(err, "dump the state")
				}
				if a.wantsJSON() {
					return a.writeJSON(map[string]string{"Dump": text})
				}
				_, err = io.WriteString(a.out, strings.TrimSuffix(safeLines(text), "\n")+"\n")
				return err
			})
		},
	}
}
