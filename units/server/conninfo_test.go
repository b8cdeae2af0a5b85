package server

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestParseConninfo: libpq's two forms, with its quoting.
func TestParseConninfo(t *testing.T) {
	for in, want := range map[string]settings{
		"":                                 {},
		"  \n":                             {},
		"host=/run/postgresql port = 5433": {"host": "/run/postgresql", "port": "5433"},
		`user='it\'s me' password=a\ b\\c`: {"user": "it's me", "password": `a b\c`},
		"dbname='' host=a":                 {"dbname": "", "host": "a"},
		"host=a host=b":                    {"host": "b"},
		"postgresql://":                    {},
		"postgresql:///shop":               {"dbname": "shop"},
		"postgres://u:p%40ss@h:1/d?sslmode=disable": {"user": "u", "password": "p@ss", "host": "h", "port": "1", "dbname": "d", "sslmode": "disable"},
		"postgresql://%2Frun%2Fpostgresql:5433/d":   {"host": "/run/postgresql", "port": "5433", "dbname": "d"},
		"postgresql://[::1]:5433/":                  {"host": "::1", "port": "5433"},
		"postgresql:///?host=/tmp&ssl=true":         {"host": "/tmp", "sslmode": "require"},
		"postgresql://u@/d":                         {"user": "u", "dbname": "d"},
	} {
		got, err := parseConninfo(in)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
}

// TestBadConninfo: what is wrong is named, and no secret with it.
func TestBadConninfo(t *testing.T) {
	for in, want := range map[string]string{
		"host":                                  `no "=" after "host"`,
		"=x":                                    "a keyword is missing",
		"host='a":                               "quoted value of host does not end",
		"hots=a":                                `"hots" is not a connection option`,
		"password=geheim hots=a":                `"hots" is not a connection option`,
		"password=geheim port=0":                "port:",
		"port=65536":                            "port:",
		"port=1,2":                              "one server",
		"host=a,b":                              "one server",
		"hostaddr=name":                         "not an IP address",
		"sslcrl=/x":                             "sslcrl is not supported",
		"replication=database":                  "replication is not supported",
		"gssencmode=require":                    "gssencmode",
		"requirepeer=postgres host=localhost":   "Unix socket",
		"host=a\x00b":                           "NUL",
		"postgresql://u:geheim%zz@h/":           "percent",
		"postgresql://[::1/":                    "address",
		"postgresql://h/?a":                     "keyword=value",
		"postgresql://h/?password=geheim&x=y":   `"x" is not`,
		"postgresql://h/%00":                    "percent",
		"service=none servicefile=/nonexistent": `service "none" in /nonexistent`,
		"sslmode=none password=geheim host=a":   "conninfo",
		"host=a sslrootcert=/nonexistent":       "/nonexistent",
	} {
		err := Config{Conninfo: in}.Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v tells a secret", in, err)
		}
	}
}

