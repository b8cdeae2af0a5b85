package main

import (
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

// A cluster is a PostgreSQL server of the test's own, on a socket in its
// directory.
type cluster struct {
	t    *testing.T
	bin  string
	dir  string
	cred *syscall.Credential // root may not run it
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(bins) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL is needed: there is no /usr/lib/postgresql/*/bin")
		}
		t.Skip("PostgreSQL is needed: there is no /usr/lib/postgresql/*/bin")
	}
	c := &cluster{t: t, bin: filepath.Dir(bins[len(bins)-1])}
	base, err := os.MkdirTemp("/tmp", "pgbgw") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	c.dir = base + "/data"
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		c.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(base, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	c.run("initdb", "-D", c.dir, "-A", "trust", "-U", "postgres", "--no-sync")
	f, err := os.OpenFile(c.dir+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\nshared_buffers = 1MB\n", base)
	f.Close()
	t.Cleanup(func() {
		if _, err := os.Stat(c.dir + "/postmaster.pid"); err == nil {
			c.stop("immediate")
		}
	})
	return c
}

func (c *cluster) run(program string, args ...string) {
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
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		c.t.Fatalf("%s: %v\n%s", program, err, text)
	}
}

func (c *cluster) start()   { c.run("pg_ctl", "-D", c.dir, "-w", "-l", c.dir+"/log", "start") }
func (c *cluster) promote() { c.run("pg_ctl", "-D", c.dir, "-w", "promote") }
func (c *cluster) stop(mode string) {
	c.run("pg_ctl", "-D", c.dir, "-w", "-m", mode, "stop")
}

func (c *cluster) standby() {
	if err := os.WriteFile(c.dir+"/standby.signal", nil, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// TestServer: workers follow a real server: not before it is there, by its
// phases, through promotion, a stop, and its return (BGW-077 to BGW-082).
func TestServer(t *testing.T) {
	c := newCluster(t)
	worker := func(label, flags, startTime string) string {
		return fmt.Sprintf("worker %q {\n command = [\"/bin/sleep\", \"1000\"]\n flags = [%s]\n restart_time = \"1h\"\n start_time = %q\n}\n", label, flags, startTime)
	}
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl": fmt.Sprintf("server \"main\" {\n  conninfo = \"host=%s user=postgres dbname=postgres\"\n}\n", filepath.Dir(c.dir)),
		"workers.d/10.hcl": worker("early", `"shmem_access"`, "postmaster_start") +
			worker("reader", `"shmem_access", "backend_database_connection"`, "consistent_state") +
			worker("writer", `"shmem_access", "backend_database_connection"`, "recovery_finished"),
	})
	s.wait("down", func() bool { m, err := s.client.Manager(s.ctx()); return err == nil && m.Phases["main"] == "down" })
	for _, label := range []string{"early", "reader", "writer"} {
		if w := s.worker(label); w.State != "waiting" || w.Status != "not_yet_started" {
			t.Errorf("%s is %s while there is no server", label, w.State)
		}
	}
	c.standby()
	c.start()
	early, reader := s.state("early", "running"), s.state("reader", "running") // BGW-077, BGW-078
	if w := s.worker("writer"); w.State != "waiting" {                         // BGW-079
		t.Errorf("writer is %s on a standby", w.State)
	}
	c.promote()
	s.state("writer", "running")                                                                    // BGW-080
	if s.worker("early").MainPID != early.MainPID || s.worker("reader").MainPID != reader.MainPID { // BGW-081
		t.Error("the promotion restarted a worker")
	}
	c.stop("fast")
	for _, label := range []string{"early", "reader", "writer"} {
		if w := s.state(label, "waiting"); !strings.Contains(w.Reason, "server") {
			t.Errorf("%s waits for %q", label, w.Reason)
		}
	}
	c.start()
	for _, label := range []string{"early", "reader", "writer"} { // BGW-082; at once, though restart_time is an hour
		s.state(label, "running")
	}
	c.stop("fast")
	s.state("writer", "waiting")
	c.standby()
	c.start()
	s.state("reader", "running")
	if w := s.worker("writer"); w.State != "waiting" {
		t.Errorf("writer is %s on a server that was demoted", w.State)
	}
}
