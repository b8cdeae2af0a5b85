package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server that falls silent, has no session to give, or lets nobody in any
// more, is not down: nobody is ended and nobody is started twice, whatever is
// known of it meanwhile, and all is well when it is well.
func TestServerTroubles(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.query("CREATE ROLE watcher LOGIN") // may not have the last connections
	d := newDiary(t)
	s := beside(t, strings.Replace(c.block("main"), "user=postgres", "user=watcher connect_timeout=1", 1),
		d.worker("early", "postmaster_start", plain)+d.worker("writer", "recovery_finished", plain)+attacher(witness, "main"))
	s.await(d, "writer", "start")
	s.attached(witness)
	spare := c.connect()
	held := func(what string) { // the session, which is then ended if what does that
		t.Helper()
		s.poll("a held session", func() bool {
			return exec1(t, spare, "SELECT count("+what+") FROM pg_stat_activity WHERE usename = 'watcher'") == "1"
		})
	}
	const cut = "pg_terminate_backend(pid)"
	healthy := func(trouble string) {
		t.Helper()
		s.server("main", "running")
		for _, name := range []string{"early", "writer", witness} {
			if w := s.worker(name); w.State != "running" || w.StartNumber != 1 {
				t.Errorf("%s: %s is %s at start %d", trouble, name, w.State, w.StartNumber)
			}
		}
	}

	c.signal(syscall.SIGSTOP)
	s.server("main", "unreachable")
	c.signal(syscall.SIGCONT)
	healthy("paused")

	release := c.takeConnections()
	held(cut)
	s.says("53300")
	healthy("full")
	release()
	held("pid")

	exec1(t, spare, "ALTER ROLE watcher NOLOGIN")
	held(cut)
	s.says("28000")
	healthy("not let in")
	exec1(t, spare, "ALTER ROLE watcher LOGIN")
	c.stop("fast") // all is still seen
	s.server("main", "down")
	s.idle("early", "writer", witness)
	c.start()
	s.await(d, "writer", "start")
	s.server("main", "running")
	d.check()
}

// takeConnections leaves the server none to give, until release is called.
func (c *cluster) takeConnections() (release func()) {
	c.t.Helper()
	var all []*pgconn.PgConn
	for {
		conn, err := pgconn.Connect(c.t.Context(), c.conninfo())
		if err != nil {
			break
		}
		all = append(all, conn)
	}
	return func() {
		for _, conn := range all {
			_ = conn.Close(c.t.Context())
		}
	}
}

// Who was never let in knows no more than that the server takes sessions:
// ConsistentState workers start, RecoveryFinished ones when it is mended.
func TestServerWrongCredentials(t *testing.T) {
	c := newCluster(t)
	d := newDiary(t)
	s := beside(t, strings.Replace(c.block("main"), "user=postgres", "user=missing", 1),
		d.worker("reader", "consistent_state", plain)+d.worker("writer", "recovery_finished", plain))
	s.server("main", "down")
	c.start()
	s.await(d, "reader", "start")
	s.says(`mend role \"missing\"`)
	s.waiting("writer")
	c.query("CREATE ROLE missing LOGIN")
	s.await(d, "writer", "start")
	d.check()
}
