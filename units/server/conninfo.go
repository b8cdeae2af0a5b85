package server

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgservicefile"
)

// settings are connection options by libpq's keywords (PostgreSQL's
// documentation, "Parameter Key Words").
type settings map[string]string

// How an option of libpq is honoured by the watcher's own sessions.
type handling uint8

const (
	pass   handling = iota // the client library knows it
	here                   // this package sees to it
	drop                   // means nothing to the watcher; workers may get it
	refuse                 // leaving it out would be less safe than what was asked for
)

// An option is one keyword of libpq. share says that workers get it as env;
// what concerns only the session in which it was given they do not get, and
// nothing that is a secret.
type option struct {
	env   string
	how   handling
	share bool
}

var options = map[string]option{
	"application_name":          {"PGAPPNAME", pass, false},
	"channel_binding":           {"PGCHANNELBINDING", pass, true},
	"client_encoding":           {"PGCLIENTENCODING", drop, false},
	"connect_timeout":           {"PGCONNECT_TIMEOUT", here, false},
	"dbname":                    {"PGDATABASE", pass, true},
	"fallback_application_name": {"", drop, false},
	"gssdelegation":             {"PGGSSDELEGATION", drop, true},
	"gssencmode":                {"PGGSSENCMODE", here, true},
	"gsslib":                    {"PGGSSLIB", drop, true},
	"host":                      {"PGHOST", pass, true},
	"hostaddr":                  {"PGHOSTADDR", here, true},
	"keepalives":                {"", drop, false},
	"keepalives_count":          {"", drop, false},
	"keepalives_idle":           {"", drop, false},
	"keepalives_interval":       {"", drop, false},
	"krbsrvname":                {"PGKRBSRVNAME", pass, true},
	"load_balance_hosts":        {"PGLOADBALANCEHOSTS", drop, false},
	"max_protocol_version":      {"PGMAXPROTOCOLVERSION", pass, true},
	"min_protocol_version":      {"PGMINPROTOCOLVERSION", pass, true},
	"options":                   {"PGOPTIONS", pass, false},
	"passfile":                  {"PGPASSFILE", pass, true},
	"password":                  {"PGPASSWORD", here, false},
	"port":                      {"PGPORT", pass, true},
	"replication":               {"", refuse, false},
	"require_auth":              {"PGREQUIREAUTH", pass, true},
	"requirepeer":               {"PGREQUIREPEER", here, true},
	"service":                   {"PGSERVICE", here, false},
	"servicefile":               {"PGSERVICEFILE", here, false},
	"sslcert":                   {"PGSSLCERT", pass, true},
	"sslcertmode":               {"PGSSLCERTMODE", pass, true},
	"sslcompression":            {"PGSSLCOMPRESSION", drop, true},
	"sslcrl":                    {"PGSSLCRL", refuse, true},
	"sslcrldir":                 {"PGSSLCRLDIR", refuse, true},
	"sslkey":                    {"PGSSLKEY", pass, true},
	"sslmode":                   {"PGSSLMODE", pass, true},
	"sslnegotiation":            {"PGSSLNEGOTIATION", pass, true},
	"sslpassword":               {"", here, false},
	"sslrootcert":               {"PGSSLROOTCERT", pass, true},
	"sslsni":                    {"PGSSLSNI", pass, true},
	"ssl_max_protocol_version":  {"PGSSLMAXPROTOCOLVERSION", refuse, true},
	"ssl_min_protocol_version":  {"PGSSLMINPROTOCOLVERSION", refuse, true},
	"target_session_attrs":      {"PGTARGETSESSIONATTRS", drop, false},
	"tcp_user_timeout":          {"", drop, false},
	"user":                      {"PGUSER", pass, true},
}

