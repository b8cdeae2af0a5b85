package server

import (
	"bytes"
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

// patience is how long a test waits for something that must happen.
const patience = 2 * time.Minute

// lacking skips a test for want of something, or fails it where everything is promised.
func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

// The cluster that every other one is a copy of, made once.
var template struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if template.dir != "" {
		os.RemoveAll(template.dir)
	}
	os.Exit(code)
}

// pgBin returns where PostgreSQL's programs are: $PG_BIN, or the newest that is
// installed; "" if there is none.
func pgBin() string {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(dirs, func(a, b string) int { return major(a) - major(b) })
	if len(dirs) == 0 {
		return ""
	}
	return filepath.Dir(dirs[len(dirs)-1])
}

func major(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

// asServer makes cmd run as a user that PostgreSQL agrees to run as.
func asServer(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME=/")
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := serverUser()
	if err != nil {
		return err
	}
	cmd.Dir = "/"
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return nil
}

func serverUser() (uid, gid uint32, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return uint32(uid), uint32(gid), nil
	}
	return 0, 0, errors.New("neither a user postgres nor nobody")
}

func runServerCommand(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(pgBin(), name), args...)
	if name == "cp" {
		cmd = exec.Command(name, args...)
	}
	if err := asServer(cmd); err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// scratch makes a directory that the server's user owns and that is removed
// in the end. Its path is short enough for a socket.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newScratch() (string, error) {
	dir, err := os.MkdirTemp(memory(), "bgwsrv")
	if err != nil || os.Getuid() != 0 {
		return dir, err
	}
	uid, gid, err := serverUser()
	if err != nil {
		return dir, err
	}
	return dir, errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, int(uid), int(gid)))
}

func makeTemplate() {
	template.dir, template.err = newScratch()
	if template.err != nil {
		return
	}
	data := filepath.Join(template.dir, "data")
	if template.err = runServerCommand("initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8", "--wal-segsize=1"); template.err != nil {
		return
	}
	const conf = `
listen_addresses = ''
fsync = off
shared_buffers = 1MB
max_connections = 12
superuser_reserved_connections = 1
max_wal_senders = 4
autovacuum = off
log_connections = on
max_worker_processes = 1
min_wal_size = 2MB
max_wal_size = 16MB
wal_receiver_status_interval = 1
dynamic_shared_memory_type = mmap
`
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		template.err = err
		return
	}
	_, err = f.WriteString(conf)
	template.err = errors.Join(err, f.Close())
}

// A cluster is a server of a test's own.
type cluster struct {
	t     testing.TB
	dir   string // of data, sockets and log
	data  string
	cmd   *exec.Cmd
	done  chan struct{}  // closed when cmd has ended
	spare *pgconn.PgConn // the newest of those that fill took
}

// newCluster makes a cluster that is not started yet, with lines added to its
// configuration.
func newCluster(t testing.TB, conf ...string) *cluster {
	t.Helper()
	if pgBin() == "" {
		lacking(t, "PostgreSQL below /usr/lib/postgresql")
	}
	template.Do(makeTemplate)
	if template.err != nil {
		t.Fatal(template.err)
	}
	c := &cluster{t: t, dir: scratch(t)}
	c.data = filepath.Join(c.dir, "data")
	if err := runServerCommand("cp", "-a", filepath.Join(template.dir, "data"), c.data); err != nil {
		t.Fatal(err)
	}
	c.configure(conf...)
	return c
}

func (c *cluster) configure(conf ...string) {
	c.t.Helper()
	c.write("postgresql.auto.conf", "unix_socket_directories = '"+c.dir+"'\n"+strings.Join(conf, "\n")+"\n")
}

// write replaces a file in the data directory, which a server that runs may take
// away at once.
func (c *cluster) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.data, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if os.Getuid() == 0 {
		uid, gid, _ := serverUser()
		if err := os.Chown(path, int(uid), int(gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.t.Fatal(err)
		}
	}
}

// start starts the postmaster and does not wait for it to be ready.
func (c *cluster) start() {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(filepath.Join(pgBin(), "postgres"), "-D", c.data)
	if err := asServer(c.cmd); err != nil {
		c.t.Fatal(err)
	}
	// The thread that starts it may end before the server does.
	c.cmd.SysProcAttr.Pdeathsig = 0
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	cmd, done := c.cmd, make(chan struct{})
	c.done = done
	go func() { cmd.Wait(); close(done) }()
	c.t.Cleanup(func() { // SIGCONT, since a test may have stopped it
		cmd.Process.Signal(syscall.SIGCONT)
		cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-done:
		case <-time.After(patience):
			c.t.Errorf("postmaster %d does not end", cmd.Process.Pid)
		}
		if c.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			c.t.Logf("log of the server:\n%s", log)
		}
	})
}

func (c *cluster) signal(sig syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// wait waits until the postmaster has ended.
func (c *cluster) wait() {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatal("the postmaster does not end")
	}
}

func (c *cluster) conninfo() string {
	return fmt.Sprintf("host=%s port=5432 user=postgres dbname=postgres", c.dir)
}

// connect opens a session, once the server accepts them.
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
		case <-time.After(5 * time.Millisecond):
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

func exec1(t testing.TB, conn *pgconn.PgConn, q string) string {
	t.Helper()
	res, err := conn.Exec(context.Background(), q).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	if len(res) == 0 || len(res[0].Rows) == 0 {
		return ""
	}
	return string(bytes.Clone(res[0].Rows[0][0]))
}

// standby makes a streaming standby of c by pg_basebackup -R, not started yet.
func (c *cluster) standby(conf ...string) *cluster {
	c.t.Helper()
	c.connect()
	s := &cluster{t: c.t, dir: scratch(c.t)}
	s.data = filepath.Join(s.dir, "data")
	if err := runServerCommand("pg_basebackup", "-h", c.dir, "-U", "postgres", "-D", s.data, "-R", "-c", "fast", "--no-sync"); err != nil {
		c.t.Fatal(err)
	}
	auto, err := os.ReadFile(filepath.Join(s.data, "postgresql.auto.conf"))
	if err != nil {
		c.t.Fatal(err)
	}
	s.write("postgresql.auto.conf", string(auto)+"unix_socket_directories = '"+s.dir+"'\n"+strings.Join(conf, "\n")+"\n")
	return s
}

// crash kills a backend of the server once the watcher's session is idle: a
// backend that is still busy sending says nothing when it is ended by a crash.
func (c *cluster) crash() {
	c.t.Helper()
	conn := c.connect()
	deadline := time.Now().Add(patience)
	for exec1(c.t, conn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg-bgw' AND wait_event = 'ClientRead'") != "1" {
		if time.Now().After(deadline) {
			c.t.Fatal("the watcher holds no session")
		}
	}
	if err := syscall.Kill(int(conn.PID()), syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

// promoteByFile asks for a promotion as pg_ctl does, without a session.
func (c *cluster) promoteByFile() {
	c.t.Helper()
	c.write("promote", "")
	c.signal(syscall.SIGUSR1)
}

func (c *cluster) remove(name string) {
	c.t.Helper()
	if err := os.Remove(filepath.Join(c.data, name)); err != nil {
		c.t.Fatal(err)
	}
}

// memory is where files cost no disk, or "".
func memory() string {
	var free syscall.Statfs_t
	const dir, enough = "/dev/shm", 1 << 30
	if syscall.Statfs(dir, &free) != nil || int64(free.Bavail)*free.Bsize < enough {
		return ""
	}
	return dir
}
