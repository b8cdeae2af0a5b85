package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const strictHBA = "# kept\nlocal all postgres peer\nlocal all all reject\n"

// strict makes a cluster that lets in nobody but postgres, by peer, and a main file that names it.
func strict(t *testing.T) (c *cluster, main string) {
	t.Helper()
	c = newCluster(t)
	c.write("pg_hba.conf", strictHBA)
	c.start()
	dir := directory(t, map[string]string{"main.hcl": fmt.Sprintf("server \"main\" {\n  conninfo = \"host=%s user=nobody\"\n}\n", c.dir)})
	return c, dir + "/main.hcl"
}

// asPostgres runs statements as the one who is let in.
func (c *cluster) asPostgres(q string) string {
	c.t.Helper()
	return strings.TrimSpace(c.run("psql", "-h", c.dir, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAtc", q))
}

func (c *cluster) backups() []string {
	found, _ := filepath.Glob(c.data + "/*.pg-bgw.*")
	return found
}

// TestSetup: the role is made and let in, only when somebody agrees; what is done already is left alone.
func TestSetup(t *testing.T) {
	c, main := strict(t)
	setup := func(want string, args ...string) string {
		t.Helper()
		code, out, errs := program(t, nil, "y\ny\n", append([]string{"setup", "--config=" + main, "--user=nobody"}, args...)...)
		if code != 0 || errs != "" || !strings.Contains(out, want) {
			t.Fatalf("%v: exit %d, want %q\n%s%s", args, code, want, out, errs)
		}
		return out
	}
	untouched := func(step string) {
		t.Helper()
		if c.read("pg_hba.conf") != strictHBA || len(c.backups()) > 0 || c.asPostgres("select count(*) from pg_roles where rolname = 'nobody'") != "0" {
			t.Fatalf("%s: something was done", step)
		}
	}
	shown := setup("Nothing was done: there is no terminal to ask on")
	untouched("no terminal")
	setup("CREATE ROLE \"nobody\" LOGIN;", "--print")
	untouched("--print")
	setup(`"sql":["CREATE ROLE \"nobody\" LOGIN;"],"files":[{"path":"`+c.data+`/pg_hba.conf","lines":["local   all             nobody          peer"]`, "--json=short")
	untouched("--json")
	for _, want := range []string{"  CREATE ROLE \"nobody\" LOGIN;\n", "In " + c.data + "/pg_hba.conf, before all rules:\n\n  local   all             nobody          peer\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not shown:\n%s", want, shown)
		}
	}

	setup("the server has been told to reload", "--yes")
	const line = "# kept\n# By pg-bgwctl setup: background workers.\nlocal   all             nobody          peer\nlocal all postgres peer\nlocal all all reject\n"
	if got := c.read("pg_hba.conf"); got != line {
		t.Errorf("pg_hba.conf is\n%s", got)
	}
	c.isSetUp(t)
	if code, out, errs := program(t, nil, "", "check", "--connect", "--user=nobody", "--config="+main, main); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	setup("The server needs nothing", "--yes")
	setup("The server needs nothing")
	if c.read("pg_hba.conf") != line || len(c.backups()) != 1 {
		t.Error("the second time something was done")
	}

	c.asPostgres("create role clerk nologin")
	out := setup("ALTER ROLE \"clerk\" LOGIN;", "--role=nobody", "--role=clerk", "--role=o'b x", "--stats", "--yes", "--as=postgres", "--server=main")
	if strings.Count(out, "GRANT pg_read_all_stats") != 3 || !strings.Contains(c.read("pg_ident.conf"), "\npg-bgw          nobody          clerk\n") {
		t.Errorf("%s\n%s", out, c.read("pg_ident.conf"))
	}
	dir := directory(t, map[string]string{"w.hcl": connecting("a", "database = \"postgres\"\nrole = \"clerk\"") + connecting("b", "database = \"postgres\"\nrole = \"o'b x\"")})
	if code, out, errs := program(t, nil, "", "check", "--connect", "--user=nobody", "--config="+main, dir); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	setup("The server needs nothing", "--role=nobody", "--role=clerk", "--role=o'b x", "--stats", "--yes")
}

// isSetUp: the role has no other right, and the server's file its owner and mode; the old one is kept.
func (c *cluster) isSetUp(t *testing.T) {
	t.Helper()
	if b := c.backups(); len(b) != 1 || c.read(filepath.Base(b[0])) != strictHBA {
		t.Errorf("the old file is kept as %v", b)
	}
	if got := c.asPostgres("select rolcanlogin, rolsuper, rolcreatedb, (select count(*) from pg_auth_members where member = r.oid) from pg_roles r where rolname = 'nobody'"); got != "t|f|f|0" {
		t.Errorf("the role is %s", got)
	}
	info, err := os.Stat(c.data + "/pg_hba.conf")
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != c.cred.Uid || info.Mode().Perm() != 0o600 {
		t.Errorf("pg_hba.conf belongs to %d and has mode %v", st.Uid, info.Mode())
	}
}

