package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgres is one installed PostgreSQL major, in a throw-away cluster without
// network, its background workers registered by c/pgext.c.
type postgres struct {
	seat
	major     int
	binDir    string
	slots     int      // max_worker_processes
	source    string   // of the extension, below c
	functions []string // of the extension, as they are declared
	proc      *spawned
	conn      *pgx.Conn
	asked     string // the library whose workers are asked for
	lost      bool   // the session that owns the workers is gone
}

// postgresMajors finds the installed servers, newest first.
func postgresMajors() []int {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	var majors []int
	for _, d := range dirs {
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(d)))); err == nil {
			majors = append(majors, n)
		}
	}
	slices.Sort(majors)
	slices.Reverse(majors)
	return majors
}

// extension is the source of workers inside of a server.
const extension = "pgext.c"

func serverBin(major int) string { return fmt.Sprintf("/usr/lib/postgresql/%d/bin", major) }

func newPostgres(at seat, major int) peer {
	return &postgres{
		seat: at, major: major, binDir: serverBin(major), slots: 1100, source: extension,
		functions: []string{
			"bench_start(int, int, text) RETURNS void",
			"bench_stop(int, int) RETURNS void",
			"bench_terminate(int) RETURNS bigint",
		},
	}
}

func (p *postgres) name() string { return fmt.Sprintf("postgresql-%d", p.major) }

func (p *postgres) missing() string { return missingHeaders(p.major) }

func (p *postgres) traits() traits {
	return traits{
		perWorker: 1, killResets: true,
		note: p.name() + ": background workers with shared memory access and restart_time 0, registered and terminated inside of the server by an extension of ours; kill -9 of one resets the whole cluster, as it must.",
	}
}

func (p *postgres) path(elem ...string) string {
	return p.lab.path(append([]string{p.name()}, elem...)...)
}

func (p *postgres) library() string { return p.lab.module(p.source, p.major) }

func (p *postgres) open(ctx context.Context) error {
	if err := p.lab.makeModule(ctx, p.source, p.major); err != nil {
		return err
	}
	if err := p.makeCluster(ctx); err != nil {
		return err
	}
	if err := p.launch(); err != nil {
		return err
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	return p.declare(ctx)
}

// makeCluster runs initdb as the server's user in a directory of that user.
func (p *postgres) makeCluster(ctx context.Context) error {
	dir := p.path("home")
	if err := errors.Join(os.Mkdir(p.path(), 0o755), os.Mkdir(dir, 0o700)); err != nil {
		return err
	}
	if c := p.lab.server; c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.binDir, "initdb"),
		"-D", p.path("home", "data"), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions")
	p.asServer(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a cluster: %w\n%s", err, out)
	}
	return nil
}

func (p *postgres) asServer(cmd *exec.Cmd) {
	cmd.Dir = p.path("home")
	cmd.Env = []string{"PATH=" + p.binDir + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + cmd.Dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.lab.server}
}

func (p *postgres) launch() error {
	args := []string{"-D", p.path("home", "data"), "-k", p.path("home"), "-h", ""}
	for _, s := range []string{
		"max_worker_processes=" + strconv.Itoa(p.slots), "max_connections=20", "shared_buffers=128MB",
		"log_min_messages=fatal", "autovacuum=off",
		"shared_preload_libraries=" + p.library(),
		"pgbgw_bench.library=" + p.library(),
		"pgbgw_bench.ledger=" + p.book.path,
	} {
		args = append(args, "-c", s)
	}
	log, err := p.lab.logFile(p.name())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(p.binDir, "postgres"), args...)
	p.asServer(cmd)
	cmd.Stdout, cmd.Stderr = log, log
	p.proc, err = p.lab.spawn(cmd, syscall.SIGQUIT)
	return err
}

// connect opens the session that owns the workers, once the server takes it.
func (p *postgres) connect(ctx context.Context) error {
	var last error
	err := until(ctx, 30*time.Second, "connecting to "+p.name(), func() bool {
		if p.proc.ended() {
			return true
		}
		p.conn, last = pgx.Connect(ctx, "host="+p.path("home")+" user=postgres dbname=postgres")
		return last == nil
	})
	if p.proc.ended() {
		return fmt.Errorf("%s ended: %s", p.name(), p.lab.tail(p.name()))
	}
	if err != nil && last != nil {
		return fmt.Errorf("%w (%v)", err, last)
	}
	return err
}

func (p *postgres) declare(ctx context.Context) error {
	for _, f := range p.functions {
		name, _, _ := strings.Cut(f, "(")
		sql := fmt.Sprintf("CREATE FUNCTION %s AS '%s', '%s' LANGUAGE C STRICT", f, p.library(), name)
		if _, err := p.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("cannot declare %s: %w", name, err)
		}
	}
	return nil
}

// prepare chooses the library: the one that is preloaded, or its copy.
func (p *postgres) prepare(ctx context.Context, n int, program string) error {
	p.asked = p.library()
	if program == coldModule {
		p.asked = coldCopy(p.asked)
	}
	return nil
}

// start's time is the server's own, taken just before the first registration.
func (p *postgres) start(ctx context.Context, first, n int) (int64, error) {
	if _, err := p.conn.Exec(ctx, "SELECT bench_start($1, $2, $3)", first, n, p.asked); err != nil {
		return 0, err
	}
	return p.book.at(first).asked, nil
}

func (p *postgres) stop(ctx context.Context, first, n int) error {
	if !p.lost {
		_, err := p.conn.Exec(ctx, "SELECT bench_stop($1, $2)", first, n)
		return err
	}
	p.lost = false
	return awaitStopped(ctx, p, first, n, func() error {
		for i := first; i < first+n; i++ {
			if err := syscall.Kill(p.book.at(i).pid, syscall.SIGTERM); err != nil {
				return fmt.Errorf("cannot end worker %d: %w", i, os.NewSyscallError("kill", err))
			}
		}
		return nil
	})
}

func (p *postgres) terminate(ctx context.Context, i int) (time.Duration, error) {
	var ns int64
	err := p.conn.QueryRow(ctx, "SELECT bench_terminate($1)", i).Scan(&ns)
	return time.Duration(ns), err
}

// reset connects again after the cluster's reinitialization. The workers'
// handles went with the old session.
func (p *postgres) reset(ctx context.Context) error {
	p.conn.Close(ctx)
	p.lost = true
	return p.connect(ctx)
}

func (p *postgres) processes() []int { return []int{p.proc.pid()} }

func (p *postgres) spenders() spenders {
	return spenders{supervisor: p.processes(), asking: []int{int(p.conn.PgConn().PID())}}
}

func (p *postgres) close() error {
	if p.conn != nil {
		ctx, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		p.conn.Close(ctx)
	}
	p.proc.stop(syscall.SIGQUIT)
	err := os.RemoveAll(p.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
