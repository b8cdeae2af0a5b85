package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pg-bgw/pg-bgw/units/server"
)

// A setupPlan is what a server lacks.
type setupPlan struct {
	SQL   []string    `json:"sql"`
	Files []setupFile `json:"files"`
	Notes []string    `json:"notes"` // what is for somebody else to do
}

// A setupFile is a file of the server's that needs more lines.
type setupFile struct {
	Path  string   `json:"path"`
	Lines []string `json:"lines"`
	Where string   `json:"where"` // "before all rules" or "at the end"

	old, text string
}

func (p *setupPlan) done() bool { return len(p.SQL)+len(p.Files) == 0 }

// setupFacts are what the server says of itself: text of booleans is "t" or "f".
const setupFacts = `SELECT pg_catalog.pg_is_in_recovery(), r.rolsuper, r.rolsuper OR r.rolcreaterole,
 pg_catalog.current_setting('server_version_num')::int >= 140000 FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`

const roleState = `SELECT r.rolcanlogin, pg_catalog.pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') FROM pg_catalog.pg_roles r WHERE r.rolname = $1`

func (a *app) plan(ctx context.Context, conn *pgconn.PgConn, f *setupFlags) (*setupPlan, error) {
	facts, err := server.Query(ctx, conn, setupFacts)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the server about itself: %w", err)
	}
	standby, super, creates := facts[0][0] == "t", facts[0][1] == "t", facts[0][2] == "t"
	p := &setupPlan{SQL: []string{}, Files: []setupFile{}, Notes: []string{}}
	if facts[0][3] != "t" {
		p.Notes = append(p.Notes, "the server is older than PostgreSQL 14, the first that pg-bgw is for")
	}
	for _, role := range f.roles {
		sql, err := missingOfRole(ctx, conn, role, f.stats)
		if err != nil {
			return nil, err
		}
		p.SQL = append(p.SQL, sql...)
	}
	if len(p.SQL) > 0 && standby {
		p.Notes = append(p.Notes, "the server is a standby; on its primary: "+strings.Join(p.SQL, " "))
		p.SQL = []string{}
	}
	if len(p.SQL) > 0 && !creates {
		return nil, &failure{code: codeFailed, text: "the role that this command has logged in as may not create roles: " + strings.Join(p.SQL, " "),
			hint: "log in as a superuser: --conninfo or --as"}
	}
	local := conn.Conn().RemoteAddr().Network() == "unix"
	switch {
	case !local:
		p.Notes = append(p.Notes, remoteNotes(f.roles)...)
	case !super:
		err = p.rules(f, "", "")
	default:
		var paths [][]string
		if paths, err = server.Query(ctx, conn, "SELECT pg_catalog.current_setting('hba_file'), pg_catalog.current_setting('ident_file')"); err == nil {
			err = p.rules(f, paths[0][0], paths[0][1])
		}
	}
	return p, err
}

// missingOfRole is what makes a role one that can log in.
func missingOfRole(ctx context.Context, conn *pgconn.PgConn, role string, stats bool) ([]string, error) {
	if role == "" || len(role) > 63 || strings.HasPrefix(role, "pg_") || strings.ContainsRune(role, 0) {
		return nil, &failure{code: codeFailed, text: fmt.Sprintf("%q cannot be a role", safe(role)), hint: `use a name of 1 to 63 bytes that does not begin with "pg_"`}
	}
	state, err := server.Query(ctx, conn, roleState, role)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the server about role %q: %w", role, err)
	}
	var sql []string
	name := server.QuoteIdent(role)
	switch {
	case len(state) == 0:
		sql = append(sql, "CREATE ROLE "+name+" LOGIN;")
	case state[0][0] != "t":
		sql = append(sql, "ALTER ROLE "+name+" LOGIN;")
	}
	if stats && (len(state) == 0 || state[0][1] != "t") {
		sql = append(sql, "GRANT pg_read_all_stats TO "+name+";")
	}
	return sql, nil
}

// remoteNotes is for a server whose files may be anywhere.
func remoteNotes(roles []string) []string {
	var notes []string
	for _, role := range roles {
		notes = append(notes, fmt.Sprintf(`over a network role %s needs a password (\password in psql) and a line of pg_hba.conf there: hostssl all %s ADDRESS/32 scram-sha-256`,
			server.QuoteIdent(role), server.QuoteIdent(role)))
	}
	return notes
}

