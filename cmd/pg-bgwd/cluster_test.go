package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A cluster is a PostgreSQL server of the test's own, on a socket in its
// directory.
type cluster struct {
	t    *testing.T
	bin  string
	base string              // holds the data directory, the socket and the log
	dir  string              // the data directory
	cred *syscall.Credential // root may not run it
	cmd  *exec.Cmd           // the postmaster that start started, if one was
	done chan struct{}       // closed when it has ended
}

// The cluster that every other one is a copy of, made once.
var blank struct {
	sync.Once
	cluster
	err error
}

// serverConf keeps a server of a test small and quick.
const serverConf = `
listen_addresses = ''
fsync = off
shared_buffers = 1MB
max_connections = 20
max_wal_senders = 4
max_worker_processes = 1
autovacuum = off
min_wal_size = 2MB
max_wal_size = 16MB
wal_receiver_status_interval = 1
dynamic_shared_memory_type = mmap
wal_retrieve_retry_interval = 20ms
`

// pgBin is where the server's programs are: $PG_BIN, or the newest that is
// installed; "" if there is none.
func pgBin() string {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	major := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	slices.SortFunc(all, func(a, b string) int { return major(a) - major(b) })
	if len(all) == 0 {
		return ""
	}
	return filepath.Dir(all[len(all)-1])
}

// newCluster makes a cluster that is not started yet, with these lines added
// to its configuration.
func newCluster(t *testing.T, conf ...string) *cluster {
	t.Helper()
	if pgBin() == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL is needed: there is no /usr/lib/postgresql/*/bin")
		}
		t.Skip("PostgreSQL is needed: there is no /usr/lib/postgresql/*/bin")
	}
	blank.Do(func() { blank.err = blank.make() })
	if blank.err != nil {
		t.Fatal(blank.err)
	}
	c := emptyCluster(t)
	c.run("cp", "-a", blank.dir, c.dir)
	c.set(conf...)
	return c
}

// emptyCluster is one without a data directory.
func emptyCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	if err := c.place(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// place makes the directory of c: of the server's user, in memory where there
// is room, and of a name that is short, since a socket's path has 107 bytes.
func (c *cluster) place() error {
	c.bin = pgBin()
	parent := "/tmp"
	var free syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &free) == nil && int64(free.Bavail)*free.Bsize > 1<<30 {
		parent = "/dev/shm"
	}
	var err error
	if c.base, err = os.MkdirTemp(parent, "pgbgw"); err != nil {
		return err
	}
	c.dir = c.base + "/data"
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	c.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return errors.Join(os.Chown(c.base, uid, gid), os.Chmod(c.base, 0o755))
}

func (c *cluster) make() error {
	if err := c.place(); err != nil {
		return err
	}
	err := c.try("initdb", "-D", c.dir, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8", "--wal-segsize=1")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.dir+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(serverConf)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return c.try("postgres", "--single", "-D", c.dir, "postgres") // notes the settings, which a standby demands
}

// set replaces what the configuration adds to the template's.
func (c *cluster) set(conf ...string) {
	c.t.Helper()
	c.write("postgresql.auto.conf", fmt.Sprintf("unix_socket_directories = '%s'\n%s\n", c.base, strings.Join(conf, "\n")))
}

// write replaces a file in the data directory, which a server that runs may take
// away at once.
func (c *cluster) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if c.cred == nil {
		return
	}
	if err := os.Chown(path, int(c.cred.Uid), int(c.cred.Gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
}

func (c *cluster) run(program string, args ...string) {
	c.t.Helper()
	if err := c.try(program, args...); err != nil {
		c.t.Fatal(err)
	}
}

// try runs a program as the server's user; one of the server's by its name.
func (c *cluster) try(program string, args ...string) error {
	path := filepath.Join(c.bin, program)
	if _, err := os.Stat(path); err != nil {
		path = program
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	out, err := os.CreateTemp("", "pg") // no pipe: a server would hold it
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w\n%s", program, err, text)
	}
	return nil
}

// launch starts the postmaster and does not wait for it to be ready.
func (c *cluster) launch() {
	c.t.Helper()
	log, err := os.OpenFile(c.base+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.dir)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	c.cmd, c.done = cmd, done
}

// start starts the server and returns when it accepts sessions.
func (c *cluster) start() {
	c.t.Helper()
	c.launch()
	_ = c.connect().Close(context.Background()) // a smart stop would wait for it
}

// signal sends the postmaster one.
func (c *cluster) signal(sig syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatalf("signal %v to the postmaster: %v", sig, err)
	}
}

// await returns when the postmaster has ended.
func (c *cluster) await() {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatal("the postmaster does not end")
	}
}

