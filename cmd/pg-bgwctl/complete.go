package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeTimeout is how long a shell may be kept waiting for the names of workers.
const completeTimeout = time.Second

// completeWorkers offers what workers are called. It offers nothing rather than an error.
func (a *app) completeWorkers(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	b, err := a.dial()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	ws, err := b.index(ctx, "complete")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, t := range ws.titles() {
		// What a shell might obey is not offered: the names of dynamic workers are their registrants' choice.
		if strings.HasPrefix(t, begun) && strings.Trim(t, plain) == "" {
			out = append(out, t)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