// rules finds the lines that are missing in pg_hba.conf and pg_ident.conf. Files that the server does not name, or that
// cannot be read, are for somebody else to change.
func (p *setupPlan) rules(f *setupFlags, hbaPath, identPath string) error {
	hba, err1 := readServerFile(hbaPath)
	ident, err2 := readServerFile(identPath)
	var hbaLines, identLines []string
	for _, role := range f.roles {
		mapped := role != f.user
		line, err := server.HBALine("", role, mapped)
		if err != nil {
			return err
		}
		if !server.Admits(hba, "", role, mapped) {
			hbaLines = append(hbaLines, line)
		}
		if line, err = server.IdentLine(f.user, role); err != nil {
			return err
		}
		if mapped && !server.Mapped(ident, f.user, role) {
			identLines = append(identLines, line)
		}
	}
	const comment = "By pg-bgwctl setup: background workers."
	if err := errors.Join(err1, err2); err != nil {
		p.Notes = append(p.Notes, "the server's files are not at hand: "+strings.ReplaceAll(err.Error(), "\n", "; "))
		for _, l := range hbaLines {
			p.Notes = append(p.Notes, "pg_hba.conf, before other lines that fit, needs unless it has one: "+l)
		}
		for _, l := range identLines {
			p.Notes = append(p.Notes, "pg_ident.conf needs unless it has it: "+l)
		}
		return nil
	}
	if len(identLines) > 0 {
		p.Files = append(p.Files, setupFile{identPath, identLines, "at the end", ident, server.WithMaps(ident, comment, identLines)})
	}
	if len(hbaLines) > 0 {
		p.Files = append(p.Files, setupFile{hbaPath, hbaLines, "before all rules", hba, server.WithRules(hba, comment, hbaLines)})
	}
	return nil
}

func (p *setupPlan) print(a *app) error {
	var b strings.Builder
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "Note: %s\n", safe(n))
	}
	if len(p.SQL) > 0 {
		fmt.Fprintf(&b, "In the database:\n\n")
		for _, s := range p.SQL {
			fmt.Fprintf(&b, "  %s\n", safe(s))
		}
		b.WriteByte('\n')
	}
	for _, f := range p.Files {
		fmt.Fprintf(&b, "In %s, %s:\n\n", safe(f.Path), f.Where)
		for _, l := range f.Lines {
			fmt.Fprintf(&b, "  %s\n", safe(l))
		}
		b.WriteByte('\n')
	}
	if p.done() {
		b.WriteString("The server needs nothing that this command could do.\n")
	}
	_, err := a.out.Write([]byte(b.String()))
	return err
}

// carryOut does it: the roles in one transaction, then the files, all or none, with which the server must find no fault.
func (p *setupPlan) carryOut(ctx context.Context, conn *pgconn.PgConn) error {
	if len(p.Files) > 0 {
		if err := faultOf(ctx, conn); err != nil {
			return &failure{code: codeFailed, text: "nothing was changed: " + err.Error(), hint: "mend the server's files first"}
		}
	}
	if len(p.SQL) > 0 {
		if _, err := conn.Exec(ctx, strings.Join(p.SQL, "\n")).ReadAll(); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
	}
	stamp := time.Now().UTC().Format("20060102T150405Z")
	var undo []func() error
	for _, f := range p.Files {
		restore, err := replaceServerFile(f.Path, f.old, f.text, stamp)
		if err == nil {
			undo = append(undo, restore)
			err = faultOf(ctx, conn)
		}
		if err != nil {
			for _, restore := range undo {
				err = errors.Join(err, restore())
			}
			made := ""
			if len(p.SQL) > 0 {
				made = "; the roles are made"
			}
			return fmt.Errorf("cannot change %s, and the files are as they were%s: %w", f.Path, made, err)
		}
	}
	return nil
}

// faultOf has the server read its files as they are now, without using them.
func faultOf(ctx context.Context, conn *pgconn.PgConn) error {
	for _, view := range []string{"pg_hba_file_rules", "pg_ident_file_mappings"} { // the latter from PostgreSQL 15 on
		rows, err := server.Query(ctx, conn, "SELECT line_number, error FROM pg_catalog."+view+" WHERE error IS NOT NULL LIMIT 1")
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42P01" {
			continue
		} else if err != nil {
			return err
		}
		if len(rows) > 0 {
			return fmt.Errorf("%s shows a fault in line %s: %s", view, rows[0][0], rows[0][1])
		}
	}
	return nil
}

// maxServerFile bounds what is read of a server's file, in bytes.
const maxServerFile = 4 << 20

func readServerFile(path string) (string, error) {
	if path == "" {
		return "", errors.New("only a superuser is told where they are")
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxServerFile {
		return "", fmt.Errorf("%s is no file, or too large", path)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
