package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeTimeout is how long a shell may be kept waiting for the names of workers.
const completeTimeout = time.Second

// completeWorkers offers what workers are called.
func (a *app) completeWorkers(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.complete(begun, func(ctx context.Context, b *bus) []string {
		ws, _ := b.index(ctx, "complete")
		return ws.titles()
	})
}

// completeServers offers the labels of servers.
func (a *app) completeServers(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.complete(begun, func(ctx context.Context, b *bus) []string {
		servers, _ := b.Servers(ctx)
		var names []string
		for _, s := range servers {
			names = append(names, s.Name)
		}
		return names
	})
}

// complete offers those names that go on from what was begun; nothing rather than an error.
func (a *app) complete(begun string, names func(context.Context, *bus) []string) ([]string, cobra.ShellCompDirective) {
	b, err := a.dial()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	var out []string
	for _, name := range names(ctx, b) {
		// What a shell might obey is not offered: the names of dynamic workers are their registrants' choice.
		if strings.HasPrefix(name, begun) && strings.Trim(name, plain) == "" {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
