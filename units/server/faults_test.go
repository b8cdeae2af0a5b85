package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pg-bgw/pg-bgw/units"
)

// A postmaster that is stopped does not answer, although the session that is
// held still would; it recovers when it goes on.
func TestPausedPostmaster(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := watch(t, Config{Conninfo: c.conninfo(), Timeout: 200 * time.Millisecond})
	r.await(Running)
	c.signal(syscall.SIGSTOP)
	if s := r.await(Unreachable); s.Phase() != units.PhaseUnknown {
		t.Errorf("got %+v, want nothing started and nothing stopped", s)
	}
	c.signal(syscall.SIGCONT)
	if s := r.await(Running); s.Crash || s.Demoted {
		t.Errorf("got %+v", s)
	}
}

// The server has no connection to spare. Who is new knows no more than that
// sessions are accepted.
func TestConnectionsExhausted(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.connect()
	if c.fill() == 0 {
		t.Fatal("no connection could be taken")
	}
	s := c.watch().await(Unknown)
	if s.Phase() != units.PhaseConsistent || !strings.Contains(s.Evidence, "max_connections") {
		t.Errorf("got %+v", s)
	}
}

// Our session ends and no other one is given: the server is up, and the role
// of its postmaster, which lives on, is still known.
func TestNoOtherSession(t *testing.T) {
	primary := newCluster(t)
	primary.start()
	primary.query("CREATE ROLE limited LOGIN")
	standby := primary.standby()
	standby.start()
	for c, want := range map[*cluster]Kind{primary: Running, standby: HotStandby} {
		r := watch(t, Config{Conninfo: "host=" + c.dir + " user=limited application_name=ours"})
		r.await(want)
		c.spare = c.connect()
		primary.query("ALTER ROLE limited CONNECTION LIMIT 0")
		for exec1(t, c.spare, "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'limited'") != "0" {
		}
		r.awaitLoss(t, c)
		s := r.await(want, Down)
		if s.Kind != want || !strings.Contains(s.Evidence, "53300") {
			t.Errorf("got %+v, want %v by what is known of the postmaster", s, want)
		}
		primary.query("ALTER ROLE limited CONNECTION LIMIT -1")
		for exec1(t, c.spare, "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'limited'") != "-1" {
		}
	}
}

// fill takes every connection that is left and returns how many.
func (c *cluster) fill() int {
	c.t.Helper()
	for n := 0; ; n++ {
		conn, err := pgconn.Connect(context.Background(), c.conninfo())
		if err != nil {
			return n
		}
		c.t.Cleanup(func() { conn.Close(context.Background()) })
		c.spare = conn
	}
}

// awaitLoss ends the watcher's session by a connection that c holds.
func (r *recorder) awaitLoss(t *testing.T, c *cluster) {
	t.Helper()
	if exec1(t, c.spare, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ours'") != "t" {
		t.Fatal("the watcher holds no session")
	}
	r.await(Unknown)
}

// An administrator who ends our session changes nothing about the server.
func TestSessionTerminated(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := watch(t, Config{Conninfo: c.conninfo() + " application_name=ours"})
	r.await(Running)
	c.spare = c.connect()
	n := len(r.past)
	for range 5 {
		r.awaitLoss(t, c)
		if s := r.await(Running); s.Crash {
			t.Errorf("got %+v", s)
		}
	}
	for _, s := range r.past[n:] {
		if s.Kind != Unknown && s.Kind != Running {
			t.Errorf("got %+v", s)
		}
	}
}

// Who is not let in is told what to mend, and is let in when it is mended.
func TestWrongCredentials(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.connect()
	for _, tt := range []struct{ conninfo, want string }{
		{"user=nobody-of-that-name", `role "nobody-of-that-name"`},
		{"user=postgres dbname=none", `create database "none"`},
	} {
		s := watch(t, Config{Conninfo: "host=" + c.dir + " " + tt.conninfo}).await(Unknown)
		if s.Phase() != units.PhaseConsistent || !strings.Contains(s.Evidence, tt.want) {
			t.Errorf("%s: got %+v, want a server that is up and %q", tt.conninfo, s, tt.want)
		}
	}
	c.query("CREATE ROLE late LOGIN PASSWORD 'secret'")
	c.write("pg_hba.conf", "local all late scram-sha-256\nlocal all all trust\n")
	c.query("SELECT pg_reload_conf()")
	s := watch(t, Config{Conninfo: "host=" + c.dir + " user=late password=guessed"}).await(Unknown, Running)
	if s.Kind != Unknown || !strings.Contains(s.Evidence, "password") || strings.Contains(s.Evidence, "guessed") {
		t.Errorf("got %+v, want the password to be named but not shown", s)
	}
	watch(t, Config{Conninfo: "host=" + c.dir + " user=late password=secret"}).await(Running)
}

