package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// onStop is a worker for each way of meeting a stop: one that needs nothing of
// the server, one with a session, the same that never restarts by itself, and
// two that are kept, of which one has a session.
func onStop(d *diary) string {
	const keep = "\n  on_server_stop = \"keep\""
	return d.worker("plain", "postmaster_start", plain) + d.worker("session", "consistent_state", session) +
		d.worker("once", "recovery_finished", once) + d.worker("kept", "recovery_finished", plain+keep) +
		d.worker("kept-session", "recovery_finished", session+keep)
}

var stopped = []string{"plain", "session", "once", "kept-session"} // by any stop

// atWork returns when all of onStop are.
func (s *supervisor) atWork(d *diary) {
	s.t.Helper()
	for _, name := range stopped[1:] {
		s.await(d, name, "primary")
	}
	s.await(d, "plain", "start")
	s.await(d, "kept", "start")
}

// BGW-086 to BGW-088, BGW-092, and on_server_stop, for each way in which a
// server stops: what is not kept is ended or ends by itself, waits without
// counting that as a failure (no restart_time, and "never" is no end), and is
// there again as soon as the server is. What is kept runs on through all.
func TestServerStop(t *testing.T) {
	c := newCluster(t)
	d := newDiary(t)
	s := beside(t, c.block("main", c.byFile()), onStop(d))
	h := map[string]dbusapi.Handle{}
	up := func(round uint64) {
		t.Helper()
		for _, name := range stopped {
			s.poll(name+" runs", func() bool { e := d.last(name); return e == "primary" || name == "plain" && e == "start" })
			w := s.state(name, "running")
			if h[name] == (dbusapi.Handle{}) {
				h[name] = w.Handle
			}
			if w.Handle != h[name] || w.StartNumber != round {
				t.Errorf("%s is %v at start %d, want %v at %d", name, w.Handle, w.StartNumber, h[name], round)
			}
		}
		s.await(d, "kept", "start")
	}
	for i, how := range []func(){
		func() { c.stop("smart") }, // only ours are there
		func() { c.stop("fast") },
		func() { c.stop("immediate") },
		func() { c.signal(syscall.SIGKILL); c.await(); c.swept() },
	} {
		c.start()
		up(uint64(i + 1))
		how()
		s.idle(stopped...)
		s.server("main", "down")
	}
	if got := d.entries("kept"); !slices.Equal(got, []string{"start"}) {
		t.Errorf("kept was told %s", strings.Join(got, ", "))
	}
	for _, e := range d.entries("plain") { // it alone is never quicker than the request
		if e != "start" && e != "stop SIGTERM" {
			t.Errorf("plain was told %q", e)
		}
	}
	d.check()
}

// swept waits until the children of a killed postmaster are gone, since no
// other one starts before, and removes what it left.
func (c *cluster) swept() {
	c.t.Helper()
	s := &supervisor{t: c.t}
	s.poll("children of the postmaster to end", func() bool {
		all, _ := filepath.Glob("/proc/[0-9]*/cwd")
		return !slices.ContainsFunc(all, func(link string) bool { return linksTo(link, c.dir) })
	})
	c.run("rm", "-f", c.dir+"/postmaster.pid")
}

// BGW-084 to BGW-087: a smart stop with a client: everybody runs on, and what
// needs no session may be registered and starts; when the client has gone
// workers get SIGTERM, and neither their sessions nor ours hold the server up.
func TestServerSmartStop(t *testing.T) {
	c := newCluster(t)
	d := newDiary(t)
	s := beside(t, c.block("main", c.byFile()), onStop(d))
	c.start()
	client := c.connect()
	s.atWork(d)
	c.signal(syscall.SIGTERM)
	s.server("main", "smart_stop")
	w := s.running(s.register(definition("late", 3600, "/bin/sleep", "1000"))) // BGW-085
	never := definition("too-late", 3600, "/bin/sleep", "1000")
	never.Set |= dbusapi.KeyStartTime | dbusapi.KeyFlags
	never.StartTime, never.Flags = "consistent_state", []string{"shmem_access", "backend_database_connection"}
	barred := s.register(never)
	if _, _, err := s.client.WaitForBackgroundWorkerStartup(s.ctx(), barred); err != nil { // BGW-094: no deadlock
		t.Error(err)
	}
	if i := s.info(barred); i.State != "waiting" {
		t.Errorf("what needs a session that none is given is %s", i.State)
	}
	if exec1(t, client, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg-bgw'") != "1" {
		t.Error("the held session is gone although a client is there")
	}
	for _, name := range append(stopped, "kept") { // BGW-084
		if w := s.state(name, "running"); w.StartNumber != 1 {
			t.Errorf("%s is at start %d", name, w.StartNumber)
		}
	}
	away := gone(t, w.MainPID)
	_ = client.Close(context.Background())
	for _, name := range stopped { // BGW-086
		s.await(d, name, "stop SIGTERM")
	}
	away()
	c.await() // BGW-087
	s.server("main", "down")
	if got := d.last("kept"); got != "start" {
		t.Errorf("kept was told %q", got)
	}
	d.check()
}

// BGW-084, BGW-086 and BGW-093 the other way round: a smart shutdown of pg-bgwd
// waits for the server's clients and may be made a faster one; the server is
// not touched.
func TestServerSmartShutdown(t *testing.T) {
	c := newCluster(t)
	c.start()
	client := c.connect()
	for _, name := range []string{"patient", "upgraded"} {
		t.Run(name, func(t *testing.T) {
			d := newDiary(t)
			s := beside(t, c.block("main"), onStop(d))
			s.atWork(d)
			if err := s.client.Shutdown(s.ctx(), dbusapi.ShutdownSmart); err != nil {
				t.Fatal(err)
			}
			s.until("STOPPING=1")
			if w := s.worker("session"); w.State != "running" {
				t.Errorf("a worker is %s while a client is there", w.State)
			}
			if name == "upgraded" { // BGW-093
				if err := s.client.Shutdown(s.ctx(), dbusapi.ShutdownFast); err != nil {
					t.Fatal(err)
				}
			} else {
				_ = client.Close(context.Background())
			}
			if code := s.exitCode(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for _, name := range append(stopped, "kept") {
				if got := d.last(name); got != "stop SIGTERM" {
					t.Errorf("%s was told %q", name, got)
				}
			}
			client = c.connect()
		})
	}
}
