package daemon

import (
	"os/user"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
)

// TestDatabaseOf: the database is the one that libpq would choose from the
// worker's environment, in the definition's favour.
func TestDatabaseOf(t *testing.T) {
	us, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		w    units.Worker
		env  []string
		want string
	}{
		{"the definition's", units.Worker{Connection: &units.Connection{Database: "d", Role: "r"}}, []string{"PGDATABASE=s", "PGUSER=u"}, "d"},
		{"its environment's", units.Worker{Connection: &units.Connection{Database: "d"}, Environment: map[string]string{"PGDATABASE": "e"}}, []string{"PGDATABASE=s"}, "e"},
		{"the server's", units.Worker{Connection: &units.Connection{Role: "r"}}, []string{"PGUSER=u", "PGDATABASE=s"}, "s"},
		{"that of its role", units.Worker{Connection: &units.Connection{Role: "r"}}, []string{"PGUSER=u"}, "r"},
		{"that of its environment's role", units.Worker{Connection: &units.Connection{Role: "r"}, Environment: map[string]string{"PGUSER": "e"}}, nil, "e"},
		{"that of the server's role", units.Worker{}, []string{"PGUSER=u"}, "u"},
		{"that of its user", units.Worker{User: "other"}, nil, "other"},
		{"that of our user", units.Worker{}, nil, us.Username},
		{"a service's is not known", units.Worker{User: "other", Environment: map[string]string{"PGSERVICE": "x"}}, []string{"PGDATABASE=s"}, "other"},
	} {
		if got := databaseOf(&tt.w, tt.env); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestServerNamed: no name means the only server, and never one of several.
func TestServerNamed(t *testing.T) {
	for _, tt := range []struct{ servers, name, want, err string }{
		{"", "", "", ""},
		{"", "main", "", `there is no server "main"`},
		{"main", "", "main", ""},
		{"main", "main", "main", ""},
		{"main", "x", "", "the servers are main"},
		{"main b", "", "", "which one? The servers are main, b"},
		{"main b", "b", "b", ""},
	} {
		d, c := &Daemon{}, &config.Config{}
		for _, label := range strings.Fields(tt.servers) {
			c.Servers = append(c.Servers, config.Server{Label: label})
		}
		d.current.Store(c)
		got, err := d.serverNamed(tt.name)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q of %q: %q, %v", tt.name, tt.servers, got, err)
		}
	}
}
