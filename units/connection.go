package units

import (
	"path/filepath"
	"strings"
)

// A Connection is what a worker with BACKEND_DATABASE_CONNECTION connects to,
// and what it proves its role with. Secrets are named by file only: a
// definition is listed, compared and logged.
type Connection struct {
	Database string // at most MaxIdent bytes; empty: none named, the client library's default
	Role     string // at most MaxIdent bytes; empty: the daemon's own role
	Options  string // libpq's options, as in "-c statement_timeout=5s"; at most MaxOptions bytes

	// Absolute paths of files that the daemon reads at each start, for the
	// worker and nobody else; empty: none. A secret may also be a descriptor that
	// the daemon was passed by its service manager: SecretDescriptor and its name.
	PasswordFile    string // its first line is the password
	CertificateFile string // PEM; goes with KeyFile
	KeyFile         string // PEM, not encrypted
}

// MaxOptions bounds a connection's options, in bytes: all parameters of a
// session have to fit into the 10,000 bytes of a startup packet
// (MAX_STARTUP_PACKET_LENGTH).
const MaxOptions = 4096

// SecretDescriptor begins the name of a secret that is a descriptor of the
// daemon's and no path: "fd:clerk" (sd_listen_fds_with_names(3)).
const SecretDescriptor = "fd:"

func (c *Connection) check(fs *Faults) {
	checkText(fs, "connection.database", c.Database, MaxIdent, false)
	checkText(fs, "connection.role", c.Role, MaxIdent, false)
	checkText(fs, "connection.options", c.Options, MaxOptions, false)
	for _, f := range []struct {
		field, path string
		secret      bool
	}{
		{"connection.password_file", c.PasswordFile, true},
		{"connection.certificate_file", c.CertificateFile, false},
		{"connection.key_file", c.KeyFile, true},
	} {
		if name, ok := strings.CutPrefix(f.path, SecretDescriptor); ok && f.secret && ValidLabel(name) {
			continue
		}
		if f.path != "" && (!filepath.IsAbs(f.path) || strings.ContainsRune(f.path, 0)) {
			fs.add(f.field, `write the whole path, as in "/etc/pg-bgw/secrets/`+filepath.Base(strings.ReplaceAll(f.path, "\x00", ""))+`"`, "%q is not an absolute path", f.path)
		}
	}
	switch {
	case c.CertificateFile != "" && c.KeyFile == "":
		fs.add("connection.key_file", "give the file of its private key", "certificate_file is given without it")
	case c.KeyFile != "" && c.CertificateFile == "":
		fs.add("connection.certificate_file", "give the file of its certificate", "key_file is given without it")
	}
}

// ApplicationName is what a worker's sessions are called in pg_stat_activity:
// its name, after "TYPE: " where the name does not begin with the type (there,
// a worker of PostgreSQL's own has its type as backend_type). As application_name
// the server keeps 63 bytes of ASCII, so anything else is a question mark, as
// PostgreSQL 14 and 15 show it, and what is too long is cut. A PGAPPNAME of the
// definition's environment counts instead, by the same rules. Defaults must
// have been applied to w.
func (w *Worker) ApplicationName() string {
	s, own := w.Environment["PGAPPNAME"]
	if !own {
		s = w.Name
		if !strings.HasPrefix(w.Name, w.Type) {
			s = w.Type + ": " + w.Name
		}
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), MaxIdent)]
}
