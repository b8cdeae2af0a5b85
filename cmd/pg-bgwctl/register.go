package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/spf13/cobra"
)

const registerLong = `Register a dynamic worker: FILE, or - for standard input, holds one worker block as in
a configuration file. Its handle is printed. The label becomes the name if the block
has none; what only the administrator may set (resources, sandbox, user and the like)
is refused. The worker has no owner: it runs on when this command ends.`

func newRegister(a *app) *cobra.Command {
	var wait waitFlag
	var main string
	cmd := &cobra.Command{
		Use:     "register FILE|-",
		Short:   "Register a dynamic worker",
		Long:    registerLong,
		Example: "  pg-bgwctl register --wait=10s hello.hcl\n  pg-bgwctl status $(pg-bgwctl register hello.hcl)",
		Args:    between(1, 1, "FILE, or - for standard input,"),
	}
	wait.register(cmd, "it runs")
	cmd.Flags().StringVar(&main, "config", config.DefaultMain, "the main file, for the segments that it defines; not needed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := wait.parse(cmd); err != nil {
			return err
		}
		w, err := a.readWorker(args[0], main)
		if err != nil {
			return err
		}
		if foreign := notForCallers(w); len(foreign) > 0 {
			return &failure{code: codeFailed,
				text: fmt.Sprintf("cannot register worker %s: a caller may not set %s", safe(w.Name), strings.Join(foreign, ", ")),
				hint: "leave them out, or define the worker or a template in /etc/pg-bgw/workers.d"}
		}
		return a.withBus(func(ctx context.Context, b *bus) error {
			return a.registered(b, &wait, w.Name, "register worker "+safe(w.Name), func() (handle, error) {
				return b.RegisterDynamicBackgroundWorker(ctx, definitionOf(w), 0)
			})
		})
	}
	return cmd
}

// registered registers a worker by call, prints its handle and waits for its start.
func (a *app) registered(b *bus, wait *waitFlag, name, doing string, call func() (handle, error)) error {
	watch, err := b.watch(wait, doing)
	if err != nil {
		return err
	}
	defer watch.close()
	h, err := call()
	if err != nil {
		return explain(err, doing)
	}
	if err := a.printHandle(h); err != nil {
		return err
	}
	t := &target{handle: h, name: safe(name), reached: started(0), gone: goneErr(h)}
	return ended(a.await(watch, []*target{t}))
}

// readWorker reads the one worker block of a file, or of standard input for "-".
func (a *app) readWorker(name, main string) (*units.Worker, error) {
	file := name
	if name == "-" {
		dir, err := os.MkdirTemp("", "pg-bgwctl-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, "stdin.hcl")
		if err := copyInput(file, a.in); err != nil {
			return nil, err
		}
	}
	context, known := mainFile(main)
	c, diags := config.Load(config.Paths{Main: context, Files: []string{file}}, config.Options{MultiUser: true})
	if err := diags.Print(a.err, a.errScreen().width, a.errScreen().color); err != nil {
		return nil, err
	}
	switch {
	case diags.HasErrors():
		return nil, &failure{code: codeFailed, text: fmt.Sprintf("cannot register the worker of %q: the definition has mistakes", name)}
	case len(c.Workers)-len(known.Workers) != 1 || len(c.Templates) > len(known.Templates) || len(c.Servers) > len(known.Servers):
		return nil, &failure{code: codeFailed,
			text: fmt.Sprintf("cannot register the worker of %q: it holds %s and %s", name,
				count(len(c.Workers)-len(known.Workers), "worker"),
				count(len(c.Templates)+len(c.Servers)-len(known.Templates)-len(known.Servers), "other block")),
			hint: "one worker block is what register takes; more belong in /etc/pg-bgw/workers.d"}
	}
	return &c.Workers[len(known.Workers)], nil // main comes first
}

// mainFile returns the main file as the context in which a definition is read: it may define the segment that the
// definition names. One that is absent or has mistakes is no context, and nobody's affair here.
func mainFile(main string) (file string, known *config.Config) {
	if c, _ := config.Load(config.Paths{Main: main, MainRequired: true}, config.Options{MultiUser: true}); c != nil {
		return main, c
	}
	return "", &config.Config{}
}

// maxInput bounds what is read of standard input, in bytes: more than any file that the reader takes.
const maxInput = 1 << 20

// copyInput writes what in holds to a new file, which the configuration's reader can then judge like any other.
func copyInput(file string, in io.Reader) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(in, maxInput+1))
	err = errors.Join(err, f.Close())
	if err == nil && n > maxInput {
		err = &failure{code: codeFailed, text: "standard input holds more than 1 MiB", hint: "one worker block is what register takes"}
	}
	if err != nil {
		return fmt.Errorf("cannot read standard input: %w", err)
	}
	return nil
}
