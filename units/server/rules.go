package server

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// MapName is the name of the user map in pg_ident.conf that lets the service's
// user be other roles.
const MapName = "pg-bgw"

// HBALine is a line of pg_hba.conf that lets role into a database over the
// local socket, "" for all databases: by peer, with the map MapName if mapped.
// It fails for a name that the file cannot hold.
func HBALine(database, role string, mapped bool) (string, error) {
	db := "all"
	if database != "" {
		name, err := hbaName(database)
		if err != nil {
			return "", err
		}
		db = name
	}
	name, err := hbaName(role)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("local   %-15s %-15s peer", db, name)
	if mapped {
		line += " map=" + MapName
	}
	return line, nil
}

// IdentLine is a line of pg_ident.conf that lets a system user be a role.
func IdentLine(user, role string) (string, error) {
	u, err := hbaName(user)
	if err != nil {
		return "", err
	}
	r, err := hbaName(role)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%-15s %-15s %s", MapName, u, r), nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)

// hbaKeywords mean something else where they are not in quotes (PostgreSQL's
// documentation, "The pg_hba.conf File").
var hbaKeywords = []string{"all", "sameuser", "samerole", "samegroup", "replication"}

// hbaName writes a name as a token of pg_hba.conf and pg_ident.conf, which have
// no way to write a line end.
func hbaName(s string) (string, error) {
	switch {
	case s == "" || strings.ContainsAny(s, "\n\r\x00"):
		return "", fmt.Errorf("%q cannot be written in pg_hba.conf or pg_ident.conf; use another name", s)
	case strings.HasPrefix(s, "/"), strings.HasPrefix(s, "+"), strings.HasPrefix(s, "@"):
		return "", fmt.Errorf("%q would be a pattern, a group or a file in pg_hba.conf; use another name", s)
	case plainName.MatchString(s) && !slices.Contains(hbaKeywords, s):
		return s, nil
	}
	return QuoteIdent(s), nil
}

// QuoteIdent writes an SQL identifier.
func QuoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
