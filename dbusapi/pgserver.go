package dbusapi

import (
	"cmp"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// ServerInfo is one PostgreSQL server as the bus sees it: what its properties are made from. A value, never shared for
// writing.
type ServerInfo struct {
	Name          string    // label in the configuration
	Phase         string    // the word of server.Kind: "running", "hot_standby", ...
	Evidence      string    // what Phase was concluded from, for a person
	Changed       Timestamp // when Phase became what it is; zero before anything is known
	Permits       []string  // start times of workers that may be started now
	Demoted       bool      // was a primary, and is or comes back as a standby
	Clients       int32     // sessions of others; -1: not counted
	Version       string    // as the newest session was told
	PostmasterPID uint32    // 0: not local, not running, or not to be seen
	Conninfo      string    // where it is asked, without secrets
}

// Path returns the path of the server's object.
func (s ServerInfo) Path() dbus.ObjectPath { return serverPath(s.Name) }

// serverProperties are the properties of ServerInterface.
var serverProperties = []wireField[ServerInfo]{
	{"Name", func(s *ServerInfo) any { return &s.Name }},
	{"Phase", func(s *ServerInfo) any { return &s.Phase }},
	{"Evidence", func(s *ServerInfo) any { return &s.Evidence }},
	{"PhaseTimestamp", func(s *ServerInfo) any { return &s.Changed.Realtime }},
	{"PhaseTimestampMonotonic", func(s *ServerInfo) any { return &s.Changed.Monotonic }},
	{"Permits", func(s *ServerInfo) any { return &s.Permits }},
	{"Demoted", func(s *ServerInfo) any { return &s.Demoted }},
	{"Clients", func(s *ServerInfo) any { return &s.Clients }},
	{"Version", func(s *ServerInfo) any { return &s.Version }},
	{"PostmasterPID", func(s *ServerInfo) any { return &s.PostmasterPID }},
	{"Conninfo", func(s *ServerInfo) any { return &s.Conninfo }},
}

const serverDir = "/org/pgbgw1/server"

// maxLabel bounds a server's label, in bytes; what is longer is no object.
const maxLabel = 255

// serverPath returns the path of the server of that label. Whatever is no ASCII letter or digit, and a digit in front, is
// written as '_' and two hexadecimal digits, as by sd_bus_path_encode(3); an empty label as "_".
func serverPath(label string) dbus.ObjectPath {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.WriteString(serverDir + "/")
	if label == "" {
		b.WriteByte('_')
	}
	for i := range len(label) {
		switch c := label[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9' && i > 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'_', hex[c>>4], hex[c&15]})
		}
	}
	return dbus.ObjectPath(b.String())
}

// isServerPath reports whether path is one level below that of all servers.
func isServerPath(path dbus.ObjectPath) bool {
	name, ok := strings.CutPrefix(string(path), serverDir+"/")
	return ok && name != "" && len(name) <= 3*maxLabel && !strings.Contains(name, "/")
}

// servers returns all servers that are objects, in the order of their labels.
func (r *request) servers() ([]ServerInfo, error) {
	all, err := r.server.backend.Servers(r, r.caller)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s ServerInfo) bool { return len(s.Name) > maxLabel })
	slices.SortFunc(all, func(a, b ServerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// nodeServer returns the server of the node, UnknownObject if there is none. Its path is compared and not taken apart, so
// that a server has one spelling.
func (r *request) nodeServer() (ServerInfo, error) {
	all, err := r.servers()
	if err != nil {
		return ServerInfo{}, err
	}
	for _, s := range all {
		if s.Path() == r.node.path {
			return s, nil
		}
	}
	return ServerInfo{}, unknownObject(r.node.path)
}

// serverRow is one row of ListServers as it travels.
type serverRow struct {
	Path     dbus.ObjectPath
	Name     string
	Phase    string
	Since    uint64
	Evidence string
}

func (r *request) listServers() ([]any, error) {
	all, err := r.servers()
	if err != nil {
		return nil, err
	}
	rows := make([]serverRow, len(all))
	for i, s := range all {
		rows[i] = serverRow{s.Path(), clean(s.Name, maxName), clean(s.Phase, maxName), s.Changed.Realtime, clean(s.Evidence, maxText)}
	}
	return []any{rows}, nil
}