// A postmaster.pid that lies, or says nothing, changes nothing: it is not read.
func TestLyingPidFile(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := watch(t, Config{Conninfo: c.conninfo(), DataDirectory: c.data})
	r.await(Running)
	n := len(r.past)
	path := filepath.Join(c.data, pidFile)
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, lie := range []string{"", "1\n", strings.Replace(string(right), "ready   ", "stopping", 1), strings.Repeat("\x00", 1<<16)} {
		c.write(pidFile, lie)
	}
	c.write(pidFile, string(right))
	c.crash() // what is told next is true
	r.await(CrashRestart)
	for _, k := range r.kinds()[n:] {
		if k != Unknown && k != CrashRestart { // the former where our session could not be told why it ends
			t.Errorf("told %v because of the file", r.kinds()[n:])
		}
	}
	r.await(Running)
	c.signal(syscall.SIGINT)
	r.await(Down)
	// Nor does one of a server that is down bring it up.
	c.wait()
	c.write(pidFile, string(right))
	c.remove(pidFile)
	c.start()
	r.await(Running)
}

// Twenty restarts and promotions in a row end in the right state, with no
// state told twice in a row.
func TestFlap(t *testing.T) {
	c := newCluster(t, "primary_conninfo = ''")
	r := watch(t, Config{Conninfo: c.conninfo(), DataDirectory: c.data})
	for i := range 20 {
		if i%2 == 1 {
			c.write("standby.signal", "")
		}
		c.start()
		if i%2 == 1 {
			r.await(HotStandby)
			c.promoteByFile()
		}
		s := r.await(Running)
		if s.Demoted {
			t.Fatalf("round %d: %+v", i, s)
		}
		// No smart stop right after a promotion: PostgreSQL 15 then waits for ever.
		c.signal([]syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGKILL}[i%4])
		r.await(Down)
		c.wait()
		c.settleAfterKill()
	}
	for i, s := range r.past[1:] {
		if !r.past[i].differs(s) {
			t.Errorf("told twice: %+v", s)
		}
	}
	if len(r.past) > 20*8 {
		t.Errorf("%d states were told for twenty rounds", len(r.past))
	}
}

// settleAfterKill waits until the children of a killed postmaster are gone,
// since another one does not start before.
func (c *cluster) settleAfterKill() {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for c.hasProcesses() {
		if time.Now().After(deadline) {
			c.t.Fatal("children of the postmaster do not end")
		}
	}
	os.Remove(filepath.Join(c.data, pidFile))
}

// hasProcesses reports whether a process works in the data directory.
func (c *cluster) hasProcesses() bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	return slices.ContainsFunc(dirs, func(link string) bool {
		dir, err := os.Readlink(link)
		return err == nil && dir == c.data
	})
}

// Two servers do not disturb each other.
func TestTwoServers(t *testing.T) {
	a, b := newCluster(t), newCluster(t)
	a.start()
	ra, rb := a.watch(), b.watch()
	ra.await(Running)
	rb.await(Down)
	b.start()
	rb.await(Running)
	a.signal(syscall.SIGINT)
	ra.await(Down)
	b.query("SELECT 1")
	select {
	case s := <-rb.states:
		t.Errorf("the other server's stop was taken for this one's: %+v", s)
	default:
	}
}

// A postmaster's death is known by its pidfd, and another process with the
// same number is never taken for it.
func TestPostmasterIdentity(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.connect()
	a := ask(t.Context(), Config{Conninfo: c.conninfo()}, nil, nil)
	if a.session == nil || a.peer == nil {
		t.Fatalf("got %+v, want a session and a postmaster", a)
	}
	defer a.session.close()
	defer a.peer.close()
	if a.peer.pid != c.cmd.Process.Pid || !a.peer.is(a.peer.pid) {
		t.Fatalf("pid %d is held, want %d", a.peer.pid, c.cmd.Process.Pid)
	}
	// The fallback of kernels before 6.5 trusts only what is older than the connection.
	if !olderThan(a.peer.pid, ticks()+1) || olderThan(a.peer.pid, 0) {
		t.Error("the age of the postmaster is misjudged")
	}
	c.signal(syscall.SIGKILL)
	select {
	case <-a.peer.dead:
	case <-time.After(patience):
		t.Fatal("the death was not noticed")
	}
	if a.peer.is(a.peer.pid) {
		t.Error("a dead postmaster still stands for its number")
	}
}

// A watcher that is told to end does so in whatever it is doing, and leaves
// no descriptor open.
func TestRunEnds(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.connect()
	before := descriptors(t)
	for _, conninfo := range []string{c.conninfo(), "host=/nonexistent", "port=99999", "host=" + c.dir + " user=nobody-of-that-name"} {
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan State, 100)
		w := New(Config{Conninfo: conninfo, DataDirectory: c.data}, func(s State) { told <- s })
		over := make(chan struct{})
		go func() { w.Run(ctx); close(over) }()
		<-told
		cancel()
		<-over
	}
	for deadline := time.Now().Add(patience); descriptors(t) > before; { // an attempt that was given up may still be closing its own
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors are open, %d were", descriptors(t), before)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%s", fd.Name())); err == nil && !strings.Contains(target, "eventpoll") {
			n++
		}
	}
	return n
}
