package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A cluster is a PostgreSQL server of the test's own, on a socket in its directory; only root can make one, since it
// takes another user to run it.
type cluster struct {
	t         *testing.T
	bin       string
	dir, data string
	cred      *syscall.Credential
}

func newCluster(t *testing.T, conf ...string) *cluster {
	t.Helper()
	need := func(what string) {
		if os.Getenv("CI") == "true" {
			t.Fatal(what + " is needed")
		}
		t.Skip(what + " is needed")
	}
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(bins) == 0 {
		need("PostgreSQL below /usr/lib/postgresql")
	}
	u, err := user.Lookup("postgres")
	if os.Geteuid() != 0 || err != nil {
		need("root, and a user postgres,")
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	dir, err := os.MkdirTemp("/tmp", "bgwctl") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, bin: filepath.Dir(bins[len(bins)-1]), dir: dir, data: dir + "/data",
		cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	c.run("initdb", "-D", c.data, "-A", "trust", "-U", "postgres", "--no-sync")
	c.write("postgresql.auto.conf", "listen_addresses = ''\nunix_socket_directories = '"+dir+"'\nfsync = off\nshared_buffers = 1MB\n"+strings.Join(conf, "\n")+"\n")
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	c.run("pg_ctl", "-D", c.data, "-w", "-l", c.data+"/log", "start")
	c.t.Cleanup(func() {
		if _, err := os.Stat(c.data + "/postmaster.pid"); err == nil {
			c.run("pg_ctl", "-D", c.data, "-w", "-m", "immediate", "stop")
		}
	})
}

func (c *cluster) run(program string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	out, err := os.CreateTemp("", "pg") // no pipe: the server would hold it
	if err != nil {
		c.t.Fatal(err)
	}
	defer os.Remove(out.Name())
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", program, err, text)
	}
	return string(text)
}

// sql runs statements as the superuser, each in a transaction of its own, and returns what they print.
func (c *cluster) sql(statements ...string) string {
	c.t.Helper()
	args := []string{"-h", c.dir, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt"}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	return c.run("psql", args...)
}

// write replaces a file in the data directory.
func (c *cluster) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.data, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(path, int(c.cred.Uid), int(c.cred.Gid)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) read(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.data, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// program runs pg-bgwctl as itself, in the environment given, and returns its exit code and what it said.
func program(t *testing.T, cred *syscall.Credential, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(self)
	cmd.Args = append([]string{"pg-bgwctl"}, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "PGHOST=/nowhere", "PGPASSWORD=stray"}
	if cred != nil {
		cmd.Path = "/proc/self/exe" // which others need not be able to reach
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// directory makes one that other users can read, with files.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "bgwctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// connecting is a definition with a connection.
func connecting(label, connection string) string {
	return fmt.Sprintf("worker %q {\n  command = [\"/bin/true\"]\n  flags = [\"shmem_access\", \"backend_database_connection\"]\n"+
		"  start_time = \"consistent_state\"\n  restart_time = 1\n  connection {\n%s\n  }\n}\n", label, connection)
}
