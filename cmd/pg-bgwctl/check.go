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
Mistakes go to standard output, each with its place.`

func newCheck(a *app) *cobra.Command {
	var main string
	var dirs []string
	var options config.Options
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
		return a.check(paths, options)
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

func (a *app) check(paths config.Paths, options config.Options) error {
	c, diags := config.Load(paths, options)
	if a.wantsJSON() {
		list := diags.List()
		if list == nil {
			list = []config.Diagnostic{}
		}
		if err := a.writeJSON(list); err != nil {
			return err
		}
	} else if err := diags.Print(a.out, a.screen.width, a.screen.color); err != nil {
		return err
	}
	if diags.HasErrors() {
		return ended(codeFailed)
	}
	if a.quiet || a.wantsJSON() {
		return nil
	}
	_, err := fmt.Fprintf(a.out, "%s: %s, %s, %s, %s: no mistakes\n", count(len(c.Files), "file"), count(len(c.Workers), "worker"),
		count(len(c.Templates), "template"), count(len(c.Segments), "segment"), count(len(c.Servers), "server"))
	return err
}