// parseConninfo reads a conninfo string in either of libpq's forms. Its errors
// name keywords, never values.
func parseConninfo(s string) (settings, error) {
	var set settings
	var err error
	switch {
	case strings.ContainsRune(s, 0):
		return nil, errors.New("conninfo: holds a NUL byte")
	case strings.HasPrefix(s, "postgresql://"), strings.HasPrefix(s, "postgres://"):
		set, err = parseURI(s)
	default:
		set, err = parseKeywords(s)
	}
	if err != nil {
		return nil, fmt.Errorf("conninfo: %w", err)
	}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		switch o, ok := options[k]; {
		case !ok:
			return nil, fmt.Errorf("conninfo: %q is not a connection option of libpq", k)
		case o.how == refuse:
			return nil, fmt.Errorf("conninfo: %s is not supported for watching a server; leave it out", k)
		}
	}
	return set, nil
}

const space = " \t\n\r\v\f"

// parseKeywords reads "keyword = value ..." with libpq's quoting.
func parseKeywords(s string) (settings, error) {
	set := settings{}
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		end := strings.IndexAny(s, "="+space)
		if end < 0 {
			end = len(s)
		}
		if end == 0 {
			return nil, errors.New(`a keyword is missing; write it as in "host=/run/postgresql port=5432"`)
		}
		key, rest := s[:end], strings.TrimLeft(s[end:], space)
		if !strings.HasPrefix(rest, "=") {
			return nil, fmt.Errorf("there is no \"=\" after %q", shorten(key))
		}
		value, rest, ok := parseValue(strings.TrimLeft(rest[1:], space))
		if !ok {
			return nil, fmt.Errorf("the quoted value of %s does not end", shorten(key))
		}
		set[key], s = value, rest
	}
	return set, nil
}

// parseValue reads one value, quoted or not, and returns what follows it.
func parseValue(s string) (value, rest string, ok bool) {
	var b strings.Builder
	quoted := strings.HasPrefix(s, "'")
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '\\':
		case quoted && c == '\'':
			return b.String(), s[i+1:], true
		case !quoted && strings.IndexByte(space, c) >= 0:
			return b.String(), s[i:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}

// shorten keeps what may be a misplaced secret or a novel out of an error.
func shorten(s string) string {
	if len(s) > 40 {
		return s[:20] + "..."
	}
	return s
}

// readService adds what the service that set names says, beneath set.
func (set settings) readService() error {
	name := set["service"]
	if name == "" {
		return nil
	}
	var tried []string
	for _, path := range serviceFiles(set["servicefile"]) {
		file, err := pgservicefile.ReadServicefile(path)
		if err != nil {
			tried = append(tried, path)
			continue
		}
		service, err := file.GetService(name)
		if err != nil {
			tried = append(tried, path)
			continue
		}
		for k, v := range service.Settings {
			switch o, ok := options[k]; {
			case !ok:
				return fmt.Errorf("service %q in %s: %q is not a connection option of libpq", name, path, shorten(k))
			case o.how == refuse:
				return fmt.Errorf("service %q in %s: %s is not supported for watching a server; leave it out", name, path, k)
			}
			if _, told := set[k]; !told {
				set[k] = v
			}
		}
		return nil
	}
	return fmt.Errorf("cannot find service %q in %s", name, strings.Join(tried, " or "))
}

// serviceFiles lists where libpq of Debian looks for services.
func serviceFiles(given string) []string {
	if given != "" {
		return []string{given}
	}
	var files []string
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, home+"/.pg_service.conf")
	}
	dir := os.Getenv("PGSYSCONFDIR")
	if dir == "" {
		dir = "/etc/postgresql-common"
	}
	return append(files, dir+"/pg_service.conf")
}

// addEnvironment adds what the PG* variables of this process say, beneath set.
func (set settings) addEnvironment() {
	for k, o := range options {
		if _, told := set[k]; told || o.env == "" || o.how == refuse {
			continue
		}
		if v := os.Getenv(o.env); v != "" {
			set[k] = v
		}
	}
}
