package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// buildCtl builds pg-bgwctl, for the tests that need it, unless it is there as
// the other programs are.
var buildCtl = sync.OnceValue(func() error {
	if os.Getenv("PGBGW_TEST_PROGRAMS") != "" {
		return nil
	}
	out, err := exec.Command("go", "build", "-o", programs, "../pg-bgwctl").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// ctl runs pg-bgwctl and returns what it printed, and its exit code.
func (s *supervisor) ctl(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	if err := buildCtl(); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(programs, "pg-bgwctl"), append([]string{"--address", s.bus.address}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			s.t.Fatal(err)
		}
		code = e.ExitCode()
	}
	return out.String(), errs.String(), code
}

// psqlWorker is a worker whose one session sits in a database.
func (c *cluster) psqlWorker(label, flags, database string) string {
	connection := ""
	if database != "" {
		connection = fmt.Sprintf("  connection {\n    database = %q\n  }\n", database)
	}
	if flags == "" {
		connection += "  kill_signal = \"SIGINT\"\n" // psql cancels its query then
	}
	return fmt.Sprintf("worker %q {\n  command = [%q, \"-X\", \"-c\", \"SELECT pg_sleep(1000)\"]\n  flags = [\"shmem_access\", \"backend_database_connection\"%s]\n"+
		"  start_time = \"consistent_state\"\n  restart_time = 0\n%s}\n", label, filepath.Join(c.bin, "psql"), flags, connection)
}

// TestServerTerminateForDatabase: the two lines by which a database is dropped,
// copied or renamed in spite of its workers: its interruptible workers are
// terminated, unregistered, and the command succeeds (BGW-130). One that is not
// interruptible lives, and the command fails (BGW-131).
func TestServerTerminateForDatabase(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.query("CREATE DATABASE app")
	const interruptible = `, "interruptible"`
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl": c.block("main"),
		"workers.d/10.hcl": c.psqlWorker("one", interruptible, "app") + c.psqlWorker("two", interruptible, "app") +
			c.psqlWorker("other", interruptible, "postgres") + c.psqlWorker("unnamed", interruptible, "") + c.psqlWorker("stubborn", "", "app"),
	})
	sessions := func(database string, n int) {
		t.Helper()
		s.poll(fmt.Sprintf("%d sessions in %s", n, database), func() bool {
			return c.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = '"+database+"'") == fmt.Sprint(n)
		})
	}
	sessions("app", 3)
	sessions("postgres", 2)
	stubborn, other, unnamed := s.worker("stubborn"), s.worker("other"), s.worker("unnamed")
	out, errs, code := s.ctl("terminate", "--database", "app")
	if code != 1 || strings.Count(out, "\n") != 2 || !strings.Contains(out, " one\n") || !strings.Contains(out, " two\n") || !strings.Contains(errs, "not interruptible: stubborn") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	for _, label := range []string{"one", "two"} {
		if w := s.worker(label); w.State != "ended" { // though restart_time is 0
			t.Errorf("%s is %s", label, w.State)
		}
	}
	if err := s.exec(c, "DROP DATABASE app"); err == nil || err.Code != "55006" {
		t.Errorf("the database was dropped from below a worker: %v", err)
	}
	if w := s.worker("stubborn"); w.State != "running" || w.MainPID != stubborn.MainPID {
		t.Errorf("who is not interruptible is %s, pid %d", w.State, w.MainPID)
	}
	s.must("stop", "--wait", "stubborn")
	for _, step := range []struct{ command, database string }{
		{"CREATE DATABASE copy TEMPLATE app", "app"}, {"ALTER DATABASE app RENAME TO again", "app"}, {"DROP DATABASE again", "again"},
	} {
		if step.database == "app" {
			s.must("start", "one")
			sessions("app", 1)
		}
		s.must("terminate", "--database", step.database)
		if err := s.exec(c, step.command); err != nil {
			t.Errorf("%s: %v", step.command, err)
		}
	}
	for _, w := range []dbusapi.WorkerInfo{other, unnamed} {
		if now := s.worker(w.Label); now.State != "running" || now.MainPID != w.MainPID {
			t.Errorf("%s of another database is %s", w.Label, now.State)
		}
	}
	if _, _, err := s.client.TerminateBackgroundWorkersForDatabase(s.ctx(), "nosuch", "app"); !dbusapi.IsError(err, dbusapi.ErrorInvalidArgs) {
		t.Errorf("a server that there is not: %v", err)
	}
	gone, _, err := s.client.TerminateBackgroundWorkersForDatabase(s.ctx(), "", "postgres") // the database of the conninfo
	if err != nil || !slices.Equal(gone, []dbusapi.Handle{other.Handle, unnamed.Handle}) {
		t.Errorf("terminated %v, %v", gone, err)
	}
}

// must runs pg-bgwctl, which has to succeed.
func (s *supervisor) must(args ...string) {
	s.t.Helper()
	if _, errs, code := s.ctl(args...); code != 0 {
		s.t.Fatalf("%s: %s", strings.Join(args, " "), errs)
	}
}

// exec runs a command of SQL as another client would.
func (s *supervisor) exec(c *cluster, sql string) *pgconn.PgError {
	s.t.Helper()
	conn := c.connect()
	defer conn.Close(context.Background())
	_, err := conn.Exec(s.ctx(), sql).ReadAll()
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return nil
}
