package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// app is one run of the program: where it reads and writes, and the flags that all verbs share.
type app struct {
	in       io.Reader
	out, err io.Writer
	answers  *bufio.Reader // of in, once a question was asked
	screen   screen        // what out can show; set once the flags are read

	address  string
	json     string // "off", "short" or "pretty"
	noLegend bool
	quiet    bool
	full     bool
}

const rootLong = `Look at and control the background workers of pg-bgwd.

A WORKER is a label, a name, or a handle: 3.17, s3_g17 or an object path.
Without a command, list.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 status: does not run,
4 no such worker.`

func newRoot(a *app) *cobra.Command {
	list := newList(a)
	root := &cobra.Command{
		Use:               "pg-bgwctl [COMMAND]",
		Short:             "Look at and control background workers",
		Long:              rootLong,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.begin() },
	}
	root.SetVersionTemplate("pg-bgwctl {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return misused(c, err.Error()) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.address, "address", "system", `bus to use: "system", "session" or a D-Bus address`)
	flags.StringVar(&a.json, "json", "off", `print JSON: "pretty", "short" or "off"`)
	flags.BoolVar(&a.noLegend, "no-legend", false, "print no headings and no sums")
	flags.Bool("no-pager", false, "accepted for habit's sake: there is no pager")
	flags.BoolVarP(&a.full, "full", "l", false, "do not cut what is too long for the terminal")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print results only where they are all that was asked for")

	list.Flags().VisitAll(root.Flags().AddFlag) // "pg-bgwctl --all" is "pg-bgwctl list --all"
	root.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(c, args[0])
		}
		return nil
	}
	root.RunE = list.RunE
	root.SetHelpCommand(newHelp())
	root.AddCommand(list, newStatus(a), newShow(a), newRegister(a), newInstantiate(a), newStart(a), newStop(a),
		newRestart(a), newTerminate(a), newSignal(a), newReload(a), newCheck(a), newSetup(a), newMonitor(a), newShm(a),
		newDump(a), newShutdown(a), newVersion(a), newConnect(a), newModule(a))
	return root
}

// begin judges the shared flags and looks at the terminal.
func (a *app) begin() error {
	if !slices.Contains([]string{"pretty", "short", "off"}, a.json) {
		return &failure{code: codeUsage, text: fmt.Sprintf("--json=%s is not known", a.json),
			hint: "use --json=pretty, --json=short or --json=off"}
	}
	if a.address == "" {
		return &failure{code: codeUsage, text: "--address is empty",
			hint: "use --address=system, --address=session or a D-Bus address such as unix:path=/run/dbus/system_bus_socket"}
	}
	a.screen = screenOf(a.out, os.Getenv)
	return nil
}

// legend reports whether headings and sums are to be printed.
func (a *app) legend() bool { return !a.noLegend && !a.quiet }

// wantsJSON reports whether results are to be JSON.
func (a *app) wantsJSON() bool { return a.json != "off" }

// unknownVerb is the error for a first argument that is no verb.
func unknownVerb(c *cobra.Command, verb string) error {
	var verbs []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			verbs = append(verbs, sub.Name())
		}
	}
	hint := "the commands are " + strings.Join(verbs, ", ")
	if near := nearest(verb, verbs); near != "" {
		hint = fmt.Sprintf("did you mean %q? The others: pg-bgwctl help", near)
	}
	return &failure{code: codeUsage, text: fmt.Sprintf("there is no command %q", verb), hint: hint}
}

// misused is the error for a wrong command line of c.
func misused(c *cobra.Command, problem string) error {
	return &failure{code: codeUsage, text: problem, hint: fmt.Sprintf("usage: %s; more: pg-bgwctl help %s",
		c.UseLine(), cmp.Or(strings.TrimPrefix(c.CommandPath(), "pg-bgwctl "), "list"))}
}

// between is the check that a verb has at least low arguments and, unless high is negative, at most high.
func between(low, high int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return misused(c, fmt.Sprintf("%s: %s is missing", c.Name(), what))
		case high >= 0 && len(args) > high:
			return misused(c, fmt.Sprintf("%s: %q is too much", c.Name(), args[high]))
		}
		return nil
	}
}
