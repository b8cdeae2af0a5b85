package main

import (
	"fmt"
	"os"

	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/spf13/cobra"
)

const checkLong = `Look for mistakes in the configuration as the service would read it, without the
service: by default the files that pg-bgwd reads by default. With a FILE, or the files of
a DIR, those and the main file, which may define the segments and servers that they name.
Mistakes go to standard output, each with its place.

With --connect each definition's connection is tried as well, as the user that the
worker would run as: what fails is told with what would mend it.`

func newCheck(a *app) *cobra.Command {
	var main string
	var dirs []string
	var options config.Options
	var connect bool
	cmd := &cobra.Command{
		Use:     "check [FILE|DIR...]",
		Short:   "Look for mistakes in configuration files",
		Long:    checkLong,
		Example: "  pg-bgwctl check && pg-bgwctl reload\n  pg-bgwctl check --json=short hello.hcl",
	}
	cmd.Flags().StringVar(&main, "config", config.DefaultMain, "the main file")
	cmd.Flags().StringArrayVar(&dirs, "workers", config.DefaultWorkers(), "a directory of definitions, the one that wins first")
	cmd.Flags().StringVar(&options.User, "user", "pg-bgw", "the user that the service runs as")
	cmd.Flags().BoolVar(&options.MultiUser, "multi-user", false, "the service may start workers as other users (10-multi-user.conf)")
	cmd.Flags().BoolVar(&connect, "connect", false, "try the connections of servers, workers and templates")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given := func(flag string) bool { return cmd.Flags().Changed(flag) }
		paths := config.Paths{Main: main, MainRequired: given("config"), Workers: dirs, WorkersRequired: given("workers")}
		if len(args) > 0 {
			if given("workers") {
				return misused(cmd, "check: --workers and files are given")
			}
			paths.Workers = nil
			for _, arg := range args {
				sortPath(&paths, arg)
			}
		}
		return a.check(paths, options, connect)
	}
	return cmd
}

// sortPath adds a path to those of definitions, as the directory or the file that it is. What cannot be read is left to
// the reader to complain about.
func sortPath(p *config.Paths, arg string) {
	info, err := os.Stat(arg)
	if main, mainErr := os.Stat(p.Main); err == nil && mainErr == nil && os.SameFile(info, main) {
		return
	}
	if err == nil && info.IsDir() {
		p.Workers = append(p.Workers, arg)
		p.WorkersRequired = true
		return
	}
	p.Files = append(p.Files, arg)
}

func (a *app) check(paths config.Paths, options config.Options, connect bool) error {
	c, diags := config.Load(paths, options)
	list, failed := diags.List(), diags.HasErrors()
	if !a.wantsJSON() {
		if err := diags.Print(a.out, a.screen.width, a.screen.color); err != nil {
			return err
		}
		if !failed && !a.quiet {
			if _, err := fmt.Fprintf(a.out, "%s: %s, %s, %s, %s: no mistakes\n", count(len(c.Files), "file"), count(len(c.Workers), "worker"),
				count(len(c.Templates), "template"), count(len(c.Segments), "segment"), count(len(c.Servers), "server")); err != nil {
				return err
			}
		}
	}
	if connect && !failed {
		more, err := a.connections(c, options)
		if err != nil {
			return err
		}
		list, failed = append(list, more...), len(more) > 0
	}
	if a.wantsJSON() {
		if list == nil {
			list = []config.Diagnostic{}
		}
		if err := a.writeJSON(list); err != nil {
			return err
		}
	}
	if failed {
		return ended(codeFailed)
	}
	return nil
}
