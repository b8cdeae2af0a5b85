package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

func init() { bareRoles["diarist"] = diarist }

// A diary is a directory in which workers of the role "diarist" write down
// what happens to them, in the order in which it happens to all of them:
//
//	NAME start         its first words
//	NAME primary       it has a session with a server of that role
//	NAME standby
//	NAME refused CODE  it got none; it then exits with 1
//	NAME lost          its session ended; it then exits with 1
//	NAME stop SIGNAL   it was asked to end; it then exits with 0
//	NAME twice         another process of its name was there: never
type diary struct {
	t   *testing.T
	dir string
}

func newDiary(t *testing.T) *diary { return &diary{t, t.TempDir()} }

// worker defines a diarist. With "backend_database_connection" among its lines
// it takes a session and ends when that is lost, as a listener would.
func (d *diary) worker(name, startTime string, lines ...string) string {
	return fmt.Sprintf(`worker %q {
  command      = [%q]
  start_time   = %q
  environment  = { TEST_ROLE = "diarist", DIARY = %q, GORACE = "atexit_sleep_ms=0" }
%s
}
`, name, testProgram(), startTime, d.dir, strings.Join(lines, "\n"))
}

// Lines for worker. What would start again by its restart_time alone shows
// itself by coming back in less than an hour, or at all.
const (
	plain   = "  flags = [\"shmem_access\"]\n  restart_time = 3600"
	session = "  flags = [\"shmem_access\", \"backend_database_connection\"]\n  restart_time = 3600\n  connection {\n    database = \"postgres\"\n  }"
	once    = "  flags = [\"shmem_access\", \"backend_database_connection\"]\n  restart_time = \"never\"\n  connection {\n    database = \"postgres\"\n  }"
)

// entries are what was written so far: of one worker by its name, or of all.
func (d *diary) entries(name string) []string {
	var all []string
	for l := range strings.Lines(readOr(filepath.Join(d.dir, "diary"), "")) {
		l = strings.TrimSpace(l)
		if who, what, _ := strings.Cut(l, " "); name == "" {
			all = append(all, l)
		} else if who == name {
			all = append(all, what)
		}
	}
	return all
}

// last is the newest entry of that worker.
func (d *diary) last(name string) string {
	if e := d.entries(name); len(e) > 0 {
		return e[len(e)-1]
	}
	return ""
}

// await returns when the worker's newest entry is that one.
func (s *supervisor) await(d *diary, name, entry string) {
	s.t.Helper()
	s.poll(name+" "+entry, func() bool { return d.last(name) == entry })
}

// check holds what must be so in every diary: no worker ran twice, none was
// started on a server that would not have it, and none of these ever met a
// standby.
func (d *diary) check(writers ...string) {
	d.t.Helper()
	for _, e := range d.entries("") {
		who, what, _ := strings.Cut(e, " ")
		if what == "twice" || strings.HasPrefix(what, "refused") || what == "standby" && slices.Contains(writers, who) {
			d.t.Errorf("the diary has %q", e)
		}
	}
	if d.t.Failed() {
		d.t.Logf("diary:\n%s", strings.Join(d.entries(""), "\n"))
	}
}

// diarist is the role "diarist".
func diarist() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGQUIT)
	name := os.Getenv("PGBGW_NAME")
	book, err := os.OpenFile(filepath.Join(os.Getenv("DIARY"), "diary"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		fmt.Println(err)
		return 99
	}
	write := func(what string) { fmt.Fprintln(book, name, what) }
	lock, err := os.OpenFile(filepath.Join(os.Getenv("DIARY"), name+".lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil || unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		write("twice")
		return 1
	}
	write("start")
	lost := make(chan struct{})
	if os.Getenv("PGHOST") != "" {
		conn, err := pgconn.Connect(context.Background(), "")
		if err != nil {
			write("refused " + codeOf(err))
			return 1
		}
		socket := conn.Conn() // the rest of it is the goroutine's
		defer socket.Close()
		write(roleOf(conn))
		go func() {
			_ = conn.WaitForNotification(context.Background())
			close(lost)
		}()
	}
	select {
	case s := <-signals:
		write("stop " + unix.SignalName(s.(syscall.Signal)))
		return 0
	case <-lost:
		write("lost")
		return 1
	}
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return "the connection"
}

func roleOf(conn *pgconn.PgConn) string {
	res, err := conn.Exec(context.Background(), "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END").ReadAll()
	if err != nil {
		return "unsure"
	}
	return string(res[0].Rows[0][0])
}
