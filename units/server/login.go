package server

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
)

// A Login is how one worker gets into its server: the libpq variables, and the
// files behind some of them. The files hold secrets and are nobody's but the
// worker's; the variables hold none.
type Login struct {
	Env   map[string]string // libpq's variables, without those of Files
	Files []LoginFile

	passed Passed
}

// Passed are open files that this process was started with, by their names: a
// secret among them need not be one that its user can open.
type Passed map[string]*os.File

// A LoginFile is a file that only the worker may read. It gets the content by
// a descriptor of that name, whose path in /proc is the value of the variable.
type LoginFile struct {
	Name     string // "passfile", "sslcert" or "sslkey", libpq's keyword
	Variable string // "PGPASSFILE", "PGSSLCERT" or "PGSSLKEY"
	Content  []byte
}

// NewLogin makes the login of w, to which defaults have been applied, at the
// server of c, nil for none: then libpq's defaults count beneath what the
// definition says. It reads the files that c and the definition name, as the
// user of this process or from what it was passed, and refuses a secret that
// others can read. It fails as [Config.Check] does as well.
func NewLogin(c *Config, w *units.Worker, passed Passed) (*Login, error) {
	l := &Login{Env: map[string]string{}, passed: passed}
	if c != nil && w.Environment["PGSERVICE"] == "" { // a service of its own has all of it
		env, err := LibpqEnv(*c)
		if err != nil {
			return nil, err
		}
		for _, kv := range env {
			k, v, _ := strings.Cut(kv, "=")
			l.Env[k] = v
		}
	}
	conn := w.Connection
	if conn == nil {
		conn = &units.Connection{}
	}
	for k, v := range map[string]string{"PGDATABASE": conn.Database, "PGUSER": conn.Role, "PGOPTIONS": conn.Options} {
		if v != "" {
			l.Env[k] = v
		}
	}
	if w.Flags&units.Interruptible != 0 {
		l.Env["PGOPTIONS"] = strings.TrimSpace(leaveOption + " " + conn.Options)
	}
	if err := l.password(conn.PasswordFile); err != nil {
		return nil, err
	}
	if err := l.certificate(conn); err != nil {
		return nil, err
	}
	for k, v := range w.Environment { // it counts, so what it sets needs no file
		if keywordOf(k) != "" || k == "PGPASSWORD" {
			l.Files = slices.DeleteFunc(l.Files, func(f LoginFile) bool { return f.Variable == k })
			l.Env[k] = v
		}
	}
	l.Env["PGAPPNAME"] = w.ApplicationName()
	return l, nil
}

// leaveOption has the server notice that a worker's process has gone in the
// middle of a query too, which it otherwise does only when that is over: the
// session of an interruptible worker leaves its database with the process, soon
// enough for commands that wait 5 s for it (client_connection_check_interval,
// PostgreSQL 14).
const leaveOption = "-c client_connection_check_interval=1s"

// password makes the password file: of the definition's password, or of what
// the server's own says of the worker's role.
func (l *Login) password(file string) error {
	if file != "" {
		password, err := l.readPassword(file)
		if err != nil {
			return err
		}
		l.Files = append(l.Files, LoginFile{"passfile", "PGPASSFILE", passfile(l.Env["PGUSER"], password)})
		return nil
	}
	shared := l.Env["PGPASSFILE"]
	delete(l.Env, "PGPASSFILE")
	if shared == "" {
		return nil
	}
	text, err := l.readSecret("password file", shared)
	if errors.Is(err, fs.ErrNotExist) { // libpq does without it as well
		return nil
	} else if err != nil {
		return err
	}
	if lines := passfileLines(text, l.Env); len(lines) > 0 {
		l.Files = append(l.Files, LoginFile{"passfile", "PGPASSFILE", lines})
	}
	return nil
}

