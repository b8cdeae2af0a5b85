package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/units/config"
)

const nobody = 65534

// loginCluster is a cluster with roles and databases of which each lets in, or not, for a reason of its own.
func loginCluster(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t)
	c.write("pg_hba.conf", `local all shopper,stranger peer map=pg-bgw
local all clerk,forger,silent scram-sha-256
local all barred reject
local all nosuch,sleeper,postgres,plain,full,"o'b x" trust
`)
	c.write("pg_ident.conf", "pg-bgw nobody shopper\n")
	c.start()
	c.sql("create role clerk login password 'right'", "create role forger login password 'right'", "create role silent login password 'right'",
		"create role shopper login", "create role stranger login", "create role barred login", "create role sleeper nologin",
		"create role plain login", "create role full login connection limit 0", "create database closed", "create database private", "create database cramped connection limit 0",
		"update pg_database set datallowconn = false where datname = 'closed'", "revoke connect on database private from public", `create role "o'b x" login`)
	return c
}

// loginSecrets is a directory with a password that is right and one that is not.
func loginSecrets(t *testing.T) string {
	t.Helper()
	secrets := directory(t, map[string]string{"right": "right\n", "wrong": "wrong\n"})
	for _, f := range []string{"right", "wrong"} {
		if err := os.Chown(filepath.Join(secrets, f), nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(secrets, f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return secrets
}

// A loginCase is a worker's connection, the SQLSTATE that it fails with, if the server gives one, and what is said to mend
// it; "" where it does not fail.
type loginCase struct{ label, connection, code, remedy string }

func loginCases(secrets string) []loginCase {
	return []loginCase{
		{"clerk", "role = \"clerk\"\npassword_file = \"" + secrets + "/right\"", "", ""},
		{"peer", `role = "shopper"`, "", ""},
		{"plain", `role = "plain"`, "", ""},
		{"options", "role = \"plain\"\noptions = \"-c statement_timeout=5s\"", "", ""},
		{"quoted", `role = "o'b x"`, "", ""},
		{"forger", "role = \"forger\"\npassword_file = \"" + secrets + "/wrong\"", "28P01", `ALTER ROLE "forger" PASSWORD`},
		{"silent", `role = "silent"`, "28P01", `password_file = "/etc/pg-bgw/secrets/silent"`},
		{"stranger", `role = "stranger"`, "28000", "pg_ident.conf: pg-bgw          nobody          stranger"},
		{"barred", `role = "barred"`, "28000", "pg_hba.conf before other lines that fit: local   postgres        barred          peer map=pg-bgw"},
		{"unheard", `role = "unheard"`, "28000", `the role does not exist: CREATE ROLE "unheard" LOGIN;`},
		{"missing", `role = "nosuch"`, "28000", `the role does not exist: CREATE ROLE "nosuch" LOGIN; (pg-bgwctl setup --role=nosuch makes it)`},
		{"sleeper", `role = "sleeper"`, "28000", `the role may not log in: ALTER ROLE "sleeper" LOGIN;`},
		{"nowhere", "role = \"plain\"\ndatabase = \"no where\"", "3D000", `CREATE DATABASE "no where"`},
		{"closed", "role = \"plain\"\ndatabase = \"closed\"", "55000", `ALTER DATABASE "closed" WITH ALLOW_CONNECTIONS true`},
		{"private", "role = \"plain\"\ndatabase = \"private\"", "42501", `GRANT CONNECT ON DATABASE "private" TO "plain"`},
		{"forbidden", "role = \"plain\"\noptions = \"-c session_replication_role=replica\"", "42501", "mend options"},
		{"unknown", "role = \"plain\"\noptions = \"-c nosuch=1\"", "42704", "mend options"},
		{"full", `role = "full"`, "53300", `ALTER ROLE "full" CONNECTION LIMIT -1;`},
		{"cramped", "role = \"plain\"\ndatabase = \"cramped\"", "53300", `ALTER DATABASE "cramped" CONNECTION LIMIT -1;`},
		{"secret", "role = \"clerk\"\npassword_file = \"/etc/shadow\"", "", "permission denied"},
	}
}

// TestConnect: each way in which a login can fail is told with what mends it, and what does not fail with nothing
// (BGW-124 to BGW-128 as a client meets them: nothing is bypassed, and limits count).
func TestConnect(t *testing.T) {
	c, secrets := loginCluster(t), loginSecrets(t)
	cases := loginCases(secrets)
	var text strings.Builder
	for _, tt := range cases {
		conn := tt.connection
		if !strings.Contains(conn, "database") {
			conn += "\ndatabase = \"postgres\""
		}
		text.WriteString(connecting(tt.label, conn))
	}
	text.WriteString(connecting("passed", "role = \"clerk\"\npassword_file = \"fd:clerk\""))
	dir := directory(t, map[string]string{
		"main.hcl":    fmt.Sprintf("server \"main\" {\n  conninfo = \"host=%s user=postgres\"\n}\n", c.dir),
		"workers.hcl": text.String(),
		"template.hcl": "template \"t\" {\n  command = [\"/bin/true\"]\n  flags = [\"shmem_access\", \"backend_database_connection\"]\n" +
			"  start_time = \"consistent_state\"\n  restart_time = 1\n  connection {\n    database = \"%i\"\n  }\n}\n",
	})
	args := []string{"check", "--connect", "--user=nobody", "--config=" + dir + "/main.hcl", dir + "/workers.hcl", dir + "/template.hcl"}
	code, out, errs := program(t, nil, "", append(args, "--json=short")...)
	var said []config.Diagnostic
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 1 || errs != "" {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	failures := checkLogins(t, cases, said, dir+"/workers.hcl")
	for _, secret := range []string{"right\"", "wrong\"", "stray"} {
		if strings.Contains(strings.ReplaceAll(out, secrets, ""), secret) {
			t.Errorf("%q is in the output", secret)
		}
	}
	code, out, _ = program(t, nil, "", args...)
	for _, want := range []string{"\nserver \"main\": connects to database \"postgres\" as role \"postgres\"\n", "\nworker \"peer\": connects to database", "\ntemplate \"t\": not tried", "\nworker \"passed\": not tried",
		"\n21 connections: " + fmt.Sprint(failures) + " failed\n", "\n  - let user \"nobody\" be the role, in " + c.data + "/pg_ident.conf: "} {
		if !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is missing in\n%s", code, want, out)
		}
	}
}

// checkLogins holds what is said of the workers of a file against what should be, and returns how many fail.
func checkLogins(t *testing.T, cases []loginCase, said []config.Diagnostic, file string) (failures int) {
	t.Helper()
	about := map[string]config.Diagnostic{}
	for _, d := range said {
		label := strings.Split(d.Summary, `"`)[1]
		about[label] = d
	}
	for _, tt := range cases {
		d, failed := about[tt.label]
		if !failed {
			if tt.remedy != "" {
				t.Errorf("%s: nothing is said", tt.label)
			}
			continue
		}
		failures++
		if tt.remedy == "" || !strings.Contains(d.Detail, tt.remedy) || tt.code != "" && !strings.Contains(d.Detail, " said "+tt.code+": ") || d.Line == 0 || d.File != file {
			t.Errorf("%s: want %s and %q, got %+v", tt.label, tt.code, tt.remedy, d)
		}
	}
	if len(said) != failures {
		t.Errorf("%d mistakes, %d of them of workers: %+v", len(said), failures, said)
	}
	return failures
}

// TestConnectNowhere: servers that are not there, or cannot be reached, and users that cannot try.
func TestConnectNowhere(t *testing.T) {
	c := newCluster(t, "unix_socket_permissions = 0700")
	c.start()
	check := func(server string, more ...string) (int, string) {
		dir := directory(t, map[string]string{"main.hcl": fmt.Sprintf("server \"main\" {\n  conninfo = %q\n}\n", server)})
		code, out, errs := program(t, nil, "", append([]string{"check", "--connect", "--user=nobody", "--config=" + dir + "/main.hcl", dir + "/main.hcl"}, more...)...)
		return code, out + errs
	}
	for server, want := range map[string]string{
		"host=" + c.dir + " user=postgres port=1234":            "there is a socket of a server at host=" + c.dir + " port=5432",
		"host=" + c.dir + " user=postgres":                      "let user \"nobody\" connect to the socket: unix_socket_permissions",
		"host=127.0.0.1 port=9 user=postgres":                   "listen_addresses",
		"host=127.0.0.1 port=9 user=postgres connect_timeout=x": "nobody listens",
		"host=/nosuch user=postgres":                            "there is no socket /nosuch/.s.PGSQL.5432",
		"host=h,i user=postgres":                                "more than one",
	} {
		if code, out := check(server); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want %q\n%s", server, code, want, out)
		}
	}
	if code, out := check("host="+c.dir+" user=postgres", "--user=nosuch"); code != 1 || !strings.Contains(out, "cannot try connections as user \"nosuch\"") {
		t.Errorf("exit %d\n%s", code, out)
	}
	dir := directory(t, map[string]string{"main.hcl": "server \"main\" {\n  conninfo = \"host=/x\"\n}\n"})
	if code, _, errs := program(t, c.cred, "", "check", "--connect", "--user=nobody", "--config="+dir+"/main.hcl", dir+"/main.hcl"); code != 1 || !strings.Contains(errs, "become root") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if code, _, errs := program(t, nil, "nonsense", connectVerb); code != 2 || !strings.Contains(errs, "check --connect") {
		t.Errorf("exit %d\n%s", code, errs)
	}
}
