package server

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs of a refused login besides those of answer.go.
const (
	codeBadPassword = "28P01"
	codeNotAllowed  = "28000"
	codeNotInState  = "55000"
)

// facts are what a server says of a login, when it is asked by somebody else
// who gets in. A count of -1 is no limit.
type facts struct {
	known              bool
	role, canLogin     bool // it exists; it may log in
	roleLimit          int
	database           bool // it exists
	databaseLimit      int
	mayConnect         bool   // the role has the privilege for it
	hbaFile, identFile string // "" where they are not shown
}

const roleFacts = `SELECT rolcanlogin, rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = $1`

const databaseFacts = `SELECT datconnlimit, coalesce((SELECT pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT')
 FROM pg_catalog.pg_roles r WHERE r.rolname = $2), false) FROM pg_catalog.pg_database d WHERE d.datname = $1`

const fileFacts = `SELECT pg_catalog.current_setting(name) FROM (VALUES ('hba_file'), ('ident_file')) v(name)
 WHERE pg_catalog.pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')`

// askFacts asks the server of c, as the watcher would, about a login that it
// has refused. Nothing is known where the watcher gets no answer either.
func askFacts(ctx context.Context, c Config, tr Trial) (f facts) {
	t, err := c.resolve()
	if err != nil {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, t.config)
	if err != nil {
		return f
	}
	defer conn.Close(ctx)
	role, err1 := Query(ctx, conn, roleFacts, tr.Role)
	db, err2 := Query(ctx, conn, databaseFacts, tr.Database, tr.Role)
	if err1 != nil || err2 != nil {
		return f
	}
	f.known = true
	if len(role) == 1 {
		f.role, f.canLogin = true, role[0][0] == "t"
		f.roleLimit, _ = strconv.Atoi(role[0][1])
	}
	if len(db) == 1 {
		f.database, f.mayConnect = true, db[0][1] == "t"
		f.databaseLimit, _ = strconv.Atoi(db[0][0])
	}
	if files, err := Query(ctx, conn, fileFacts); err == nil && len(files) == 2 {
		f.hbaFile, f.identFile = files[0][0], files[1][0]
	}
	return f
}

// Query runs a query with parameters and returns its rows as text; NULL is "".
func Query(ctx context.Context, conn *pgconn.PgConn, query string, args ...string) ([][]string, error) {
	var params [][]byte
	for _, a := range args {
		params = append(params, []byte(a))
	}
	res := conn.ExecParams(ctx, query, params, nil, nil, nil).Read()
	var out [][]string
	for _, r := range res.Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		out = append(out, row)
	}
	return out, res.Err
}

// Remedy says, line by line, what would let the login of tr in, which failed at
// the server of c. user is the system user of whom it was tried. It is judged
// by SQLSTATE, and by what the server says of role and database to c's own
// role where that one gets in; never by the words of a message.
func Remedy(ctx context.Context, c Config, tr Trial, user string) []string {
	switch tr.Why {
	case WhyRefused:
		return refusedRemedy(tr, askFacts(ctx, c, tr), user)
	case WhyConfig:
		return []string{"mend the connection block of the worker or the conninfo of the server block"}
	case WhyAbsent:
		return absentRemedy(tr)
	case WhySilent:
		return []string{"see whether the server is overloaded or stopped, or a firewall is between; connect_timeout in conninfo changes how long is waited"}
	case WhyDenied:
		return []string{fmt.Sprintf("let user %q connect to the socket: unix_socket_permissions and unix_socket_group of the server, and the mode of %s", user, filepath.Dir(tr.Address))}
	case WhyTLS:
		return []string{"make sslmode, sslrootcert and sslcert of the conninfo and the server's ssl settings and certificate fit each other"}
	case WhyNotNow:
		return []string{"the server starts, stops or recovers: try again when it accepts sessions"}
	}
	return []string{"see the server's log for its side of it"}
}

// absentRemedy looks whether a server listens beside where it was looked for.
func absentRemedy(tr Trial) []string {
	out := []string{"start the server, or mend host and port in the conninfo of the server block"}
	if !tr.Local {
		return append(out, "over a network the server has to listen there: listen_addresses")
	}
	dirs := []string{filepath.Dir(tr.Address), "/run/postgresql", "/tmp"}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		found, _ := filepath.Glob(filepath.Join(dir, ".s.PGSQL.*"))
		for _, f := range found {
			port := strings.TrimPrefix(filepath.Base(f), ".s.PGSQL.")
			if _, err := strconv.Atoi(port); err == nil && f != tr.Address {
				out = append(out, fmt.Sprintf("there is a socket of a server at host=%s port=%s", dir, port))
			}
		}
	}
	return out
}

