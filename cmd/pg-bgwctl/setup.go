package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"

	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/spf13/cobra"
)

const setupLong = `Prepare a PostgreSQL server for the service: make its role, and let the service's system
user in as that role, by lines in pg_hba.conf and pg_ident.conf where there is none that
does. What is missing is shown first and done when you agree; without a terminal it is
only shown. A file is kept beside its new version, and the server reloads its files last.

Root does this as the system user postgres (--as), anybody else as himself. What is done
already is left alone, so the command can be repeated.`

// setupFlags are the flags of setup.
type setupFlags struct {
	roles                   []string
	user, as, main          string
	conninfo, cluster, name string
	yes, print, stats       bool
}

func newSetup(a *app) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:     "setup",
		Short:   "Prepare a PostgreSQL server for the service",
		Long:    setupLong,
		Example: "  pg-bgwctl setup\n  pg-bgwctl setup --cluster=15/main --role=clerk --yes\n  pg-bgwctl setup --print",
		Args:    between(0, 0, ""),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.roles, "role", nil, "a role to make and let in; may be repeated (default: the service's user)")
	flags.StringVar(&f.user, "user", "pg-bgw", "the system user that the service runs as")
	flags.StringVar(&f.as, "as", "postgres", "the system user that root does this as: a superuser of the server by peer authentication")
	flags.StringVar(&f.main, "config", config.DefaultMain, "the main file, for the server block that it has")
	flags.StringVar(&f.conninfo, "conninfo", "", "how to reach the server as a superuser: a libpq connection string or URI")
	flags.StringVar(&f.cluster, "cluster", "", `the same by Debian's name of the cluster, as in "15/main"`)
	flags.StringVar(&f.name, "server", "", "the same by the label of a server block (default: the only one)")
	flags.BoolVar(&f.stats, "stats", false, "grant pg_read_all_stats as well, for a smart stop that need not wait smart_stop_grace")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do it without asking")
	flags.BoolVar(&f.print, "print", false, "only show what is missing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.judge(cmd); err != nil {
			return err
		}
		if os.Geteuid() == 0 && f.conninfo == "" {
			return a.setupAs(cmd.Context(), &f)
		}
		return a.setup(cmd.Context(), &f)
	}
	return cmd
}

func (f *setupFlags) judge(cmd *cobra.Command) error {
	given := 0
	for _, s := range []string{f.conninfo, f.cluster, f.name} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return misused(cmd, "setup: more than one of --conninfo, --cluster and --server is given")
	case f.yes && f.print:
		return misused(cmd, "setup: --yes and --print are given")
	}
	if len(f.roles) == 0 {
		f.roles = []string{f.user}
	}
	return nil
}

// setupAs runs this command again as the system user --as, who asks, writes and exits in our place. Root by any name does
// it himself.
func (a *app) setupAs(ctx context.Context, f *setupFlags) error {
	cannot := func(err error) error {
		return &failure{code: codeFailed, text: fmt.Sprintf("cannot set the server up as system user %q: %v", safe(f.as), err),
			hint: "name the system user that is the server's superuser: --as=NAME, or give --conninfo"}
	}
	u, err := user.Lookup(f.as)
	if err != nil {
		return cannot(err)
	}
	if u.Uid == "0" {
		return a.setup(ctx, f)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = "pg-bgwctl"
	cmd.Env = append(os.Environ(), "HOME="+u.HomeDir, "USER="+u.Username)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	if cmd.SysProcAttr, err = attributesOf(u); err != nil {
		return cannot(err)
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return ended(code(exit.ExitCode()))
	} else if err != nil {
		return cannot(err)
	}
	return nil
}

// target is the server to set up.
func (f *setupFlags) target() (server.Config, error) {
	switch {
	case f.conninfo != "":
		return server.Config{Conninfo: f.conninfo, ApplicationName: "pg-bgwctl"}, nil
	case f.cluster != "":
		return server.Config{Cluster: f.cluster, ApplicationName: "pg-bgwctl"}, nil
	}
	c, _ := config.Load(config.Paths{Main: f.main, MainRequired: f.name != "", Workers: config.DefaultWorkers()}, config.Options{MultiUser: true})
	var blocks []config.Server
	if c != nil {
		blocks = c.Servers
	}
	for _, b := range blocks {
		if b.Label == f.name || f.name == "" && len(blocks) == 1 {
			address, err := server.Config{Conninfo: b.Conninfo, Cluster: b.Cluster}.Address() // without the role that the block names
			return server.Config{Conninfo: address, ApplicationName: "pg-bgwctl"}, err
		}
	}
	if f.name != "" || len(blocks) > 1 {
		return server.Config{}, &failure{code: codeFailed, text: fmt.Sprintf("there are %s, and which one is not clear", count(len(blocks), "server block")),
			hint: "name one by its label: --server=LABEL; see the mistakes: pg-bgwctl check"}
	}
	return server.Config{ApplicationName: "pg-bgwctl"}, nil
}

func (a *app) setup(ctx context.Context, f *setupFlags) error {
	target, err := f.target()
	if err != nil {
		return err
	}
	conn, err := target.Connect(ctx)
	if err != nil {
		return &failure{code: codeFailed, text: "cannot ask the server: " + err.Error(),
			hint: "start it, or say how to reach it as a superuser: --conninfo, --cluster or --as"}
	}
	defer conn.Close(ctx)
	p, err := a.plan(ctx, conn, f)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		err = a.writeJSON(p)
	} else {
		err = p.print(a)
	}
	if err != nil || p.done() {
		return err
	}
	agreed, err := a.consent(f)
	if err != nil || !agreed {
		return err
	}
	if err := p.carryOut(ctx, conn); err != nil {
		return err
	}
	if len(p.Files) == 0 {
		return a.say("done.\n")
	}
	if !f.yes {
		if ok, err := a.ask("Have the server reload its files now?"); err != nil || !ok {
			return errors.Join(err, a.say("done, but for the reload: SELECT pg_reload_conf();\n"))
		}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_reload_conf()").ReadAll(); err != nil {
		return fmt.Errorf("the files are written, and the server cannot be made to reload them: %w", err)
	}
	return a.say("done; the server has been told to reload its files.\nTry it: pg-bgwctl check --connect\n")
}

// consent reports whether what was shown is to be done.
func (a *app) consent(f *setupFlags) (bool, error) {
	switch {
	case f.yes:
		return true, nil
	case f.print || a.wantsJSON():
		return false, nil
	}
	if in, ok := a.in.(*os.File); ok {
		if _, terminal := terminalWidth(in); terminal {
			return a.ask("Do this now?")
		}
	}
	return false, a.say("Nothing was done: there is no terminal to ask on. To do it: --yes\n")
}

// ask asks a question that only a clear yes answers so.
func (a *app) ask(question string) (bool, error) {
	if err := a.say(question + " [y/N] "); err != nil {
		return false, err
	}
	if a.answers == nil {
		a.answers = bufio.NewReader(a.in)
	}
	answer, _ := a.answers.ReadString('\n') // an end is no yes
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, a.say("Nothing more was done.\n")
}

// say prints what is no result in itself.
func (a *app) say(text string) error {
	if a.wantsJSON() {
		return nil
	}
	_, err := a.out.Write([]byte(text))
	return err
}