// FuzzConninfo: whatever is written, there is an error or a target.
func FuzzConninfo(f *testing.F) {
	for _, s := range []string{"host=a port=1", "postgresql://u:p@h:1/d?x=y", `a='\`, "postgresql://[", "=", "host=\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := parseConninfo(s)
		if err != nil {
			return
		}
		if set == nil {
			t.Fatal("neither settings nor an error")
		}
		again, err := parseKeywords(set.render())
		if err != nil {
			t.Fatalf("%q renders as %q, which cannot be read: %v", s, set.render(), err)
		}
		for k, v := range again {
			if k != "host" && set[k] != v {
				t.Fatalf("%s: %q became %q", k, set[k], v)
			}
		}
	})
}

// clearPG makes the test independent of the environment that it runs in.
func clearPG(t *testing.T) {
	t.Helper()
	for _, o := range options {
		if o.env != "" {
			t.Setenv(o.env, "") // so that it is put back
			os.Unsetenv(o.env)
		}
	}
	t.Setenv("HOME", t.TempDir())
}

func TestDefaults(t *testing.T) {
	clearPG(t)
	target, err := Config{Conninfo: "user=u"}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	c := target.config
	if c.Database != "postgres" || c.Port != 5432 || c.RuntimeParams["application_name"] != "pg-bgw" || target.timeout != 5*time.Second {
		t.Errorf("got %s %d %v %v", c.Database, c.Port, c.RuntimeParams, target.timeout)
	}
	target, err = Config{Conninfo: "user=u connect_timeout=2 application_name=mine host=h hostaddr=::1"}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := target.config.LookupFunc(t.Context(), "h")
	if err != nil || !slices.Equal(addrs, []string{"::1"}) || target.timeout != 2*time.Second || target.config.RuntimeParams["application_name"] != "mine" {
		t.Errorf("got %v %v %v %v", addrs, err, target.timeout, target.config.RuntimeParams)
	}
}

// TestLibpqEnv: a worker finds the same server, and no secret.
func TestLibpqEnv(t *testing.T) {
	clearPG(t)
	dir := t.TempDir()
	services := filepath.Join(dir, "services")
	if err := os.WriteFile(services, []byte("[shop]\nhost=db.example\nport=5444\nuser=clerk\npassword=geheim\nsslmode=disable\ndbname=shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"user=u host=/run/x port=5433": "PGHOST=/run/x PGPORT=5433 PGUSER=u",
		"user=u host=h hostaddr=127.0.0.1 dbname=d options=-cx=y application_name=a sslmode=disable passfile=/p": "PGDATABASE=d PGHOST=h PGHOSTADDR=127.0.0.1 PGPASSFILE=/p PGPORT=5432 PGSSLMODE=disable PGUSER=u",
		"service=shop port=1 servicefile=" + services:                                                            "PGDATABASE=shop PGHOST=db.example PGPORT=1 PGSSLMODE=disable PGUSER=clerk",
		"postgresql://u:geheim@h/": "PGHOST=h PGPORT=5432 PGUSER=u",
	} {
		env, err := LibpqEnv(Config{Conninfo: in})
		if got := strings.Join(env, " "); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	if env, err := LibpqEnv(Config{Conninfo: "port=x"}); err == nil {
		t.Errorf("got %v for a conninfo that is wrong", env)
	}
}

// TestEnvironment: the daemon's own PG* variables count, beneath the conninfo.
func TestEnvironment(t *testing.T) {
	clearPG(t)
	t.Setenv("PGHOST", "/run/e")
	t.Setenv("PGPORT", "5999")
	env, err := LibpqEnv(Config{Conninfo: "user=u port=5433"})
	if got := strings.Join(env, " "); err != nil || got != "PGHOST=/run/e PGPORT=5433 PGUSER=u" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCluster: a Debian cluster's address is read where Debian keeps it.
func TestCluster(t *testing.T) {
	clearPG(t)
	root := t.TempDir()
	main := filepath.Join(root, "15", "main")
	files := map[string]string{
		"postgresql.conf": "# port = 1\nport = 5433   # (change requires restart)\nunix_socket_directories = '/run/a b, /tmp'\t# c\ninclude_dir 'conf.d'\ninclude_if_exists = 'none.conf'\nlisten_addresses = 'it''s'\n",
		"conf.d/b.conf":   "PORT 5435",
		"conf.d/a.conf":   "port '5434'",
		"conf.d/.x.conf":  "port = 9",
		"conf.d/c.txt":    "port = 9",
	}
	for name, text := range files {
		path := filepath.Join(main, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env, err := LibpqEnv(Config{Cluster: "15/main", ClusterRoot: root, Conninfo: "user=u"})
	if got := strings.Join(env, " "); err != nil || got != "PGHOST=/run/a b PGPORT=5435 PGUSER=u" {
		t.Errorf("got %q, %v", got, err)
	}

	path := filepath.Join(main, "postgresql.conf")
	for _, step := range []struct {
		name string
		make func() error
	}{
		{"a loop", func() error { return os.WriteFile(path, []byte("include 'postgresql.conf'"), 0o644) }},
		{"a missing include", func() error { return os.WriteFile(path, []byte("include 'x'"), 0o644) }},
		{"a bad port", func() error { return os.WriteFile(path, []byte("port = -1"), 0o644) }},
		{"a huge file", func() error { return os.Truncate(path, maxConf+1) }},
		{"a FIFO", func() error { os.Remove(path); return syscall.Mkfifo(path, 0o644) }},
		{"a directory", func() error { os.Remove(path); return os.Mkdir(path, 0o755) }},
		{"nothing", func() error { return os.Remove(path) }},
	} {
		if err := step.make(); err != nil {
			t.Fatal(err)
		}
		if err := (Config{Cluster: "15/main", ClusterRoot: root, Conninfo: "user=u"}).Check(); err == nil {
			t.Errorf("%s is taken", step.name)
		}
	}
	for _, name := range []string{"15", "../x", "15/../../etc", "15/a..b", "/etc", "15/", "a/main"} {
		if err := (Config{Cluster: name, ClusterRoot: root}).Check(); err == nil || !strings.Contains(err.Error(), "pg_lsclusters") {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
