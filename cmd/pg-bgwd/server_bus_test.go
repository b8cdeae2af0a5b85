package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// serverInfo returns the server of that label as the bus shows it.
func (s *supervisor) serverInfo(label string) dbusapi.ServerInfo {
	s.t.Helper()
	all, err := s.client.Servers(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(i dbusapi.ServerInfo) bool { return i.Name == label })
	if i < 0 {
		return dbusapi.ServerInfo{}
	}
	return all[i]
}

// phase waits until the server of that label is in that phase.
func (s *supervisor) phase(label, phase string) (i dbusapi.ServerInfo) {
	s.t.Helper()
	s.wait(label+" "+phase, func() bool { i = s.serverInfo(label); return i.Phase == phase })
	return i
}

// TestServerOnBus: a server is an object with its phase, since when, and the
// evidence; a worker says what of it it waits for; a reload adds and removes.
func TestServerOnBus(t *testing.T) {
	c := newCluster(t)
	other := `server "a-b" { conninfo = "host=/nonexistent user=u password=geheim" }` + "\n"
	worker := fmt.Sprintf("worker %q {\n command = [\"/bin/sleep\", \"1000\"]\n flags = [\"shmem_access\", \"backend_database_connection\"]\n"+
		" restart_time = 1\n start_time = \"recovery_finished\"\n server = \"main\"\n}\n", "writer")
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl": c.block("main", c.byFile()) + other, "workers.d/10.hcl": worker,
	})
	down := s.phase("main", "down")
	if !strings.Contains(down.Evidence, "no socket") || len(down.Permits) != 0 || down.PostmasterPID != 0 || down.Version != "" || down.Changed.Realtime == 0 {
		t.Errorf("down: %+v", down)
	}
	if w := s.worker("writer"); w.WaitsFor != "recovery_finished of main: down" {
		t.Errorf("it waits for %q", w.WaitsFor)
	}
	if i := s.phase("a-b", "down"); i.Path() != "/org/pgbgw1/server/a_2db" || strings.Contains(fmt.Sprint(i), "geheim") || !strings.Contains(i.Conninfo, "host=/nonexistent") {
		t.Errorf("another one: %+v at %s", i, i.Path())
	}
	c.standby()
	c.start()
	standby := s.phase("main", "hot_standby")
	if !slices.Equal(standby.Permits, []string{"postmaster_start", "consistent_state"}) || standby.PostmasterPID != uint32(c.cmd.Process.Pid) ||
		standby.Version != c.query("SHOW server_version") || standby.Changed.Realtime < down.Changed.Realtime || standby.Demoted {
		t.Errorf("standby: %+v", standby)
	}
	if w := s.worker("writer"); w.WaitsFor != "recovery_finished of main: hot_standby" {
		t.Errorf("it waits for %q", w.WaitsFor)
	}
	if out, errs, code := s.ctl("status"); code != 0 || !strings.Contains(out, "hot_standby") || !strings.Contains(out, "waits for recovery_finished of main: hot_standby") {
		t.Errorf("status: %d\n%s%s", code, out, errs)
	}
	c.promote()
	s.state("writer", "running")
	if w := s.worker("writer"); w.WaitsFor != "" {
		t.Errorf("it runs and waits for %q", w.WaitsFor)
	}
	if i := s.phase("main", "running"); len(i.Permits) != 3 {
		t.Errorf("running: %+v", i)
	}

	s.file("pg-bgw.hcl", c.block("main", c.byFile()))
	if err := s.client.Reload(s.ctx()); err != nil {
		t.Fatal(err)
	}
	if all, err := s.client.Servers(s.ctx()); err != nil || len(all) != 1 || all[0].Phase != "running" {
		t.Errorf("after the removal of one: %+v, %v", all, err)
	}
}

// TestServerSmartStopGrace: 0 waits for nothing, for the watcher as for the workers;
// and a reload reaches a smart stop that is under way.
func TestServerSmartStopGrace(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.query("CREATE ROLE weak LOGIN") // may not see the sessions of others
	weak := fmt.Sprintf("server \"main\" {\n  conninfo = \"host=%s user=weak dbname=postgres\"\n%s\n}\n", c.base, c.byFile())
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "smart_stop_grace = \"infinity\"\n" + weak,
		"workers.d/10.hcl": "worker \"early\" {\n command = [\"/bin/sleep\", \"1000\"]\n flags = [\"shmem_access\"]\n restart_time = 1\n}\n",
	})
	s.phase("main", "running")
	early := s.state("early", "running")
	client := c.connect()
	defer client.Close(s.ctx())
	c.signal(15)
	if i := s.phase("main", "smart_stop"); i.Clients != -1 || !slices.Contains(i.Permits, "postmaster_start") {
		t.Errorf("in a smart stop: %+v", i)
	}
	if w := s.worker("early"); w.MainPID != early.MainPID || w.State != "running" {
		t.Errorf("early is %s", w.State)
	}
	s.file("pg-bgw.hcl", "smart_stop_grace = 0\n"+weak)
	if err := s.client.Reload(s.ctx()); err != nil {
		t.Fatal(err)
	}
	if w := s.state("early", "waiting"); w.Reason != "its server is shutting down" {
		t.Errorf("early waits since %q", w.Reason)
	}
	client.Close(s.ctx())
	c.await() // our session was the last
	s.phase("main", "down")
}
