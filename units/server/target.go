package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	defaultTimeout  = 5 * time.Second
	defaultDatabase = "postgres"
	maxMessage      = 1 << 20 // bytes that a server may send at once
)

// A target is a Config resolved against files and environment: where the
// server is and how to be let in. It is made anew for every connection, so
// that what is mended outside takes effect.
type target struct {
	settings settings
	config   *pgconn.Config
	network  string // "unix" or "tcp"
	address  string // for people, without secrets
	socket   string // path of the Unix socket, "" for TCP
	timeout  time.Duration
}

// Check reports what is wrong with c without asking the server: the conninfo,
// the service and the cluster that it names, and the files they need.
func (c Config) Check() error {
	_, err := c.resolve()
	return err
}

func (c Config) settings() (settings, error) {
	set, err := parseConninfo(c.Conninfo)
	if err != nil {
		return nil, err
	}
	if err := set.readService(); err != nil {
		return nil, err
	}
	if err := set.addCluster(c); err != nil {
		return nil, err
	}
	set.addEnvironment()
	if set["service"] != "" && c.Conninfo == "" { // named by PGSERVICE alone
		if err := set.readService(); err != nil {
			return nil, err
		}
	}
	return set, set.check()
}

// check holds what the keywords' values must obey beyond what pgconn checks.
func (set settings) check() error {
	for _, k := range []string{"host", "hostaddr", "port"} {
		if strings.Contains(set[k], ",") {
			return fmt.Errorf("%s: more than one is named; a server block is one server, so write one block for each", k)
		}
	}
	if p, ok := set["port"]; ok {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("port: %q is not a number from 1 to 65535", shorten(p))
		}
	}
	if a, ok := set["hostaddr"]; ok && net.ParseIP(a) == nil {
		return fmt.Errorf("hostaddr: %q is not an IP address; a name belongs in host", shorten(a))
	}
	if m, ok := set["gssencmode"]; ok && m != "disable" && m != "prefer" {
		return errors.New("gssencmode: encryption by GSSAPI is not supported for watching a server; use \"disable\" or \"prefer\"")
	}
	if set["requirepeer"] != "" && set["host"] != "" && !filepath.IsAbs(set["host"]) {
		return errors.New("requirepeer: works only with a Unix socket")
	}
	return nil
}

func (c Config) resolve() (*target, error) {
	set, err := c.settings()
	if err != nil {
		return nil, err
	}
	t := &target{settings: set, timeout: c.Timeout}
	if t.timeout == 0 {
		t.timeout = connectTimeout(set["connect_timeout"])
	}
	t.config, err = pgconn.ParseConfigWithOptions(set.render(), pgconn.ParseConfigOptions{
		GetSSLPassword: func(context.Context) string { return set["sslpassword"] },
	})
	if err != nil {
		// What it wraps says why without repeating the string.
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("conninfo: %w", err)
	}
	if t.config.User == "" {
		return nil, errors.New("conninfo: user is missing, and this process's user has no name; add user=NAME")
	}
	c.adjust(t)
	return t, nil
}

// adjust makes the parsed configuration that of a watcher.
func (c Config) adjust(t *target) {
	p := t.config
	if pw := t.settings["password"]; pw != "" {
		p.Password = pw
	}
	if p.Database == "" {
		p.Database = defaultDatabase
	}
	p.ConnectTimeout = 0    // the caller's context is the limit
	p.ValidateConnect = nil // a server of either role is watched
	p.DialFunc = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	p.MaxProtocolMessageBodyLen = maxMessage
	p.RuntimeParams = map[string]string{
		"application_name": cmp.Or(t.settings["application_name"], c.ApplicationName, DefaultApplication),
		// PostgreSQL 14 and later. The session is idle by design.
		"idle_session_timeout": "0",
	}
	if o := t.settings["options"]; o != "" {
		p.RuntimeParams["options"] = o
	}
	if a := t.settings["hostaddr"]; a != "" {
		p.LookupFunc = func(context.Context, string) ([]string, error) { return []string{a}, nil }
	}
	t.network, t.address = pgconn.NetworkAddress(p.Host, p.Port)
	if t.network == "unix" {
		t.socket = t.address
	}
}

// render writes what pgconn is to parse, without the password.
func (set settings) render() string {
	var b strings.Builder
	out := maps.Clone(set)
	if out["host"] == "" && out["hostaddr"] != "" {
		out["host"] = out["hostaddr"]
	}
	for _, k := range slices.Sorted(maps.Keys(out)) {
		if options[k].how == pass {
			fmt.Fprintf(&b, "%s=%s ", k, quoteValue(out[k]))
		}
	}
	return b.String()
}

// describe says for people where the server is and who asks it, in libpq's
// keywords and without secrets.
func (t *target) describe() string {
	var words []string
	for _, kv := range [][2]string{
		{"host", t.config.Host}, {"hostaddr", t.settings["hostaddr"]}, {"port", strconv.Itoa(int(t.config.Port))},
		{"user", t.config.User}, {"dbname", t.config.Database}, {"sslmode", t.settings["sslmode"]},
	} {
		if value := oneLine(kv[1]); value != "" {
			words = append(words, kv[0]+"="+quoteValue(value))
		}
	}
	return strings.Join(words, " ")
}

// connectTimeout reads libpq's connect_timeout: seconds, of which 0 and what
// is no number leave the default.
func connectTimeout(s string) time.Duration {
	n, err := strconv.Atoi(strings.Trim(s, space))
	if err != nil || n <= 0 {
		return defaultTimeout
	}
	return time.Duration(min(n, 3600)) * time.Second
}

// LibpqEnv returns the libpq environment ("PGHOST=...") with which a worker
// reaches the server of c as the watcher does: address, role, TLS and the
// paths of password file and keys; the database only if the conninfo names
// one. It never holds a password. It fails as [Config.Check] does.
func LibpqEnv(c Config) ([]string, error) {
	t, err := c.resolve()
	if err != nil {
		return nil, err
	}
	env := map[string]string{
		"PGHOST": t.config.Host,
		"PGPORT": strconv.Itoa(int(t.config.Port)),
		"PGUSER": t.config.User,
	}
	for k, v := range t.settings {
		o := options[k]
		if _, set := env[o.env]; o.share && o.env != "" && !set && v != "" {
			env[o.env] = v
		}
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out, nil
}
