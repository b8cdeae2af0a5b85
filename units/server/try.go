package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// A Trial is what came of one attempt to log in.
type Trial struct {
	OK      bool
	Code    string // SQLSTATE, where the server refused
	Problem string // what was seen, on one line; where it is OK, what answers
	Why     Why

	Address, Database, Role string // without secrets
	Local                   bool   // over a Unix socket
	Password                bool   // there was one to offer
}

// Why sorts the failures of an attempt by who has to mend what.
type Why uint8

// The failures.
const (
	WhyNot     Why = iota // there is none, or none of the others
	WhyConfig             // the definition or the server block is wrong
	WhyAbsent             // nobody listens there, or there is no way there
	WhySilent             // no answer in time
	WhyDenied             // the socket may not be connected to
	WhyTLS                // no agreement on encryption
	WhyNotNow             // the server starts, stops or recovers
	WhyRefused            // the server refused, and Code says why
)

// Try logs in with l as this process's user and leaves at once. It returns
// within the conninfo's connect_timeout, else 5 s, or when ctx ends.
func (l *Login) Try(ctx context.Context) Trial {
	fds := map[string]int{}
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, f := range l.Files {
		fd, err := f.Memfd(uint32(os.Geteuid()))
		if err != nil {
			return Trial{Why: WhyConfig, Problem: err.Error()}
		}
		fds[f.Name] = fd
	}
	env := l.complete(func(f LoginFile) string { return "/proc/self/fd/" + strconv.Itoa(fds[f.Name]) })
	conninfo := conninfoOf(env)
	if p := env["PGPASSWORD"]; p != "" {
		conninfo += " password=" + quoteValue(p)
	}
	t, err := Config{Conninfo: conninfo}.resolve()
	if err != nil {
		return Trial{Why: WhyConfig, Problem: oneLine(err.Error())}
	}
	if t.settings["dbname"] == "" { // where the watcher takes postgres, libpq takes the role's name
		t.config.Database = t.config.User
	}
	return t.try(ctx)
}

// Try logs in as the watcher of c would, and leaves at once.
func (c Config) Try(ctx context.Context) Trial {
	t, err := c.resolve()
	if err != nil {
		return Trial{Why: WhyConfig, Problem: oneLine(err.Error())}
	}
	return t.try(ctx)
}

// Connect opens a session as the watcher of c would, for a command of the
// administrator's; an error says what would mend it. The caller closes it.
func (c Config) Connect(ctx context.Context) (*pgconn.PgConn, error) {
	t, err := c.resolve()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	a := &attempt{target: t}
	conn, err := a.open(ctx)
	a.peer.close()
	if err != nil {
		_, text := a.judge(ctx, err)
		return nil, errors.New(text)
	}
	return conn, nil
}

func (t *target) try(ctx context.Context) Trial {
	tr := Trial{Address: t.address, Database: t.config.Database, Role: t.config.User, Local: t.socket != "", Password: t.config.Password != ""}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	a := &attempt{target: t}
	s, err := a.connect(ctx)
	a.peer.close()
	if err == nil {
		s.close()
		tr.OK, tr.Problem = true, "accepts sessions at "+t.address
		return tr
	}
	var reply reply
	reply, tr.Problem = a.judge(ctx, err)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		tr.Code, tr.Problem = pg.Code, fmt.Sprintf("%s said %s: %s", t.address, pg.Code, oneLine(pg.Message))
	}
	tr.Why = whyOf(reply, err)
	return tr
}

func whyOf(r reply, err error) Why {
	switch r {
	case refused, noRoute:
		return WhyAbsent
	case silent:
		return WhySilent
	case insecure:
		return WhyTLS
	case startingUp, notConsistent, shuttingDown, crashed, notNow:
		return WhyNotNow
	case full, denied:
		return WhyRefused
	}
	if errors.Is(err, os.ErrPermission) {
		return WhyDenied
	}
	return WhyNot
}
