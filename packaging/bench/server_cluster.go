package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A followed is the server whose phases workers follow: a throw-away cluster
// that is stopped, started, promoted and made to crash.
type followed struct {
	lab    *lab
	binDir string
	home   string // holds the data directory and the socket
	port   int
	proc   *spawned // nil: it does not run
}

const followedConf = `
fsync = off
shared_buffers = 16MB
max_connections = 20
max_worker_processes = 8
dynamic_shared_memory_type = mmap
autovacuum = off
log_min_messages = fatal
primary_conninfo = ''
`

// newFollowed makes the cluster of the newest PostgreSQL that is installed.
func newFollowed(ctx context.Context, b *lab) (*followed, error) {
	majors := postgresMajors()
	if len(majors) == 0 {
		return nil, errors.New("there is nothing to follow: no server below /usr/lib/postgresql")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close() // the server takes the port later
	c := &followed{lab: b, binDir: fmt.Sprintf("/usr/lib/postgresql/%d/bin", majors[0]),
		home: b.path("followed"), port: l.Addr().(*net.TCPAddr).Port}
	if err := os.Mkdir(c.home, 0o700); err != nil {
		return nil, err
	}
	if u := b.server; u != nil {
		if err := os.Chown(c.home, int(u.Uid), int(u.Gid)); err != nil {
			return nil, err
		}
	}
	if err := c.run(ctx, "initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions", "--wal-segsize=1"); err != nil {
		return nil, err
	}
	conf := followedConf + fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n", c.port, c.home)
	if err := c.write("postgresql.auto.conf", conf); err != nil {
		return nil, err
	}
	// Notes the settings, which a standby demands of what it follows.
	return c, c.run(ctx, "postgres", "--single", "-D", c.data(), "postgres")
}

func (c *followed) data() string { return filepath.Join(c.home, "data") }

func (c *followed) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.binDir, program), args...)
	cmd.Dir = c.home
	cmd.Env = []string{"PATH=" + c.binDir + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + c.home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.lab.server}
	return cmd
}

func (c *followed) run(ctx context.Context, program string, args ...string) error {
	if out, err := c.command(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// write replaces a file in the data directory.
func (c *followed) write(name, text string) error {
	path := filepath.Join(c.data(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if u := c.lab.server; u != nil {
		return os.Chown(path, int(u.Uid), int(u.Gid))
	}
	return nil
}

// start starts the postmaster, with these settings besides its own.
func (c *followed) start(ctx context.Context, settings []string) error {
	args := []string{"-D", c.data()}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	log, err := c.lab.logFile("followed")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.command(context.WithoutCancel(ctx), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	c.lab.forget()
	c.proc, err = c.lab.spawn(cmd, syscall.SIGQUIT)
	return err
}

const askEvery = time.Millisecond // how closely the benchmark itself looks

// accepts returns a session, and when it was had: as soon as the server takes any.
func (c *followed) accepts(ctx context.Context) (*pgconn.PgConn, int64, error) {
	for {
		conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", c.home, c.port))
		at := monotonic()
		switch {
		case err == nil:
			return conn, at, nil
		case c.proc.ended():
			return nil, 0, fmt.Errorf("the server ended: %s", c.lab.tail("followed"))
		}
		if e := pause(ctx, askEvery); e != nil {
			return nil, 0, fmt.Errorf("%w (%w)", err, e)
		}
	}
}

// promote promotes a standby by one of its sessions and returns when another
// question of that one was the first to be told that writes are accepted.
func (c *followed) promote(ctx context.Context, conn *pgconn.PgConn) (int64, error) {
	if _, err := ask(ctx, conn, "SELECT pg_promote(false)"); err != nil {
		return 0, err
	}
	for {
		standby, err := ask(ctx, conn, "SELECT pg_is_in_recovery()")
		at := monotonic()
		if err != nil || standby == "f" {
			return at, err
		}
		if err := pause(ctx, askEvery); err != nil {
			return 0, err
		}
	}
}

// ask returns the first value that q gives.
func ask(ctx context.Context, conn *pgconn.PgConn, q string) (string, error) {
	res, err := conn.Exec(ctx, q).ReadAll()
	if err != nil {
		return "", fmt.Errorf("%s: %w", q, err)
	}
	if len(res) == 0 || len(res[0].Rows) == 0 {
		return "", fmt.Errorf("%s: no row", q)
	}
	return string(res[0].Rows[0][0]), nil
}

// crash kills a backend of the server, a session of ours, and returns when.
func (c *followed) crash(conn *pgconn.PgConn) (int64, error) {
	at := monotonic()
	return at, os.NewSyscallError("kill", syscall.Kill(int(conn.PID()), syscall.SIGKILL))
}

// signal sends the postmaster a signal and returns when.
func (c *followed) signal(sig syscall.Signal) (int64, error) {
	at := monotonic()
	return at, c.proc.cmd.Process.Signal(sig)
}

// gone returns when the server is down, every process of it.
func (c *followed) gone(ctx context.Context) error {
	defer c.proc.stop(syscall.SIGQUIT)
	if err := until(ctx, patience, "the postmaster's end", c.proc.ended); err != nil {
		return err
	}
	err := until(ctx, patience, "the end of the server's processes", func() bool { return !c.works() })
	if e := os.Remove(filepath.Join(c.data(), "postmaster.pid")); e != nil && !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// works reports whether a process has the data directory for its own.
func (c *followed) works() bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, d := range dirs {
		if at, err := os.Readlink(d); err == nil && strings.HasPrefix(at, c.data()) {
			if stat, err := os.ReadFile(filepath.Join(filepath.Dir(d), "stat")); err == nil && !strings.Contains(string(stat), ") Z ") {
				return true
			}
		}
	}
	return false
}

func (c *followed) close() {
	c.proc.stop(syscall.SIGQUIT)
}