// TestSetupRefused: what cannot be done is said, and nothing is.
func TestSetupRefused(t *testing.T) {
	c, main := strict(t)
	c.asPostgres("create role plain login")
	broken := "local all\n" + strictHBA
	for _, tt := range []struct {
		hba  string
		code int
		want string
		args []string
	}{
		{broken, 1, "pg_hba_file_rules shows a fault in line 1", []string{"--yes"}},
		{strictHBA, 1, `"pg_x" cannot be a role`, []string{"--role=pg_x", "--yes"}},
		{strictHBA, 1, "cannot be written in pg_hba.conf", []string{"--role=a\nb", "--yes"}},
		{strictHBA, 1, "cannot ask the server: there is no socket", []string{"--conninfo=host=/nosuch"}},
		{strictHBA, 1, "28000", []string{"--conninfo=host=" + c.dir + " user=postgres"}}, // as root
		{strictHBA, 1, `system user "nosuch"`, []string{"--as=nosuch"}},
		{strictHBA, 1, "which one is not clear", []string{"--server=nosuch"}},
		{strictHBA, 2, "more than one of", []string{"--server=main", "--cluster=15/main"}},
		{strictHBA, 2, "--yes and --print", []string{"--yes", "--print"}},
		{"local all all trust\n", 1, "may not create roles", []string{"--yes", "--conninfo=dbname=postgres user=plain host=" + c.dir}},
	} {
		c.write("pg_hba.conf", tt.hba)
		if tt.hba == "local all all trust\n" {
			c.run("pg_ctl", "-D", c.data, "reload")
			c.asPostgres("select pg_reload_conf()")
		}
		code, out, errs := program(t, nil, "", append([]string{"setup", "--config=" + main, "--user=nobody"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", tt.args, code, tt.code, tt.want, out, errs)
		}
		if c.read("pg_hba.conf") != tt.hba || len(c.backups()) > 0 {
			t.Errorf("%v: a file was changed", tt.args)
		}
	}
}

// TestSetupAsks: on a terminal each step is asked for, and only a yes is one.
func TestSetupAsks(t *testing.T) {
	c, main := strict(t)
	run := func(answers string) string {
		t.Helper()
		master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
		if err == nil {
			err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer terminal.Close()
		if _, err := master.WriteString(answers); err != nil {
			t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Args = []string{"pg-bgwctl", "setup", "--user=nobody", "--config=" + main}
		cmd.Stdin = terminal
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for _, no := range []string{"n\n", "\n", "yep\n", "\x04"} {
		if out := run(no); !strings.Contains(out, "Do this now? [y/N] Nothing more was done.") || c.read("pg_hba.conf") != strictHBA {
			t.Errorf("%q: %s", no, out)
		}
	}
	if out := run("yes\nn\n"); !strings.Contains(out, "done, but for the reload: SELECT pg_reload_conf();") || c.read("pg_hba.conf") == strictHBA {
		t.Errorf("%s", out)
	}
	c.write("pg_hba.conf", strictHBA)
	if out := run("y\nY\n"); !strings.Contains(out, "the server has been told") {
		t.Errorf("%s", out)
	}
}

// TestReplaceServerFile: a file that somebody else has changed meanwhile is left alone, and a link stays one.
func TestReplaceServerFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".pg-bgw.new", nil, 0o600); err != nil { // left behind by a kill
		t.Fatal(err)
	}
	if _, err := replaceServerFile(link, "older", "new", "1"); err == nil || !strings.Contains(err.Error(), "meanwhile") {
		t.Errorf("it says %v", err)
	}
	list := func() string {
		names, _ := filepath.Glob(dir + "/*")
		for i, n := range names {
			names[i] = filepath.Base(n)
		}
		text, _ := os.ReadFile(file)
		out, _ := json.Marshal(append(names, string(text)))
		return string(out)
	}
	if got := list(); got != `["file","link","old"]` {
		t.Errorf("there is %s", got)
	}
	restore, err := replaceServerFile(link, "old", "new", "2")
	if got := list(); err != nil || got != `["file","file.pg-bgw.2","link","new"]` {
		t.Errorf("%v, there is %s", err, got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := restore(); err != nil || list() != `["file","link","old"]` {
		t.Errorf("%v, there is %s", err, list())
	}
}
