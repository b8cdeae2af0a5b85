package daemon

import (
	"cmp"
	"context"
	"os/user"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/policy"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/server"
)

// TerminateForDatabase implements dbusapi.Backend.
func (b backend) TerminateForDatabase(_ context.Context, c dbusapi.Caller, label, database string) (terminated, remaining []dbusapi.Handle, err error) {
	if err := b.allow(c, policy.Terminate); err != nil {
		return nil, nil, err
	}
	if label, err = b.d.serverNamed(label); err != nil {
		return nil, nil, err
	}
	env, err := b.d.libpqEnv(label)
	if err != nil {
		return nil, nil, dbusapi.Errorf(dbusapi.ErrorFailed, "cannot tell which workers are of database %s: %v", database, err)
	}
	r, err := b.d.supervisor.TerminateForDatabase(func(w *units.Worker) bool {
		return w.Server == label && databaseOf(w, env) == database
	})
	return busHandles(r.Terminated), busHandles(r.Remaining), busError(err)
}

func busHandles(hs []units.Handle) []dbusapi.Handle {
	out := make([]dbusapi.Handle, len(hs))
	for i, h := range hs {
		out[i] = dbusapi.Handle(h)
	}
	return out
}

// serverNamed is the label of a server as a caller names it: "" for the only
// one, or for the standalone one.
func (d *Daemon) serverNamed(label string) (string, error) {
	labels := d.serverLabels()
	known := strings.Join(labels, ", ")
	switch {
	case label == "" && len(labels) > 1:
		return "", invalid("server: which one? The servers are %s", known)
	case label == "":
		return d.defaultServer(), nil
	case slices.Contains(labels, label):
		return label, nil
	case len(labels) == 0:
		return "", invalid("server: there is no server %q; none is configured, and the empty name stands for it", label)
	}
	return "", invalid("server: there is no server %q; the servers are %s", label, known)
}

// libpqEnv is the libpq environment of a server, nil for the standalone one.
func (d *Daemon) libpqEnv(label string) ([]string, error) {
	if c := d.serverOfLabel(label); c != nil {
		return server.LibpqEnv(*c)
	}
	return nil, nil
}

// databaseOf is the database to which libpq connects in w's environment, where
// env is its server's, layered as by server.NewLogin: what the worker itself
// names then is not known to us. A service of its own is not looked up.
func databaseOf(w *units.Worker, env []string) string {
	if w.Environment["PGSERVICE"] != "" {
		env = nil
	}
	c := units.Connection{}
	if w.Connection != nil {
		c = *w.Connection
	}
	of := func(variable, defined string) string {
		shared := ""
		if i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, variable+"=") }); i >= 0 {
			shared = env[i][len(variable)+1:]
		}
		return cmp.Or(w.Environment[variable], defined, shared)
	}
	name := cmp.Or(of("PGDATABASE", c.Database), of("PGUSER", c.Role), w.User) // libpq: the role, then the user
	if name == "" {
		if u, err := user.Current(); err == nil {
			return u.Username
		}
	}
	return name
}