// certificate makes the files of certificate and key, the definition's or else
// the server's own. A key that is no file, but in an engine, is left alone.
func (l *Login) certificate(conn *units.Connection) error {
	if conn.CertificateFile != "" {
		text, err := readPEM("certificate", conn.CertificateFile, readPlain)
		if err != nil {
			return err
		}
		l.Files = append(l.Files, LoginFile{"sslcert", "PGSSLCERT", text})
	}
	key := cmp.Or(conn.KeyFile, l.Env["PGSSLKEY"])
	if key == "" || !filepath.IsAbs(key) && key != conn.KeyFile {
		return nil
	}
	text, err := readPEM("key", key, l.readSecret)
	if err != nil {
		return err
	}
	l.Files = append(l.Files, LoginFile{"sslkey", "PGSSLKEY", text})
	return nil
}

// Environ returns the libpq variables, with path(f) as the place of each file,
// and PGBGW_CONNECTION, which says the same as one connection string.
func (l *Login) Environ(path func(LoginFile) string) []string {
	env := l.complete(path)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return append(out, "PGBGW_CONNECTION="+conninfoOf(env))
}

func (l *Login) complete(path func(LoginFile) string) map[string]string {
	env := maps.Clone(l.Env)
	for _, f := range l.Files {
		env[f.Variable] = path(f)
	}
	return env
}

// keywordOf is the libpq keyword that a variable sets; "" for a variable of
// something else, and for the password's.
func keywordOf(variable string) string {
	for k, o := range options {
		if o.env == variable && k != "password" {
			return k
		}
	}
	return ""
}

// conninfoOf is a connection string that says what the variables say, but for
// the password.
func conninfoOf(env map[string]string) string {
	var words []string
	for _, variable := range slices.Sorted(maps.Keys(env)) {
		if k := keywordOf(variable); k != "" && env[variable] != "" {
			words = append(words, k+"="+quoteValue(env[variable]))
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// Address is a connection string of where the server of c is, without a role
// and without a secret.
func (c Config) Address() (string, error) {
	env, err := LibpqEnv(c)
	if err != nil {
		return "", err
	}
	where := map[string]string{}
	for _, kv := range env {
		switch variable, value, _ := strings.Cut(kv, "="); keywordOf(variable) {
		case "host", "hostaddr", "port", "sslmode", "sslrootcert":
			where[variable] = value
		}
	}
	return conninfoOf(where), nil
}

// quoteValue writes a value of a conninfo string, in quotes where it needs them.
func quoteValue(s string) string {
	if s != "" && !strings.ContainsAny(s, space+`\'`) {
		return s
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// passfile is a password file with one password, for a role wherever it is.
func passfile(role, password string) []byte {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	if role = escape.Replace(role); role == "" {
		role = "*"
	}
	return fmt.Appendf(nil, "*:*:*:%s:%s\n", role, escape.Replace(password))
}

// passfileLines keeps of a password file what is about the role and the server
// of env, whatever the database: a worker may go on to another one.
func passfileLines(text []byte, env map[string]string) []byte {
	host := cmp.Or(env["PGHOST"], env["PGHOSTADDR"])
	var kept []byte
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		f := passfileFields(line)
		if strings.HasPrefix(line, "#") || len(f) < 5 {
			continue
		}
		here := f[0] == "*" || f[0] == host || f[0] == env["PGHOSTADDR"] || f[0] == "localhost" && strings.HasPrefix(host, "/")
		if here && (f[1] == "*" || f[1] == env["PGPORT"]) && (f[3] == "*" || f[3] == env["PGUSER"]) {
			kept = append(append(kept, line...), '\n')
		}
	}
	return kept
}

// passfileFields cuts host, port, database, user and the rest, without their
// escapes (PostgreSQL's documentation, "The Password File").
func passfileFields(line string) []string {
	fields := []string{""}
	for i := 0; i < len(line); i++ {
		last := &fields[len(fields)-1]
		switch {
		case line[i] == '\\' && i+1 < len(line):
			i++
			*last += line[i : i+1]
		case line[i] == ':' && len(fields) < 5:
			fields = append(fields, "")
		default:
			*last += line[i : i+1]
		}
	}
	return fields
}