func refusedRemedy(tr Trial, f facts, user string) []string {
	role, db := QuoteIdent(tr.Role), QuoteIdent(tr.Database)
	switch tr.Code {
	case codeBadPassword:
		if !tr.Password {
			return []string{fmt.Sprintf("the server wants a password of role %s: name its file in the connection block, as in password_file = \"/etc/pg-bgw/secrets/%s\"", role, tr.Role)}
		}
		out := []string{fmt.Sprintf("write the password of role %s into the password file, or set it: ALTER ROLE %s PASSWORD '...';", role, role)}
		return append(out, roleRemedy(role, f, tr.Role)...)
	case codeNotAllowed:
		return append(roleRemedy(role, f, tr.Role), admission(tr, f, user)...)
	case codeNoDatabase:
		return []string{fmt.Sprintf("create the database: CREATE DATABASE %s; or name another one in the connection block", db)}
	case codeNotInState:
		return []string{fmt.Sprintf("let sessions into it: ALTER DATABASE %s WITH ALLOW_CONNECTIONS true; or name another database", db)}
	case codeNoPrivilege:
		if f.known && f.mayConnect {
			return []string{fmt.Sprintf("role %s may connect, so mend options in the connection block: it sets what only another role may set", role)}
		}
		return []string{fmt.Sprintf("grant it: GRANT CONNECT ON DATABASE %s TO %s;", db, role)}
	case codeTooMany:
		return crowdRemedy(role, db, f)
	}
	return []string{"mend options in the connection block, if it has any, or see the server's log"}
}

// roleRemedy says what is wrong with the role itself, so far as it is known.
func roleRemedy(role string, f facts, name string) []string {
	switch {
	case f.known && !f.role:
		return []string{fmt.Sprintf("the role does not exist: CREATE ROLE %s LOGIN; (pg-bgwctl setup --role=%s makes it)", role, name)}
	case f.known && !f.canLogin:
		return []string{fmt.Sprintf("the role may not log in: ALTER ROLE %s LOGIN;", role)}
	case !f.known:
		return []string{fmt.Sprintf("if the role does not exist or may not log in: CREATE ROLE %s LOGIN; or ALTER ROLE %s LOGIN;", role, role)}
	}
	return nil
}

// admission is what pg_hba.conf and pg_ident.conf need.
func admission(tr Trial, f facts, user string) []string {
	hba, ident := f.hbaFile, f.identFile
	if hba == "" {
		hba, ident = "pg_hba.conf", "pg_ident.conf"
	}
	if !tr.Local {
		role, err := hbaName(tr.Role)
		if err != nil {
			return []string{err.Error()}
		}
		return []string{fmt.Sprintf("let the role in, in %s before other lines that fit: hostssl DATABASE %s ADDRESS/32 scram-sha-256, and give the worker a password_file; then reload the server", hba, role)}
	}
	line, err := HBALine(tr.Database, tr.Role, user != tr.Role)
	if err != nil {
		return []string{err.Error()}
	}
	out := []string{fmt.Sprintf("let the role in, in %s before other lines that fit: %s", hba, line)}
	if user != tr.Role {
		if line, err = IdentLine(user, tr.Role); err != nil {
			return []string{err.Error()}
		}
		out = append(out, fmt.Sprintf("let user %q be the role, in %s: %s", user, ident, line))
	}
	return append(out, "then reload the server: SELECT pg_reload_conf();")
}

func crowdRemedy(role, db string, f facts) []string {
	var out []string
	if f.known && f.role && f.roleLimit >= 0 {
		out = append(out, fmt.Sprintf("role %s may have %d sessions: ALTER ROLE %s CONNECTION LIMIT -1;", role, f.roleLimit, role))
	}
	if f.known && f.database && f.databaseLimit >= 0 {
		out = append(out, fmt.Sprintf("database %s may have %d sessions: ALTER DATABASE %s CONNECTION LIMIT -1;", db, f.databaseLimit, db))
	}
	return append(out, "raise max_connections of the server, or close sessions that nobody uses")
}