// stop asks the server to stop as pg_ctl does, in its mode, and returns when
// it is gone.
func (c *cluster) stop(mode string) {
	c.t.Helper()
	c.signal(map[string]syscall.Signal{"smart": syscall.SIGTERM, "fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}[mode])
	c.await()
}

// promote asks for a promotion as pg_ctl does, and returns when writes are
// accepted.
func (c *cluster) promote() {
	c.t.Helper()
	c.askToPromote()
	conn := c.connect()
	defer conn.Close(context.Background())
	for exec1(c.t, conn, "SELECT pg_is_in_recovery()") == "t" {
	}
}

func (c *cluster) askToPromote() {
	c.t.Helper()
	c.write("promote", "")
	c.signal(syscall.SIGUSR1)
}

// standby makes the server come up as a standby when it is started next.
func (c *cluster) standby() {
	c.t.Helper()
	c.write("standby.signal", "")
}

// backup makes a streaming standby of c, which runs, by pg_basebackup -R.
func (c *cluster) backup(conf ...string) *cluster {
	c.t.Helper()
	s := emptyCluster(c.t)
	s.run("pg_basebackup", "-h", c.base, "-U", "postgres", "-D", s.dir, "-R", "-c", "fast", "--no-sync")
	auto := readOr(s.dir+"/postgresql.auto.conf", "")
	s.write("postgresql.auto.conf", fmt.Sprintf("%s\nunix_socket_directories = '%s'\n%s\n", auto, s.base, strings.Join(conf, "\n")))
	return s
}

// close ends the server if it runs, and removes everything.
func (c *cluster) close() {
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(syscall.SIGCONT) // a test may have stopped it
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-c.done:
		case <-time.After(patience):
			c.t.Errorf("postmaster %d does not end", c.cmd.Process.Pid)
		}
	}
	if c.t.Failed() {
		c.t.Logf("log of the server in %s:\n%s", c.base, readOr(c.base+"/log", ""))
	}
	os.RemoveAll(c.base)
}

// conninfo is how a superuser reaches the server.
func (c *cluster) conninfo() string { return "host=" + c.base + " user=postgres dbname=postgres" }

// block is the server block that has pg-bgwd watch c by its socket.
func (c *cluster) block(label string, more ...string) string {
	return fmt.Sprintf("server %q {\n  conninfo = %q\n%s}\n", label, c.conninfo(), strings.Join(append(more, ""), "\n"))
}

// byFile is a line of a server block: the data directory may be read too.
func (c *cluster) byFile() string { return fmt.Sprintf("  data_directory = %q", c.dir) }

// connect opens a session, once the server accepts them. It ends with the test.
func (c *cluster) connect() *pgconn.PgConn {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgconn.Connect(ctx, c.conninfo())
		if err == nil {
			c.t.Cleanup(func() { conn.Close(context.Background()) })
			return conn
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("cannot connect: %v", err)
		case <-c.done:
			c.t.Fatalf("the server ended:\n%s", readOr(c.base+"/log", ""))
		case <-time.After(5 * time.Millisecond): // a server tells nobody that it is ready
		}
	}
}

// query runs q on a session of its own and returns its first value.
func (c *cluster) query(q string) string {
	c.t.Helper()
	conn := c.connect()
	defer conn.Close(context.Background())
	return exec1(c.t, conn, q)
}

func exec1(t *testing.T, conn *pgconn.PgConn, q string) string {
	t.Helper()
	res, err := conn.Exec(context.Background(), q).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	if len(res) == 0 || len(res[0].Rows) == 0 {
		return ""
	}
	return string(res[0].Rows[0][0])
}

// crash kills a backend, and with it every session, and returns when the
// server has noticed.
func (c *cluster) crash() {
	c.t.Helper()
	witness := c.connect()
	if err := syscall.Kill(int(c.connect().PID()), syscall.SIGKILL); err != nil { // never a stranger: the backend waits for us
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := witness.WaitForNotification(ctx); ctx.Err() != nil {
		c.t.Fatalf("the server does not notice a crash: %v", err)
	}
}

// linksTo reports whether link points to path.
func linksTo(link, path string) bool {
	at, err := os.Readlink(link)
	return err == nil && at == path
}
